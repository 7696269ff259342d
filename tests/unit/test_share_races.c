/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name that stands for another file by the time what was made is looked at again: by another share over the same folder, or
 * by the host. The linker leads tree_open_child() and tree_stat() through here, where the swap is made, once.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/share_dir.h"
#include "vmm/base/cleanup.h"
#include "vmm/share/share.h"

struct fixture {
	struct share_dir dir;
	struct share share;
};

/* Of the folder; NULL: nothing is swapped. */
static const char *swap_from, *swap_to;
static int swap_dir_fd;

static void swap(void)
{
	const char *from = swap_from;

	swap_from = NULL;
	if (from)
		assert_int_equal(
			renameat2(swap_dir_fd, from, swap_dir_fd, swap_to, RENAME_EXCHANGE), 0);
}

int __real_tree_open_child(const struct tree *tree, int dir_fd, const char *name);
int __wrap_tree_open_child(const struct tree *tree, int dir_fd, const char *name);
int __wrap_tree_open_child(const struct tree *tree, int dir_fd, const char *name)
{
	swap();
	return __real_tree_open_child(tree, dir_fd, name);
}

int __real_tree_stat(int fd, struct statx *ret);
int __wrap_tree_stat(int fd, struct statx *ret);
int __wrap_tree_stat(int fd, struct statx *ret)
{
	swap();
	return __real_tree_stat(fd, ret);
}

static int set_up(void **state)
{
	static struct fixture f;
	struct share_config config = { .proc_path = "/proc/self/fd", .kind = IDMAP_MAPPED };
	struct err err = {};

	share_dir_init(&f.dir);
	config.root_fd = fcntl(f.dir.share_fd, F_DUPFD_CLOEXEC, 3);
	config.proc_fd = f.dir.proc_fd;
	swap_dir_fd = f.dir.share_fd;
	*state = &f;
	return share_init(&f.share, &config, &err);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	share_finish(&f->share);
	share_dir_finish(&f->dir);
	return 0;
}

/* The user's own file or folder of mode 0640, as the guest sees it. */
static void assert_untouched(struct fixture *f, const char *name, mode_t type)
{
	_cleanup_close_ int fd = share_lookup(&f->share, f->share.tree.root_fd, name);
	struct statx stx;

	assert_true(fd >= 0);
	assert_int_equal(share_getattr(&f->share, fd, &stx), 0);
	assert_int_equal(stx.stx_mode, type | 0640);
	assert_int_equal(stx.stx_uid, IDMAP_GUEST_ID);
	assert_int_equal(stx.stx_gid, IDMAP_GUEST_ID);
}

/* "theirs" is put in the place of "new" while that is made. */
static void arm(struct fixture *f)
{
	const char *path = share_dir_path(&f->dir, "share/theirs");

	share_dir_write(path, "theirs");
	assert_int_equal(chmod(path, 0640), 0);
	swap_from = "new";
	swap_to = "theirs";
}

static const struct share_user root_user = { 0, 0 };

static void test_a_special_file(void **state)
{
	struct fixture *f = *state;
	struct statx stx;

	arm(f);
	assert_int_equal(share_mknod(&f->share, f->share.tree.root_fd, "new", S_IFIFO | 0777, 0,
				 &root_user, &stx),
		0);
	assert_null(swap_from);
	assert_untouched(f, "new", S_IFREG);
}

static void test_a_folder(void **state)
{
	struct fixture *f = *state;
	struct statx stx;

	arm(f);
	assert_int_equal(
		share_mkdir(&f->share, f->share.tree.root_fd, "new", 0777, &root_user, &stx), 0);
	assert_null(swap_from);
	assert_untouched(f, "new", S_IFREG);
	assert_true(S_ISREG(stx.stx_mode));
}

static void test_a_symlink(void **state)
{
	struct fixture *f = *state;
	struct statx stx;

	arm(f);
	assert_int_equal(
		share_symlink(&f->share, f->share.tree.root_fd, "new", "to", &root_user, &stx), 0);
	assert_null(swap_from);
	assert_untouched(f, "new", S_IFREG);
}

/* And undisturbed each is as asked. */
static void test_what_is_made_in_peace(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = -1;
	struct statx stx;

	assert_int_equal(share_mknod(&f->share, f->share.tree.root_fd, "new", S_IFIFO | 0751, 0,
				 &root_user, &stx),
		0);
	fd = share_lookup(&f->share, f->share.tree.root_fd, "new");
	assert_true(fd >= 0);
	assert_int_equal(share_getattr(&f->share, fd, &stx), 0);
	assert_int_equal(stx.stx_mode, S_IFIFO | 0751);
	assert_int_equal(stx.stx_uid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_special_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_symlink, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_made_in_peace, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
