/* SPDX-License-Identifier: Apache-2.0 */
/* One canonical form of a host, or none (E1, E3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/name.h"
#include "vmm/base/array.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static bool parse(const char *text, struct policy_host *ret)
{
	return policy_host_parse(text, strlen(text), ret);
}

static void test_canonical_forms(void **state)
{
	static const struct {
		const char *text, *canonical;
		enum policy_host_kind kind;
	} cases[] = {
		{ "example.com", "example.com", POLICY_HOST_NAME },
		{ "EXAMPLE.Com", "example.com", POLICY_HOST_NAME },
		{ "example.com.", "example.com", POLICY_HOST_NAME },
		{ "localhost", "localhost", POLICY_HOST_NAME },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", POLICY_HOST_NAME },
		{ "1.example", "1.example", POLICY_HOST_NAME },
		{ "10.0.0.1.example", "10.0.0.1.example", POLICY_HOST_NAME },
		{ "_dmarc.example.com", "_dmarc.example.com", POLICY_HOST_NAME },
		{ "a_b.x.example.com", "a_b.x.example.com", POLICY_HOST_NAME },
		{ "deadbeef", "deadbeef", POLICY_HOST_NAME },
		{ "127.0.0.1", "127.0.0.1", POLICY_HOST_IPV4 },
		{ "0.0.0.0", "0.0.0.0", POLICY_HOST_IPV4 },
		{ "255.255.255.255", "255.255.255.255", POLICY_HOST_IPV4 },
		{ "::1", "::1", POLICY_HOST_IPV6 },
		{ "[::1]", "::1", POLICY_HOST_IPV6 },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1", POLICY_HOST_IPV6 },
		{ "2001:0db8::0001", "2001:db8::1", POLICY_HOST_IPV6 },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", POLICY_HOST_IPV6 },
		{ "::ffff:192.0.2.1", "192.0.2.1", POLICY_HOST_IPV4 },
		{ "::ffff:c000:201", "192.0.2.1", POLICY_HOST_IPV4 },
		{ "[::FFFF:127.0.0.1]", "127.0.0.1", POLICY_HOST_IPV4 },
		{ A63 "." A63 "." A63 ".example", A63 "." A63 "." A63 ".example",
			POLICY_HOST_NAME },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host host, again;

		assert_true(parse(cases[i].text, &host));
		assert_string_equal(host.text, cases[i].canonical);
		assert_int_equal(host.kind, cases[i].kind);
		assert_true(parse(host.text, &again));
		assert_true(policy_host_equal(&host, &again));
		assert_memory_equal(host.address, again.address, sizeof(host.address));
	}
}

static void test_what_is_no_host(void **state)
{
	static const char *const cases[] = {
		"",
		".",
		"..",
		".example.com",
		"example..com",
		"example.com..",
		"example.com:",
		" example.com",
		"example.com ",
		"exa mple.com",
		"example.com\t",
		"example.com\r\n",
		"example%2ecom",
		"example.com%00.evil",
		"user@example.com",
		"example.com/",
		"example.com?",
		"example.com#",
		"exa\\mple.com",
		"-a.example",
		"a-.example",
		"example.c_m",
		"exam_ple.com",
		"*.example.com",
		"b\xc3\xbc"
		"cher.example",
		"example\xe3\x80\x82"
		"com",
		"example\xef\xbc\x8e"
		"com",
		"example.com\x7f",
		A63 "a.example",
		A63 "." A63 "." A63 "." A63,
		/* numbers in all the spellings that some resolver takes */
		"2130706433",
		"017700000001",
		"0177.0.0.1",
		"0x7f.1",
		"0x7f.0.0.1",
		"0x7f000001",
		"127.1",
		"127.0.1",
		"127.0.0.1.",
		"127.0.0.01",
		"127.0.0.256",
		"127.0.0.1.1",
		"1.2.3",
		"example.0x1",
		"example.1",
		"1.2.3.0x4",
		"0x",
		"300.1.1.1",
		"00.0.0.0",
		"127.0.0.1:80",
		"+1.2.3.4",
		/* IPv6 */
		"[::1",
		"::1]",
		"[]",
		"[127.0.0.1]",
		"[example.com]",
		"fe80::1%eth0",
		"fe80::1%25eth0",
		":::",
		"1::2::3",
		"::g",
		"12345::",
		"::ffff:127.0.0.01",
		"[[::1]]",
		"[::1].",
		"1:2:3:4:5:6:7:8:9",
		"::1 ",
	};
	struct policy_host host = { .kind = POLICY_HOST_NAME, .text = "untouched" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (parse(cases[i], &host))
			fail_msg("'%s' was taken as %s", cases[i], host.text);
	assert_false(policy_host_parse("example.com\0.evil", 17, &host));
	assert_false(policy_host_parse("127.0.0.1\0", 10, &host));
	assert_false(policy_host_parse("::1\0", 4, &host));
	assert_false(policy_host_parse("\0", 1, &host));
	assert_string_equal(host.text, "untouched");
}

