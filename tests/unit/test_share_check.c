/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/share_dir.h"
#include "vmm/share/share_check.h"

/* S10. TOP/share plays the home directory. */
static struct share_dir dir;

static int check(const char *path, enum share_place_kind kind, const char *place, struct err *err)
{
	struct share_place places[] = { { "a place of ours", place, kind } };
	struct share_root root;

	return share_check_root(path, places, 1, &root, err);
}

static int set_up(void **state)
{
	(void)state;
	share_dir_init(&dir);
	mkdir(share_dir_path(&dir, "share/project"), 0755);
	mkdir(share_dir_path(&dir, "share/.config"), 0755);
	mkdir(share_dir_path(&dir, "share/.config/sandboxctl"), 0755);
	return symlink(dir.share, share_dir_path(&dir, "link"));
}

static int tear_down(void **state)
{
	(void)state;
	close(dir.share_fd);
	share_dir_finish(&dir);
	return 0;
}

static void test_home(void **state)
{
	struct err err = {};

	(void)state;
	assert_int_equal(check(dir.share, SHARE_PLACE_HOME, dir.share, &err), -EPERM);
	assert_non_null(strstr(err.text, "is a place of ours"));
	assert_int_equal(check(dir.top, SHARE_PLACE_HOME, dir.share, &err), -EPERM);
	assert_non_null(strstr(err.text, "holds a place of ours"));
	assert_int_equal(
		check(share_dir_path(&dir, "share/project"), SHARE_PLACE_HOME, dir.share, &err), 0);
	/* By another name, and by a roundabout one. */
	assert_int_equal(
		check(share_dir_path(&dir, "link"), SHARE_PLACE_HOME, dir.share, &err), -EPERM);
	assert_int_equal(check(share_dir_path(&dir, "share/project/../../share"), SHARE_PLACE_HOME,
				 dir.share, &err),
		-EPERM);
}

static void test_ours(void **state)
{
	const char *ours = share_dir_path(&dir, "share/.config/sandboxctl");

	(void)state;
	assert_int_equal(check(ours, SHARE_PLACE_OURS, ours, NULL), -EPERM);
	assert_int_equal(
		check(share_dir_path(&dir, "share/.config"), SHARE_PLACE_OURS, ours, NULL), -EPERM);
	assert_int_equal(check(dir.share, SHARE_PLACE_OURS, ours, NULL), -EPERM);
	assert_int_equal(check(ours, SHARE_PLACE_OURS, share_dir_path(&dir, "share/.config"), NULL),
		-EPERM); /* lies inside */
	assert_int_equal(
		check(share_dir_path(&dir, "share/project"), SHARE_PLACE_OURS, ours, NULL), 0);
	/* Not there yet: what would hold it is refused, its neighbours are not. */
	ours = share_dir_path(&dir, "share/.cache/later/on");
	assert_int_equal(check(dir.share, SHARE_PLACE_OURS, ours, NULL), -EPERM);
	assert_int_equal(
		check(share_dir_path(&dir, "share/project"), SHARE_PLACE_OURS, ours, NULL), 0);
}

static void test_binaries(void **state)
{
	struct share_place places[] = { { "the binaries", share_dir_path(&dir, "share/project"),
		SHARE_PLACE_BINARIES } };
	struct share_root root = {};
	struct stat st;

	(void)state;
	assert_int_equal(share_check_root(dir.share, places, 1, &root, NULL), 0);
	assert_true(root.holds_binaries);
	assert_int_equal(stat(dir.share, &st), 0);
	assert_int_equal(root.inode, st.st_ino);
	assert_int_equal(root.device, st.st_dev);
	assert_int_equal(share_check_root(places[0].path, places, 1, &root, NULL), -EPERM);
}

static void test_roots_and_nothings(void **state)
{
	struct share_root root;

	(void)state;
	assert_int_equal(share_check_root("/", NULL, 0, &root, NULL), -EPERM);
	assert_int_equal(share_check_root("/usr/..", NULL, 0, &root, NULL), -EPERM);
	assert_int_equal(
		share_check_root(share_dir_path(&dir, "nothing"), NULL, 0, &root, NULL), -ENOENT);
	share_dir_write(share_dir_path(&dir, "file"), "");
	assert_int_equal(
		share_check_root(share_dir_path(&dir, "file"), NULL, 0, &root, NULL), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_binaries),
		cmocka_unit_test(test_roots_and_nothings),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
