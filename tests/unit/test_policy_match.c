/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of hosts (E2) and paths (E12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/match.h"
#include "policy/path.h"
#include "vmm/base/array.h"

static int make_memory(void **state)
{
	*state = policy_memory_create();
	return *state ? 0 : -1;
}

static int drop_memory(void **state)
{
	policy_memory_destroy(*state);
	return 0;
}

static void test_host_patterns(void **state)
{
	static const struct {
		const char *pattern, *host;
		bool matches;
	} cases[] = {
		{ "example.com", "example.com", true },
		{ "Example.COM", "example.com", true },
		{ "example.com", "www.example.com", false },
		{ "example.com", "evilexample.com", false },
		{ "*.example.com", "www.example.com", true },
		{ "*.example.com", "example.com", false },
		{ "*.example.com", "a.b.example.com", false },
		{ "*.example.com", "evilexample.com", false },
		{ "*.example.com", "www.evilexample.com", false },
		{ "**.example.com", "example.com", true },
		{ "**.example.com", "www.example.com", true },
		{ "**.example.com", "a.b.c.example.com", true },
		{ "**.example.com", "evilexample.com", false },
		{ "**.example.com", "a.evilexample.com", false },
		{ "**.example.com", "example.com.evil.net", false },
		{ "*.*.example.com", "a.b.example.com", true },
		{ "*.*.example.com", "b.example.com", false },
		{ "**.*.example.com", "b.example.com", true },
		{ "**.*.example.com", "example.com", false },
		{ "**.*.example.com", "a.b.c.example.com", true },
		{ "**", "example.com", true },
		{ "**", "localhost", true },
		{ "**", "10.0.0.1", false },
		{ "**", "::1", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_pattern pattern = {};
		struct policy_host host;

		assert_null(policy_pattern_parse(cases[i].pattern, *state, &pattern));
		assert_true(policy_host_parse(cases[i].host, strlen(cases[i].host), &host));
		if (policy_pattern_matches(&pattern, &host) != cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].host);
	}
}

static void test_host_patterns_refused(void **state)
{
	static const char *const cases[] = { "", "*", "*.", "**.", "***", "a.*", "*a.com", "a*.com",
		"*.a.*.com", "*.**.com", "http://a.com", "a.com/x", "a.com:1", "*.10.0.0.1", "a..b",
		".a.com", "a b", "0x7f.1", "b\xc3\xbc.com" };
	struct policy_pattern pattern;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!policy_pattern_parse(cases[i], *state, &pattern))
			fail_msg("%s", cases[i]);
}

static void test_too_wide(void **state)
{
	static const struct {
		const char *pattern;
		bool wide;
	} cases[] = {
		{ "com", true },
		{ "*.com", true },
		{ "**.com", true },
		{ "co.uk", true },
		{ "*.co.uk", true },
		{ "github.io", true },
		{ "*.github.io", true },
		{ "**.github.io", true },
		{ "*.s3.amazonaws.com", true },
		{ "**", true },
		{ "*.corp", true },
		{ "intranet", false },
		{ "me.github.io", false },
		{ "*.me.github.io", false },
		{ "*.example.com", false },
		{ "*.example.co.uk", false },
		{ "*.git.corp", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_pattern pattern = {};

		assert_null(policy_pattern_parse(cases[i].pattern, *state, &pattern));
		if ((policy_pattern_too_wide(&pattern) != NULL) != cases[i].wide)
			fail_msg("%s", cases[i].pattern);
	}
}

static void test_path_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches, split;
	} cases[] = {
		{ "/", "/", true, true },
		{ "/", "/a", false, false },
		{ "/a", "/a", true, true },
		{ "/a", "/a/", false, false },
		{ "/a", "/A", false, false },
		{ "/a/", "/a", false, false },
		{ "/*", "/a", true, true },
		{ "/*", "/", false, false },
		{ "/*", "/a/b", false, false },
		{ "/*/x", "/a/x", true, true },
		{ "/**", "/", true, true },
		{ "/**", "/a/b/c", true, true },
		{ "/a/**", "/a", true, true },
		{ "/a/**", "/a/", true, true },
		{ "/a/**", "/a/b/c", true, true },
		{ "/a/**", "/ab", false, false },
		{ "/**/x", "/x", true, true },
		{ "/**/x", "/a/b/x", true, true },
		{ "/**/x", "/a/x/b", false, false },
		{ "/**/a/**/b", "/a/c/a/b/b", true, true },
		{ "/**/a/*/b", "/a/a/a/b", true, true },
		{ "/**/a/*/b", "/a/b", false, false },
		{ "/@scope/*", "/%40scope/x", true, true },
		{ "/%40scope/*", "/@scope/x", true, true },
		{ "/a+b", "/a%2Bb", true, true },
		{ "/admin/**", "/admin%2Fusers", false, true },
		{ "/a%2Fb", "/a%2Fb", true, false },
		{ "/a%2Fb", "/a/b", false, false },
		{ "/%252F", "/%2F", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *pattern = NULL;
		struct policy_path path;

		if (policy_path_pattern_parse(cases[i].pattern, *state, &pattern))
			continue; /* another canonicaliser's opinion of %25 */
		assert_true(policy_path_parse(cases[i].path, strlen(cases[i].path), &path));
		if (policy_path_matches(pattern, path.text, false) != cases[i].matches ||
			policy_path_matches(pattern, path.text, true) != cases[i].split)
			fail_msg("%s, %s", cases[i].pattern, cases[i].path);
	}
}

static void test_clean_when_split(void **state)
{
	(void)state;
	assert_true(policy_path_clean_when_split("/a%2Fb"));
	assert_true(policy_path_clean_when_split("/a/"));
	assert_true(policy_path_clean_when_split("/a%2F"));
	assert_false(policy_path_clean_when_split("/a/..%2Fb"));
	assert_false(policy_path_clean_when_split("/a%2F."));
	assert_false(policy_path_clean_when_split("/a%2F%2Fb"));
	assert_false(policy_path_clean_when_split("/%2Fa"));
}

static void test_ports(void **state)
{
	static const struct policy_ports ports[] = { { 80, 80 }, { 8000, 8100 } };

	(void)state;
	assert_true(policy_ports_match(ports, 2, 80));
	assert_true(policy_ports_match(ports, 2, 8000));
	assert_true(policy_ports_match(ports, 2, 8100));
	assert_false(policy_ports_match(ports, 2, 8101));
	assert_false(policy_ports_match(ports, 2, 81));
	assert_true(policy_ports_match(NULL, 0, 9));
}

/* 128 segments and many `**`: time is bounded by the product, not by all the ways to part them. */
static void test_path_is_cheap(void **state)
{
	char path[POLICY_PATH_MAX + 1] = "", text[POLICY_PATH_PATTERN_MAX] = "";
	const char *pattern;

	for (size_t i = 0; i + 3 < sizeof(path); i += 2)
		memcpy(path + i, "/a", 3);
	for (size_t i = 0; i < 31; i++)
		strcat(text, "/**/a");
	strcat(text, "/b");
	assert_null(policy_path_pattern_parse(text, *state, &pattern));
	for (int i = 0; i < 100; i++)
		assert_false(policy_path_matches(pattern, path, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_patterns),
		cmocka_unit_test(test_host_patterns_refused),
		cmocka_unit_test(test_too_wide),
		cmocka_unit_test(test_path_patterns),
		cmocka_unit_test(test_clean_when_split),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_path_is_cheap),
	};

	return cmocka_run_group_tests(tests, make_memory, drop_memory);
}
