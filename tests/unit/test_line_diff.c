/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/sandboxctl/line_diff.h"

static char said[1 << 16];

static void say(void *data, char mark, const char *line, size_t len)
{
	size_t used = strlen(said);

	(void)data;
	snprintf(said + used, sizeof(said) - used, "%c%.*s\n", mark, (int)len, line);
}

static const char *diff(const char *a, const char *b)
{
	said[0] = '\0';
	assert_int_equal(line_diff(a, b, say, NULL), 0);
	return said;
}

static void test_lines(void **state)
{
	(void)state;
	assert_string_equal(diff("", ""), "");
	assert_string_equal(diff("a\nb\n", "a\nb"), "");
	assert_string_equal(diff("", "a\nb\n"), "+a\n+b\n");
	assert_string_equal(diff("a\n", ""), "-a\n");
	assert_string_equal(diff("a\nb\nc\n", "a\nx\nc\n"), " a\n-b\n+x\n c\n");
	assert_string_equal(diff("a\nb\nc\nd\n", "b\nc\nx\nd\n"), "-a\n b\n c\n+x\n d\n");
	assert_string_equal(
		diff("1\n2\n3\n4\n5\n6\nx\n", "1\n2\n3\n4\n5\n6\ny\n"), ".\n 5\n 6\n-x\n+y\n");
	assert_string_equal(
		diff("x\n1\n2\n3\n4\n5\n", "y\n1\n2\n3\n4\n5\n"), "-x\n+y\n 1\n 2\n.\n");
}

/* More than are compared: all of it out and in; nothing is lost. */
static void test_many(void **state)
{
	static char a[40000], b[40000];
	size_t used = 0;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		snprintf(a + used, sizeof(a) - used, "a%d\n", i);
		snprintf(b + used, sizeof(b) - used, "b%d\n", i);
		used += strlen(a + used);
	}
	diff(a, b);
	assert_memory_equal(said, "-a0\n-a1\n", 8);
	assert_non_null(strstr(said, "-a3999\n+b0\n"));
	assert_non_null(strstr(said, "+b3999\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
