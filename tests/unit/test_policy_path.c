/* SPDX-License-Identifier: Apache-2.0 */
/* One canonical form of a path, or none (E12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/path.h"
#include "vmm/base/array.h"

static void test_canonical_forms(void **state)
{
	static const struct {
		const char *text, *canonical;
		bool slash;
	} cases[] = {
		{ "/", "/", false },
		{ "/a", "/a", false },
		{ "/a/", "/a/", false },
		{ "/a/b.c/~d-e_f", "/a/b.c/~d-e_f", false },
		{ "/%61%2e%62", "/a.b", false },
		{ "/%7euser", "/~user", false },
		{ "/a%20b", "/a%20b", false },
		{ "/%e2%82%ac", "/%E2%82%AC", false },
		{ "/@scope%2fname", "/@scope%2Fname", true },
		{ "/@scope%2Fname", "/@scope%2Fname", true },
		{ "/%40scope%2fname", "/%40scope%2Fname", true },
		{ "/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,=", false },
		{ "/...", "/...", false },
		{ "/..a", "/..a", false },
		{ "/.a", "/.a", false },
		{ "/./a", "/a", false },
		{ "/.", "/", false },
		{ "/a/.", "/a/", false },
		{ "/a/./b", "/a/b", false },
		{ "/./././a/./.", "/a/", false },
		{ "/%25", "/%25", false },
		{ "/%2541", "/%2541", false },
		{ "/%25zz%25", "/%25zz%25", false },
		{ "/%e0%a0%80%f0%90%80%80", "/%E0%A0%80%F0%90%80%80", false },
		{ "/%e9t%e9", "/%E9t%E9", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_path path, again;

		assert_true(policy_path_parse(cases[i].text, strlen(cases[i].text), &path));
		assert_string_equal(path.text, cases[i].canonical);
		assert_int_equal(path.has_encoded_slash, cases[i].slash);
		assert_true(policy_path_parse(path.text, strlen(path.text), &again));
		assert_string_equal(path.text, again.text);
	}
}

static void test_what_slips_past_nobody(void **state)
{
	static const char *const cases[] = {
		"",
		"a",
		"*",
		"a/b",
		"http://x/",
		"//",
		"//a",
		"/a//b",
		"/a//",
		"/..",
		"/.//a",
		"/a/.//",
		"/./..",
		"/./%2e",
		"/%2e/a",
		"/a/./../b",
		"/a/..",
		"/a/../b",
		"/%2e",
		"/%2E%2e",
		"/.%2e/x",
		"/a/%2e%2e/b",
		"/a/..;/b",
		"/a;b",
		"/a%3bb",
		"/a%3Bb",
		"/a\\b",
		"/a%5cb",
		"/..\\x",
		"/%00",
		"/a%00b",
		"/%0d%0a",
		"/%7f",
		"/%1f",
		"/%",
		"/%2",
		"/%zz",
		"/%2g",
		"/a b",
		"/a\tb",
		"/a\r\nb",
		"/a\x7f",
		"/\xc3\xa9",
		"/a?b",
		"/a#b",
		"/a\"b",
		"/a<b>",
		"/a[b]",
		"/{a}",
		"/a|b",
		"/a^b",
		"/a`b",
		/* what a second decoder would make of it */
		"/%252e%252e",
		"/a/%252E%252e/b",
		"/%25252e",
		"/a%252fb",
		"/a%255cb",
		"/a%253bb",
		"/a%2500",
		"/a%250d%250a",
		"/a%257f",
		"/%25%32%65",
		"/%2525%32%46",
		/* and a lax one */
		"/%c0%ae%c0%ae",
		"/%c0%af",
		"/%c1%9c",
		"/%e0%80%ae",
		"/%e0%9f%bf",
		"/%f0%80%80%ae",
		"/%u002e%u002e",
	};
	struct policy_path path = { .text = "untouched" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (policy_path_parse(cases[i], strlen(cases[i]), &path))
			fail_msg("'%s' was taken as %s", cases[i], path.text);
	assert_false(policy_path_parse("/a\0b", 4, &path));
	assert_string_equal(path.text, "untouched");
}

static void test_the_longest(void **state)
{
	static char text[POLICY_PATH_MAX + 2];
	struct policy_path path;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	assert_true(policy_path_parse(text, POLICY_PATH_MAX, &path));
	assert_int_equal(strlen(path.text), POLICY_PATH_MAX);
	assert_false(policy_path_parse(text, POLICY_PATH_MAX + 1, &path));
}

static void test_queries(void **state)
{
	static const char *const good[] = { "", "a=b&c=d", "q=%20%2F%2e", "a[]=1", "x={y}|z^\\",
		"a/b?c;d", "t='1'" };
	static const char *const bad[] = { "a b", "a#b", "%", "%0", "%0d", "%0A", "%00", "%zz",
		"a\"", "<a>", "\r\n", "\x7f", "\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(policy_query_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (policy_query_valid(bad[i], strlen(bad[i])))
			fail_msg("'%s'", bad[i]);
	assert_false(policy_query_valid("a\0b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_forms),
		cmocka_unit_test(test_what_slips_past_nobody),
		cmocka_unit_test(test_the_longest),
		cmocka_unit_test(test_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
