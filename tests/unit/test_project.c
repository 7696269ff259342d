/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/private_folder.h"
#include "vmm/sandboxctl/project.h"

static char top[PATH_MAX];

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s;
	(void)kind;
	(void)where;
	return remove(path);
}

static void folder(const char *name)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void expect(const char *from, const char *wanted, const char *wanted_name)
{
	char path[PATH_MAX + 64], wanted_path[PATH_MAX + 64];
	struct project p;
	struct err err = {};

	snprintf(path, sizeof(path), "%s/%s", top, from);
	snprintf(wanted_path, sizeof(wanted_path), "%s/%s", top, wanted);
	assert_int_equal(project_find(NULL, path, &p, &err), 0);
	assert_string_equal(p.folder, wanted_path);
	assert_string_equal(p.name, wanted_name);
	assert_false(p.has_sandbox);
}

static int setup(void **state)
{
	(void)state;
	if (!private_folder_make(top))
		return -1;
	folder("Repo");
	folder("Repo/.git");
	folder("Repo/src");
	folder("Repo/src/deep");
	folder("Repo/sub");
	folder("Repo/sub/.sandbox.json"); /* its name is enough, it is never opened */
	folder("Repo/sub/x");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_git_root(void **state)
{
	(void)state;
	expect("Repo/src/deep", "Repo", "repo");
	expect("Repo", "Repo", "repo");
}

static void test_settings_file_wins(void **state)
{
	(void)state;
	expect("Repo/sub/x", "Repo/sub", "sub");
}

static void test_inside(void **state)
{
	char path[PATH_MAX + 64];
	struct stat s;

	(void)state;
	assert_int_equal(stat(top, &s), 0);
	snprintf(path, sizeof(path), "%s/Repo/src", top);
	assert_true(project_is_inside(path, s.st_dev, s.st_ino));
	assert_true(project_is_inside(top, s.st_dev, s.st_ino));
	assert_false(project_is_inside("/", s.st_dev, s.st_ino));
	snprintf(path, sizeof(path), "%s/nothing", top);
	assert_false(project_is_inside(path, s.st_dev, s.st_ino));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_git_root),
		cmocka_unit_test(test_settings_file_wins),
		cmocka_unit_test(test_inside),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
