/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/share_dir.h"
#include "vmm/base/array.h"
#include "vmm/sandboxctl/linked_names.h"

#define S(...)	 share_dir_path(&dir, "share/" __VA_ARGS__)
#define OUT(...) share_dir_path(&dir, "outside/" __VA_ARGS__)

static struct share_dir dir;

static int set_up(void **state)
{
	(void)state;
	share_dir_init(&dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	share_dir_finish(&dir);
	return 0;
}

static struct linked_name name_of(const char *path)
{
	struct stat st = {};

	assert_int_equal(lstat(path, &st), 0);
	return (struct linked_name){ .device = st.st_dev, .inode = st.st_ino };
}

static void test_names_are_found(void **state)
{
	struct linked_name names[4];

	(void)state;
	mkdir(S("a"), 0755);
	mkdir(S("a/b"), 0755);
	share_dir_write(OUT("one"), "");
	share_dir_write(OUT("elsewhere"), "");
	share_dir_write(S("top"), "");
	assert_int_equal(link(OUT("one"), S("a/b/one")), 0);
	names[0] = name_of(OUT("one"));
	names[1] = name_of(OUT("elsewhere"));
	names[2] = name_of(S("top"));
	names[3] = name_of(S("top"));
	names[3].device++;
	/* H14: a link to the file's folder is no way to it. */
	assert_int_equal(symlink(dir.outside, S("link")), 0);
	assert_int_equal(linked_names_find(S(""), names, ARRAY_SIZE(names)), 0);
	assert_string_equal(names[0].path, "a/b/one");
	assert_null(names[1].path);
	assert_string_equal(names[2].path, "top");
	assert_null(names[3].path);
	free(names[0].path);
	free(names[2].path);
}

static void test_status_gets_them(void **state)
{
	_cleanup_document_ struct document *status = document_object();
	struct document *shares = document_list(), *share = document_object(),
			*files = document_list(), *file = document_object();
	const struct document *found;
	struct linked_name name;

	(void)state;
	share_dir_write(S("x"), "");
	name = name_of(S("x"));
	document_set_int(file, "device", (int64_t)name.device);
	document_set_int(file, "inode", (int64_t)name.inode);
	document_append(files, file);
	document_set_text(share, "host", S(""));
	document_set_text(share, "guest", "/workspace");
	document_set_int(share, "refusals", 9);
	document_set_child(share, "files", files);
	document_append(shares, share);
	document_set_child(status, "linked_outside", shares);
	linked_names_fill(status);
	found = document_at(document_child(status, "linked_outside"), 0);
	assert_int_equal(document_int(found, "refusals", 0), 9);
	assert_string_equal(document_text(found, "guest", ""), "/workspace");
	found = document_at(document_child(found, "files"), 0);
	assert_string_equal(document_text(found, "path", ""), "x");
	assert_int_equal(document_int(found, "inode", 0), name.inode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names_are_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_status_gets_them, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("linked_names", tests, NULL, NULL);
}
