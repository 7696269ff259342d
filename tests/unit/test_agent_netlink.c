/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink as the agent writes and reads it: golden bytes, bounds, answers. What the kernel makes of it: test_agent_net. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest-agent/egress/link.h"
#include "guest-agent/egress/nft.h"
#include "vmm/base/array.h"

static uint8_t text[NFT_TEXT_MAX];

static void test_link_golden(void **state)
{
	static const uint8_t golden[] = {
		64, 0, 0, 0, 16, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0,
		0, /* RTM_NEWLINK, create and exclusive */
		0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, /* up */
		13, 0, 3, 0, 's', 'a', 'n', 'd', 'b', 'o', 'x', '0', 0, 0, 0, 0, /* IFLA_IFNAME */
		16, 0, 18, 0x80, 10, 0, 1, 0, 'd', 'u', 'm', 'm', 'y', 0, 0, 0, /* IFLA_LINKINFO */
	};
	struct netlink n;

	(void)state;
	netlink_init(&n, text, sizeof(text));
	assert_int_equal(link_put_create(&n), 1);
	assert_false(n.w.failed);
	assert_int_equal(n.w.offset, sizeof(golden));
	assert_memory_equal(text, golden, sizeof(golden));
}

static void test_addresses_golden(void **state)
{
	static const uint8_t address[] = {
		40, 0, 0, 0, 20, 0, 5, 5, 2, 0, 0, 0, 0, 0, 0, 0, /* RTM_NEWADDR, second message */
		2, 15, 0, 0, 7, 0, 0, 0, /* AF_INET, /15, link 7 */
		8, 0, 2, 0, 198, 18, 0, 1, 8, 0, 1, 0, 198, 18, 0, 1 /* IFA_LOCAL, IFA_ADDRESS */
	};
	static const uint8_t route[] = {
		36, 0, 0, 0, 24, 0, 5, 5, 3, 0, 0, 0, 0, 0, 0, 0, /* RTM_NEWROUTE */
		2, 0, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0, /* default, main table, scope link */
		8, 0, 4, 0, 7, 0, 0, 0 /* RTA_OIF */
	};
	struct netlink n;

	(void)state;
	netlink_init(&n, text, sizeof(text));
	assert_int_equal(link_put_v4(&n, 7), 3);
	assert_false(n.w.failed);
	assert_int_equal(n.w.offset, 32 + sizeof(address) + sizeof(route));
	assert_memory_equal(text + 32, address, sizeof(address));
	assert_memory_equal(text + 32 + sizeof(address), route, sizeof(route));
}

/* The table, and the rule that refuses what is neither TCP nor UDP. */
static void test_nft_golden(void **state)
{
	static const uint8_t begin[] = { 20, 0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		10 };
	static const uint8_t table[] = { 32, 0, 0, 0, 0, 10, 5, 4, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
		0, 12, 0, 1, 0, 's', 'a', 'n', 'd', 'b', 'o', 'x', 0 };
	static const uint8_t rule[] = {
		104, 0, 0, 0, 6, 10, 5, 12, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
		0, /* NEWRULE, append */
		12, 0, 1, 0, 's', 'a', 'n', 'd', 'b', 'o', 'x', 0, /* table */
		11, 0, 2, 0, 'r', 'e', 'f', 'u', 's', 'e', 0, 0, /* chain */
		60, 0, 4, 0x80, /* expressions */
		20, 0, 1, 0x80, 12, 0, 1, 0, 'c', 'o', 'u', 'n', 't', 'e', 'r', 0, 4, 0, 2, 0x80,
		36, 0, 1, 0x80, 11, 0, 1, 0, 'r', 'e', 'j', 'e', 'c', 't', 0, 0, 20, 0, 2, 0x80, 8,
		0, 1, 0, 0, 0, 0, 2, 5, 0, 2, 0, 3, 0, 0, 0, /* icmpx, admin-prohibited */
	};
	static const uint8_t end[] = { 20, 0, 0, 0, 17, 0, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		10 };
	struct netlink n;

	(void)state;
	netlink_init(&n, text, sizeof(text));
	assert_int_equal(nft_put_capture(&n, 3129), 9);
	assert_false(n.w.failed);
	assert_memory_equal(text, begin, sizeof(begin));
	assert_memory_equal(text + sizeof(begin), table, sizeof(table));
	assert_memory_equal(text + n.w.offset - sizeof(end), end, sizeof(end));
	assert_memory_equal(text + n.w.offset - sizeof(end) - sizeof(rule), rule, sizeof(rule));
	assert_non_null(memmem(text, n.w.offset, "\6\0\1\0\x0c\x39", 6)); /* port 3129 */
}

static void test_bounds(void **state)
{
	struct netlink n;
	size_t whole;

	(void)state;
	netlink_init(&n, text, sizeof(text));
	(void)nft_put_capture(&n, 3129);
	whole = n.w.offset;
	for (size_t size = 0; size < whole; size++) {
		netlink_init(&n, text, size);
		(void)nft_put_capture(&n, 3129);
		assert_true(n.w.failed);
		assert_true(n.w.offset <= size);
	}
	netlink_init(&n, text, sizeof(text));
	for (int i = 0; i < NETLINK_NEST_MAX; i++)
		netlink_nest(&n, 1);
	assert_false(n.w.failed);
	netlink_nest(&n, 1);
	assert_true(n.w.failed);
	netlink_init(&n, text, sizeof(text));
	netlink_unnest(&n);
	assert_true(n.w.failed);
}

static void test_answers(void **state)
{
	static const uint8_t answer[] = {
		20, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* taken */
		18, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 9, 9, 0, 0, /* another type */
		20, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0xfe, 0xff, 0xff,
		0xff, /* -ENOENT */
	};
	struct bytes_reader r = bytes_reader(answer, sizeof(answer));
	struct netlink_message m;
	int code = 1;

	(void)state;
	assert_true(netlink_next(&r, &m) && netlink_ack(&m, &code));
	assert_int_equal(code, 0);
	assert_int_equal(m.seq, 5);
	assert_true(netlink_next(&r, &m));
	assert_false(netlink_ack(&m, &code));
	assert_int_equal(m.len, 2);
	assert_true(netlink_next(&r, &m) && netlink_ack(&m, &code));
	assert_int_equal(code, -ENOENT);
	assert_false(netlink_next(&r, &m));
	assert_false(r.failed);
	for (size_t len = 1; len < 20; len++) {
		r = bytes_reader(answer, len);
		assert_false(netlink_next(&r, &m));
		assert_true(r.failed);
	}
	r = bytes_reader("\17\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0", 16); /* shorter than its head */
	assert_false(netlink_next(&r, &m));
	assert_true(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_golden),
		cmocka_unit_test(test_addresses_golden),
		cmocka_unit_test(test_nft_golden),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
