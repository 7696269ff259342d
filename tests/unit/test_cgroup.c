/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told without a delegated tree; tests/attack/cgroup.sh has one. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/cgroup.h"

static void test_ours_lies_beside_the_one_we_are_in(void **state)
{
	static const struct {
		const char *text, *parent;
	} cases[] = {
		{ "0::/\n", CGROUP_MOUNT },
		{ "0::/init.scope\n", CGROUP_MOUNT },
		{ "0::/user-1001/session\n", CGROUP_MOUNT "/user-1001" },
		{ "4:memory:/x\n1:name=systemd:/y/z\n0::/a/b/c\n", CGROUP_MOUNT "/a/b" },
		{ "4:memory:/x\n", NULL },
		{ "0::/../../other\n", NULL },
		{ "", NULL },
	};
	char path[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = cgroup_parent(cases[i].text, path);

		assert_int_equal(r, cases[i].parent ? 0 : -ENOENT);
		if (r == 0)
			assert_string_equal(path, cases[i].parent);
	}
}

static void test_no_other_group_is_touched(void **state)
{
	(void)state;
	assert_true(cgroup_is_ours(CGROUP_MOUNT "/a/sandboxctl-x-0123"));
	assert_false(cgroup_is_ours(""));
	assert_false(cgroup_is_ours(CGROUP_MOUNT "/system.slice"));
	assert_false(cgroup_is_ours(CGROUP_MOUNT "/sandboxctl-x/../system.slice"));
	assert_false(cgroup_is_ours(CGROUP_MOUNT "/../../tmp/sandboxctl-x"));
	assert_false(cgroup_is_ours("/tmp/sandboxctl-x"));
	assert_int_equal(cgroup_enter("/tmp/sandboxctl-x", 1), -EINVAL);
	assert_false(cgroup_populated("/tmp/sandboxctl-x"));
	assert_int_equal(cgroup_add_members("/tmp/sandboxctl-x", NULL, 0, 1), 0);
	assert_int_equal(cgroup_remove("/tmp"), 0); /* and /tmp stays */
	assert_int_equal(cgroup_remove(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours_lies_beside_the_one_we_are_in),
		cmocka_unit_test(test_no_other_group_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
