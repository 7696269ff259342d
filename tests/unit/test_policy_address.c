/* SPDX-License-Identifier: Apache-2.0 */
/* What an address is (E6), and which range holds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/address.h"
#include "vmm/base/array.h"

#define PUBLIC	  POLICY_ADDRESS_PUBLIC
#define PRIVATE	  POLICY_ADDRESS_PRIVATE
#define FORBIDDEN POLICY_ADDRESS_FORBIDDEN

static struct policy_host host_of(const char *text)
{
	struct policy_host host = {};

	if (!policy_host_parse(text, strlen(text), &host))
		fail_msg("'%s' is no host", text);
	return host;
}

static void test_classes(void **state)
{
	static const struct {
		const char *text;
		enum policy_address_class class;
	} cases[] = {
		{ "1.1.1.1", PUBLIC },
		{ "8.8.8.8", PUBLIC },
		{ "9.255.255.255", PUBLIC },
		{ "11.0.0.0", PUBLIC },
		{ "100.63.255.255", PUBLIC },
		{ "100.128.0.0", PUBLIC },
		{ "126.255.255.255", PUBLIC },
		{ "128.0.0.0", PUBLIC },
		{ "169.253.255.255", PUBLIC },
		{ "169.255.0.0", PUBLIC },
		{ "172.15.255.255", PUBLIC },
		{ "172.32.0.0", PUBLIC },
		{ "192.167.255.255", PUBLIC },
		{ "192.169.0.0", PUBLIC },
		{ "168.63.129.15", PUBLIC },
		{ "198.17.255.255", PUBLIC },
		{ "198.20.0.0", PUBLIC },
		{ "223.255.255.255", PUBLIC },
		{ "10.0.0.0", PRIVATE },
		{ "10.255.255.255", PRIVATE },
		{ "100.64.0.0", PRIVATE },
		{ "100.127.255.255", PRIVATE },
		{ "172.16.0.0", PRIVATE },
		{ "172.31.255.255", PRIVATE },
		{ "192.168.0.0", PRIVATE },
		{ "192.168.255.255", PRIVATE },
		{ "198.18.0.1", PRIVATE },
		{ "198.19.255.255", PRIVATE },
		{ "0.0.0.0", FORBIDDEN },
		{ "0.1.2.3", FORBIDDEN },
		{ "127.0.0.1", FORBIDDEN },
		{ "127.255.255.255", FORBIDDEN },
		{ "169.254.0.0", FORBIDDEN },
		{ "169.254.169.254", FORBIDDEN },
		{ "169.254.255.255", FORBIDDEN },
		{ "168.63.129.16", FORBIDDEN },
		{ "100.100.100.200", FORBIDDEN },
		{ "192.0.0.192", FORBIDDEN },
		{ "192.0.2.1", PRIVATE },
		{ "192.88.99.1", FORBIDDEN },
		{ "198.51.100.1", PRIVATE },
		{ "203.0.113.1", PRIVATE },
		{ "224.0.0.1", FORBIDDEN },
		{ "239.255.255.255", FORBIDDEN },
		{ "240.0.0.1", FORBIDDEN },
		{ "255.255.255.255", FORBIDDEN },
		/* IPv6 */
		{ "2606:4700::1111", PUBLIC },
		{ "2000::", PUBLIC },
		{ "3ffe::1", PUBLIC },
		{ "2001:200::1", PUBLIC },
		{ "2001:db7::1", PUBLIC },
		{ "2001:db9::1", PUBLIC },
		{ "fc00::1", PRIVATE },
		{ "fdff:ffff::1", PRIVATE },
		{ "fd00:ec1::254", PRIVATE },
		{ "fd00:ec3::254", PRIVATE },
		{ "::", FORBIDDEN },
		{ "::1", FORBIDDEN },
		{ "::2", FORBIDDEN },
		{ "::8.8.8.8", FORBIDDEN },
		{ "100::1", FORBIDDEN },
		{ "1fff::1", FORBIDDEN },
		{ "4000::1", FORBIDDEN },
		{ "2001:db8::1", FORBIDDEN },
		{ "2001:2::1", FORBIDDEN },
		{ "2001:10::1", FORBIDDEN },
		{ "2001:1ff::1", FORBIDDEN },
		{ "3fff::1", FORBIDDEN },
		{ "fe80::1", FORBIDDEN },
		{ "fe80::a9fe:a9fe", FORBIDDEN },
		{ "febf::1", FORBIDDEN },
		{ "fec0::1", FORBIDDEN },
		{ "ff02::1", FORBIDDEN },
		{ "fd00:ec2::254", FORBIDDEN },
		{ "fd00:ec2::23", FORBIDDEN },
		{ "fd20:ce::254", FORBIDDEN },
		{ "fd00:42::42", FORBIDDEN },
		/* what they carry */
		{ "::ffff:8.8.8.8", PUBLIC },
		{ "::ffff:10.0.0.1", PRIVATE },
		{ "::ffff:127.0.0.1", FORBIDDEN },
		{ "64:ff9b::8.8.8.8", PUBLIC },
		{ "64:ff9b::192.168.0.1", PRIVATE },
		{ "64:ff9b::127.0.0.1", FORBIDDEN },
		{ "64:ff9b::a9fe:a9fe", FORBIDDEN },
		{ "64:ff9b:0:0:1::8.8.8.8", FORBIDDEN },
		{ "64:ff9b:1::8.8.8.8", FORBIDDEN },
		{ "64:ff9b:1:7f00:0:100::", FORBIDDEN },
		{ "2002:808:808::1", PUBLIC },
		{ "2002:c0a8:1::1", PRIVATE },
		{ "2002:7f00:1::1", FORBIDDEN },
		{ "2002:a9fe:a9fe::", FORBIDDEN },
		{ "2001:0:808:808:0:0:f7f7:f7f7", PUBLIC },
		{ "2001:0:808:808:0:0:80ff:fffe",
			FORBIDDEN }, /* the client's 127.0.0.1, inverted */
		{ "2001:0:808:808:0:0:f5ff:fffe", PRIVATE },
		{ "2001:0:7f00:1:0:0:f7f7:f7f7", FORBIDDEN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host host = host_of(cases[i].text);

		if (policy_address_classify(&host) != cases[i].class)
			fail_msg("%s is %d", cases[i].text, (int)policy_address_classify(&host));
	}
}