static void test_authorities(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
	} cases[] = {
		{ "example.com", "example.com", 0 },
		{ "Example.com:443", "example.com", 443 },
		{ "example.com.:80", "example.com", 80 },
		{ "127.0.0.1:8080", "127.0.0.1", 8080 },
		{ "[::1]", "::1", 0 },
		{ "[::1]:65535", "::1", 65535 },
		{ "[::ffff:1.2.3.4]:1", "1.2.3.4", 1 },
		{ "example.com:", NULL, 0 },
		{ "example.com:0", NULL, 0 },
		{ "example.com:080", NULL, 0 },
		{ "example.com:65536", NULL, 0 },
		{ "example.com:99999999", NULL, 0 },
		{ "example.com:+1", NULL, 0 },
		{ "example.com: 1", NULL, 0 },
		{ "example.com:1 ", NULL, 0 },
		{ "example.com:80:80", NULL, 0 },
		{ "::1", NULL, 0 },
		{ "::1:443", NULL, 0 },
		{ "[::1]x:443", NULL, 0 },
		{ "[::1]443", NULL, 0 },
		{ "[::1]:", NULL, 0 },
		{ "[::1", NULL, 0 },
		{ "[", NULL, 0 },
		{ ":80", NULL, 0 },
		{ "", NULL, 0 },
		{ "a@b:80", NULL, 0 },
		{ "[1.2.3.4]:80", NULL, 0 },
		{ "example.com:http", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_host host = { .text = "untouched" };
		uint16_t port = 7;

		if (policy_authority_parse(cases[i].text, strlen(cases[i].text), &host, &port) !=
			(cases[i].host != NULL))
			fail_msg("'%s'", cases[i].text);
		assert_string_equal(host.text, cases[i].host ? cases[i].host : "untouched");
		assert_int_equal(port, cases[i].host ? cases[i].port : 7);
	}
}

static void test_resolved_addresses(void **state)
{
	static const struct {
		uint8_t address[16];
		size_t len;
		const char *text;
		enum policy_host_kind kind;
	} cases[] = {
		{ { 127, 0, 0, 1 }, 4, "127.0.0.1", POLICY_HOST_IPV4 },
		{ { [15] = 1 }, 16, "::1", POLICY_HOST_IPV6 },
		{ { [10] = 0xff, 0xff, 10, 0, 0, 1 }, 16, "10.0.0.1", POLICY_HOST_IPV4 },
	};
	struct policy_host host = { .text = "untouched" }, parsed;

	(void)state;
	assert_false(policy_host_from_address(cases[0].address, 0, &host));
	assert_false(policy_host_from_address(cases[0].address, 5, &host));
	assert_string_equal(host.text, "untouched");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(policy_host_from_address(cases[i].address, cases[i].len, &host));
		assert_string_equal(host.text, cases[i].text);
		assert_int_equal(host.kind, cases[i].kind);
		assert_true(parse(host.text, &parsed));
		assert_memory_equal(host.address, parsed.address, sizeof(host.address));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_forms),
		cmocka_unit_test(test_what_is_no_host),
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_resolved_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
