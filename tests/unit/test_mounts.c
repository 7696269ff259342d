/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/supervisor/mounts.h"

static void assert_below(const char *mountinfo, const char *folder, const char *expected)
{
	_cleanup_json_ json_t *array = mounts_below_of(mountinfo, folder);
	char *text = json_dumps(array, JSON_COMPACT);

	assert_string_equal(text, expected);
	free(text);
}

static void test_what_is_below(void **state)
{
	static const char text[] =
		"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
		"36 22 98:0 /of/the/disk /home/u/project rw - ext4 /dev/x rw\n"
		"37 36 0:5 / /home/u/project/build rw,nosuid shared:3 master:1 - tmpfs tmpfs rw\n"
		"38 36 0:6 / /home/u/project/a\\040b\\134\\011c rw - tmpfs tmpfs rw\n"
		"39 22 0:7 / /home/u/project-two rw - tmpfs tmpfs rw\n"
		"40 22 0:8 / /home/u rw - tmpfs tmpfs rw";

	(void)state;
	assert_below(text, "/home/u/project",
		"[\"/home/u/project/build\",\"/home/u/project/a b\\\\\\tc\"]");
	assert_below(text, "/home/u/project/build", "[]");
	assert_below(text, "/srv", "[]");
}

static void test_what_is_not_understood(void **state)
{
	char text[70 * 40] = "";
	json_t *array;

	(void)state;
	assert_below("", "/a", "[]");
	assert_below("\n\n1 2 3\n1 2 3 4 \n1 2 3 4 /a/b", "/a", "[\"/a/b\"]");
	assert_below("1 2 3 4 /a/\\09\\4", "/a", "[\"/a/\\\\09\\\\4\"]");
	assert_below("1 2 3 4 /a/\xff\n1 2 3 4 /a/\\000b x", "/a", "[]");
	for (int i = 0; i < 40; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "1 2 3 4 /a/%d rw\n", i);
	array = mounts_below_of(text, "/a");
	assert_int_equal(json_array_size(array), MOUNTS_BELOW_MAX);
	json_decref(array);
}

/* /proc is a mount of every machine. */
static void test_of_this_machine(void **state)
{
	_cleanup_json_ json_t *array = mounts_below("");
	bool found = false;

	(void)state;
	for (size_t i = 0; i < json_array_size(array); i++)
		found |= strcmp(json_string_value(json_array_get(array, i)), "/proc") == 0;
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_below),
		cmocka_unit_test(test_what_is_not_understood),
		cmocka_unit_test(test_of_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