/* A name is nothing to dial, and a mapped address that nobody unmapped is judged all the same. */
static void test_what_the_parser_does_not_give(void **state)
{
	struct policy_host name = host_of("example.com");
	struct policy_host raw = { .kind = POLICY_HOST_IPV6,
		.address = { [10] = 0xff, 0xff, 127, 0, 0, 1 } };
	struct policy_host none = {};

	(void)state;
	assert_int_equal(policy_address_classify(&name), FORBIDDEN);
	assert_int_equal(policy_address_classify(&none), FORBIDDEN);
	assert_int_equal(policy_address_classify(&raw), FORBIDDEN);
	raw.address[12] = 8;
	assert_int_equal(policy_address_classify(&raw), PUBLIC);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *range, *in, *out;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "192.168.4.0/22", "192.168.7.255", "192.168.8.0" },
		{ "192.0.2.1/32", "192.0.2.1", "192.0.2.2" },
		{ "128.0.0.0/1", "255.1.1.1", "127.255.255.255" },
		{ "0.0.0.0/0", "1.2.3.4", "::1" },
		{ "fd00::/8", "fdff::1", "fc00::1" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "::1/128", "::1", "::2" },
		{ "::/0", "fe80::1", "1.2.3.4" },
		{ "::/80", "::1", "1.2.3.4" },
		{ "10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1" },
		{ "10.0.0.0/8", "10.0.0.1", "example.com" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host in = host_of(cases[i].in), out = host_of(cases[i].out);
		struct policy_range range;

		assert_true(policy_range_parse(cases[i].range, strlen(cases[i].range), &range));
		if (!policy_range_holds(&range, &in) || policy_range_holds(&range, &out))
			fail_msg("%s", cases[i].range);
	}
}

static void test_what_is_no_range(void **state)
{
	static const char *const cases[] = { "", "/", "/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33",
		"10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ", " 10.0.0.0/8",
		"10.0.0.0 /8", "10.0.0.0/8/8", "10.0.0.1/8", "11.0.0.0/7", "10/8", "10.0.0/8",
		"10.0.0.0/255.0.0.0", "010.0.0.0/8", "0xa.0.0.0/8", "10.0.0.0/0x8",
		"10.0.0.0/4294967304", "fd00::/129", "fd00::1/64", "fd00::/", "[fd00::]/8",
		"fe80::%eth0/64", "::ffff:10.0.0.0/104", "::ffff:0.0.0.0/96", "example.com/8",
		"10.0.0.0/\xb2", "::/00" };
	struct policy_range range = { .prefix_len = 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (policy_range_parse(cases[i], strlen(cases[i]), &range))
			fail_msg("'%s' was taken", cases[i]);
	assert_false(policy_range_parse("10.0.0.0/8\0", 11, &range));
	assert_false(policy_range_parse("10.0.0.0\0/8", 11, &range));
	assert_int_equal(range.prefix_len, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_what_the_parser_does_not_give),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_what_is_no_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
