/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's resolver: golden messages, what it refuses, and the table of names and synthetic addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/egress/dns.h"
#include "vmm/base/array.h"

static struct names names;
static struct dns_zone zone = { &names, "box", true, true };
static uint8_t out[DNS_ANSWER_MAX];

enum { A = 1, PTR = 12, TXT = 16, AAAA = 28, HTTPS = 65, ANY = 255 };

static void forget(void)
{
	memset(&names, 0, sizeof(names));
	zone.captured = zone.v6 = true;
}

/* A query as clients send it, recursion desired; name in dots. */
static size_t make_query(uint8_t *query, const char *name, uint16_t type)
{
	uint8_t *at = query + 12;

	memcpy(query, "\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
	while (*name) {
		size_t len = strcspn(name, ".");

		*at++ = (uint8_t)len;
		memcpy(at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	*at++ = 0;
	*at++ = (uint8_t)(type >> 8);
	*at++ = (uint8_t)type;
	*at++ = 0;
	*at++ = 1;
	return (size_t)(at - query);
}

struct answered {
	int rcode, count;
	uint8_t address[16];
};

static struct answered ask(const char *name, uint16_t type)
{
	uint8_t query[512];
	size_t len = make_query(query, name, type), got = dns_answer(&zone, query, len, out);
	struct answered result = {};

	assert_true(got >= 12);
	assert_memory_equal(out, "\x12\x34", 2);
	result.rcode = out[3] & 15;
	result.count = out[7];
	if (result.count)
		memcpy(result.address, out + len + 12, got - len - 12 > 16 ? 16 : got - len - 12);
	return result;
}

static void test_golden(void **state)
{
	static const uint8_t query[] = { 0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 'A', 2, 'b',
		'C', 0, 0, 1, 0, 1, /* OPT */ 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 2, 0x55, 0x66 };
	static const uint8_t answer[] = { 0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1, 1, 'A', 2,
		'b', 'C', 0, 0, 1, 0, 1, /* A */ 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 198, 18,
		0, 16, /* OPT */ 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0 };

	(void)state;
	forget();
	assert_int_equal(dns_answer(&zone, query, sizeof(query), out), sizeof(answer));
	assert_memory_equal(out, answer, sizeof(answer));
	assert_string_equal(names_find(&names, 16), "a.bc");
	for (size_t len = 0; len < sizeof(query); len++) {
		size_t got = dns_answer(&zone, query, len, out);

		assert_int_equal(got, len < 12 ? 0 : 12);
		assert_true(!got || (out[3] & 15) == 1);
	}
}

static void test_types(void **state)
{
	static const uint8_t v6[] = { 0xfd, 0x53, 0x61, 0x6e, 0x64, 0x62, 0x6f, 0x78, 0, 0, 0, 0, 0,
		0, 0, 16 };
	static const uint16_t empty[] = { HTTPS, 64 /* SVCB */, TXT, ANY, 15, 6, 2 };

	(void)state;
	forget();
	assert_memory_equal(ask("host.test", AAAA).address, v6, 16);
	assert_memory_equal(ask("host.test", A).address, "\306\22\0\20", 4);
	assert_memory_equal(ask("HOST.TEST", A).address, "\306\22\0\20", 4);
	assert_memory_equal(ask("other.test", A).address, "\306\22\0\21", 4);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		assert_int_equal(ask("host.test", empty[i]).count, 0);
		assert_int_equal(ask("host.test", empty[i]).rcode, 0);
	}
	zone.v6 = false;
	assert_int_equal(ask("host.test", AAAA).count, 0);
	assert_int_equal(ask("host.test", AAAA).rcode, 0);
	zone.captured = false;
	assert_int_equal(ask("host.test", A).rcode, 5);
	assert_int_equal(ask("localhost", A).count, 1);
}

static void test_local_and_impossible(void **state)
{
	static const char *const nobodys[] = { "127.1", "2130706433", "a.0x7f", "x.invalid",
		"y.onion", "printer.local", "use-application-dns.net", "a b.test", "a\r.test",
		"t\303\244st.test" };
	static const char *const ours[] = { "localhost", "a.localhost", "box", "BOX" };

	(void)state;
	forget();
	for (size_t i = 0; i < ARRAY_SIZE(nobodys); i++)
		assert_int_equal(ask(nobodys[i], A).rcode, 3);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_memory_equal(ask(ours[i], A).address, "\177\0\0\1", 4);
	assert_int_equal(ask("localhost", AAAA).address[15], 1);
	assert_int_equal(names.count, 0);
	assert_int_equal(ask("notlocalhost", A).address[0], 198);
	assert_int_equal(ask("", 2).rcode, 0);
}

static void test_reverse(void **state)
{
	static const char v6[] = "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.7.f.6.2.6.4.6.e.6.1.6.3.5.d.f."
				 "ip6.arpa";

	(void)state;
	forget();
	(void)ask("host.test", A);
	assert_int_equal(ask("16.0.18.198.in-addr.arpa", PTR).count, 1);
	assert_memory_equal(ask("16.0.18.198.in-addr.arpa", PTR).address, "\4host\4test", 11);
	assert_memory_equal(ask(v6, PTR).address, "\4host\4test", 11);
	assert_memory_equal(ask("1.0.0.127.in-addr.arpa", PTR).address, "\tlocalhost", 11);
	assert_int_equal(ask("17.0.18.198.in-addr.arpa", PTR).rcode, 3);
	assert_int_equal(ask("16.0.18.199.in-addr.arpa", PTR).rcode, 3);
	assert_int_equal(ask("1016.0.18.198.in-addr.arpa", PTR).rcode, 3);
	assert_int_equal(ask("8.8.8.8.in-addr.arpa", PTR).rcode, 3);
	assert_int_equal(ask("16.0.18.198.in-addr.arpa", A).count, 0);
}

static void test_refused(void **state)
{
	uint8_t query[512], long_name[12 + 300 + 4];
	size_t len = make_query(query, "host.test", A), at = 12;

	(void)state;
	forget();
	query[2] |= 0x80; /* an answer */
	assert_int_equal(dns_answer(&zone, query, len, out), 0);
	query[2] = 0x21; /* NOTIFY */
	assert_int_equal(dns_answer(&zone, query, len, out), 12);
	assert_int_equal(out[3] & 15, 4);
	(void)make_query(query, "host.test", A);
	query[5] = 2;
	assert_int_equal(dns_answer(&zone, query, len, out), 12);
	assert_int_equal(out[3] & 15, 1);
	(void)make_query(query, "host.test", A);
	query[12] = 0xc0; /* a pointer, to the question itself */
	query[13] = 12;
	assert_int_equal(dns_answer(&zone, query, len, out), 12);
	(void)make_query(query, "host.test", A);
	query[len - 1] = 3; /* CHAOS */
	assert_int_equal(dns_answer(&zone, query, len, out), len);
	assert_int_equal(out[3] & 15, 5);
	assert_int_equal(dns_answer(&zone, query, len + 1, out), 12);

	/* A label of 64, and a pointer that would be a label of 192: both are there in full. */
	for (size_t label = 64; label <= 192; label += 128) {
		long_name[12] = (uint8_t)label;
		memcpy(long_name, "\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
		memset(long_name + 13, 'a', label);
		memcpy(long_name + 13 + label, "\0\0\1\0\1", 5);
		assert_int_equal(dns_answer(&zone, long_name, 13 + label + 5, out), 12);
	}

	/* Four labels of 63 are one byte too many; with the last one shorter by two, as long as can be. */
	memcpy(long_name, query, 12);
	for (int i = 0; i < 4; i++) {
		long_name[at] = 63;
		memset(long_name + at + 1, 'a', 63);
		at += 64;
	}
	memcpy(long_name + at, "\0\0\1\0\1", 5);
	assert_int_equal(dns_answer(&zone, long_name, at + 5, out), 12);
	long_name[at - 64] = 61;
	memcpy(long_name + at - 2, "\0\0\1\0\1", 5);
	assert_int_equal(dns_answer(&zone, long_name, at + 3, out), at + 3 + 16);
	assert_int_equal(strlen(names_find(&names, 16)), 253);
	assert_int_equal(names.count, 1);
	assert_int_equal(out[7], 1);
	assert_int_equal(ask("16.0.18.198.in-addr.arpa", PTR).rcode, 0);
}

static uint32_t enter(int i)
{
	char name[32];

	snprintf(name, sizeof(name), "n%d.test", i);
	return names_number(&names, name);
}

static void test_table_forgets_the_oldest(void **state)
{
	uint32_t first, second;
	uint8_t v4[4], v6[16];
	uint32_t back;

	(void)state;
	forget();
	first = enter(0);
	second = enter(1);
	for (int i = 2; i < NAMES_MAX; i++)
		(void)enter(i);
	assert_int_equal(enter(0), first); /* in use: the second is the oldest now */
	(void)enter(NAMES_MAX);
	assert_int_equal(names.count, NAMES_MAX);
	assert_null(names_find(&names, second));
	assert_string_equal(names_find(&names, first), "n0.test");
	/* Its number is nobody's until all have had their turn. */
	for (int i = 0; i < 2 * NAMES_MAX; i++) {
		assert_int_not_equal(enter(NAMES_MAX + 1 + i), second);
		assert_int_equal(enter(0), first);
	}
	assert_int_equal(names_number(&names, ""), 0);
	names_put_v4(NAMES_NUMBERS - 1, v4);
	assert_memory_equal(v4, "\306\23\377\377", 4);
	assert_true(names_get_v4(v4, &back));
	assert_int_equal(back, NAMES_NUMBERS - 1);
	assert_false(names_get_v4((const uint8_t[]){ 198, 20, 0, 0 }, &back));
	assert_false(names_get_v4((const uint8_t[]){ 198, 17, 255, 255 }, &back));
	names_put_v6(first, v6);
	assert_true(names_get_v6(v6, &back));
	assert_int_equal(back, first);
	v6[8] = 1;
	assert_false(names_get_v6(v6, &back));
}

/* Past the last number it goes on with the first that is free, and never gives the link's own or a broadcast address. */
static void test_numbers_come_round(void **state)
{
	uint32_t first, number = 0;

	(void)state;
	forget();
	first = enter(0);
	names.turn = NAMES_NUMBERS - 1 - NAMES_FIRST_NUMBER - 1;
	number = enter(1);
	assert_int_equal(number, NAMES_NUMBERS - 2);
	number = enter(2);
	assert_int_equal(number, first + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_local_and_impossible),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_table_forgets_the_oldest),
		cmocka_unit_test(test_numbers_come_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
