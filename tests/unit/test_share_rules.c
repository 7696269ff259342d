/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/owner.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/share_rules.h"

static struct paths paths;

static int check(const char *folder, bool readonly, struct share_protected *list, struct err *err)
{
	struct spec spec;
	int r;

	assert_int_equal(spec_init(&spec), 0);
	assert_int_equal(spec_set_workspace(&spec, folder, NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), 0);
	spec.workspace.readonly = readonly;
	r = share_rules_check(&paths, &spec, list, err);
	spec_finish(&spec);
	return r;
}

static void test_what_may_not_be_shared(void **state)
{
	static const char *const refused[] = { ".", "home", "home/.local/state",
		"home/.local/state/sandboxctl", "home/.local/state/sandboxctl/sandboxes",
		"home/.cache/sandboxctl/kernels", "home/.config", "run/sandboxctl" };
	struct share_protected list = {};
	struct err err = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		err = (struct err){};
		if (check(at(refused[i]), false, &list, &err) != -EPERM)
			fail_msg("%s was let through", refused[i]);
		assert_non_null(strstr(err.text, base));
	}
	assert_int_equal(check("/", true, &list, &err), -EPERM); /* read-only or not */
	assert_int_equal(check(at("home"), true, &list, &err), -EPERM);
	/* By another way in, too. */
	assert_int_equal(symlink(at("home"), at("link")), 0);
	assert_int_equal(check(at("link"), false, &list, &err), -EPERM);
}

static void test_projects_may(void **state)
{
	struct share_protected list = {};
	struct err err = {};

	(void)state;
	if (check(at("home/project"), false, &list, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(list.count, 0);
	assert_int_equal(check(at("elsewhere"), false, &list, &err), 0);
}

static bool is_listed(const struct share_protected *list, const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i].device == st.st_dev && list->ids[i].inode == st.st_ino)
			return true;
	return false;
}

/* A build tree at work on itself: what runs is kept from the guest, with every folder on the way. */
static void test_our_scripts_in_a_share_are_protected(void **state)
{
	char script[PATH_MAX], tree[PATH_MAX], path[PATH_MAX];
	struct share_protected list = {}, none = {};
	struct err err = {};

	(void)state;
	if (paths_find_image_script("initramfs/build", script, NULL) < 0)
		skip();
	strcpy(tree, script);
	*strstr(tree, "/images/initramfs/build") = '\0';
	if (check(tree, false, &list, &err) < 0)
		skip(); /* the tree lies where nothing may be shared */
	assert_true(is_listed(&list, script));
	snprintf(path, sizeof(path), "%s/images", tree);
	assert_true(is_listed(&list, path));
	snprintf(path, sizeof(path), "%s/images/cache.bash", tree);
	assert_true(is_listed(&list, path));
	assert_false(is_listed(&list, tree));
	assert_int_equal(check(tree, true, &none, &err), 0);
	assert_int_equal(none.count, 0);
}

static void test_whose_rights(void **state)
{
	struct owner owner;
	struct spec spec;
	struct err err = {};

	(void)state;
	assert_int_equal(spec_init(&spec), 0);
	assert_int_equal(spec_set_workspace(&spec, at("home/project"), NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), 0);
	unsetenv("SUDO_UID");
	assert_int_equal(owner_of_sandbox(&spec, &owner, NULL), 0);
	assert_int_equal(owner.uid, geteuid());
	assert_false(owner_is_other(&owner));
	assert_int_equal(owner_check_access(&owner, at("home/project"), true, NULL), 0);
	if (geteuid() == 0) {
		setenv("SUDO_UID", "4711", 1);
		setenv("SUDO_GID", "4712", 1);
		assert_int_equal(owner_of_sandbox(&spec, &owner, NULL), 0);
		assert_int_equal(owner.uid, 4711);
		assert_int_equal(owner.gid, 4712);
		assert_int_equal(owner_check_access(&owner, at("home"), false, &err), -EACCES);
		assert_non_null(strstr(err.text, "4711"));
		assert_int_equal(chown(at("home/project"), 815, 816), 0);
		assert_int_equal(owner_of_sandbox(&spec, &owner, NULL), 0);
		assert_int_equal(owner.uid, 815);
		unsetenv("SUDO_UID");
		unsetenv("SUDO_GID");
	}
	spec.workspace.inode++;
	assert_int_equal(owner_of_sandbox(&spec, &owner, NULL), -ESTALE);
	spec_finish(&spec);
}

static int set_up(void **state)
{
	static const char *const folders[] = { "home/project",
		"home/.local/state/sandboxctl/sandboxes", "home/.cache/sandboxctl/kernels",
		"home/.config/sandboxctl", "run/sandboxctl", "elsewhere" };

	(void)state;
	if (make_base() < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (fdio_mkdir_parents(at(folders[i]), 0700) < 0)
			return -1;
	setenv("HOME", at("home"), 1);
	setenv("XDG_RUNTIME_DIR", at("run"), 1);
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CACHE_HOME");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_DATA_HOME");
	return paths_load(&paths, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_may_not_be_shared),
		cmocka_unit_test(test_projects_may),
		cmocka_unit_test(test_our_scripts_in_a_share_are_protected),
		cmocka_unit_test(test_whose_rights),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
