/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

#include "tests/lib/private_folder.h"
#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/registry.h"

static char base[PATH_MAX];

static const char *below(const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void test_xdg_rules(void **state)
{
	struct paths paths;

	(void)state;
	setenv("HOME", "/home/dev", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	unsetenv("XDG_CACHE_HOME");
	assert_int_equal(paths_load(&paths, NULL), 0);
	assert_string_equal(paths.state, "/s/sandboxctl");
	assert_string_equal(paths.runtime, "/run/user/7/sandboxctl");
	assert_string_equal(paths.cache, "/home/dev/.cache/sandboxctl");
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(paths_load(&paths, NULL), 0);
	assert_string_equal(paths.runtime, "/s/sandboxctl/run");
	setenv("XDG_STATE_HOME", "relative", 1);
	assert_int_equal(paths_load(&paths, NULL), -EINVAL);
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	assert_int_equal(paths_load(&paths, NULL), -ENOENT);
}

static void test_names_and_lengths(void **state)
{
	struct paths paths = { .state = "/s", .runtime = "/r" };
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(paths_of_state(&paths, "api", "lock", path, NULL), 0);
	assert_string_equal(path, "/s/sandboxes/api/lock");
	assert_int_equal(paths_of_state(&paths, "..", "lock", path, NULL), -EINVAL);
	assert_int_equal(paths_of_runtime(&paths, "a/b", NULL, path, NULL), -EINVAL);
	memset(paths.runtime + 1, 'r', 90);
	assert_int_equal(paths_of_runtime(&paths, "api", "c.sock", path, NULL), 0);
	assert_int_equal(paths_of_runtime(&paths, "api-with-a-name", "control.sock", path, NULL),
		-ENAMETOOLONG);
	assert_int_equal(
		paths_of_runtime(&paths, "api-with-a-name", "a-long-named-folder", path, NULL), 0);
}

static void test_private_folders(void **state)
{
	int fd = -1;

	(void)state;
	assert_int_equal(paths_open_private(below("new"), &fd, NULL), 0);
	close(fd);
	chmod(below("new"), 0755);
	assert_int_equal(paths_open_private(below("new"), &fd, NULL), -EPERM);
	chmod(below("new"), 0700);
	assert_int_equal(symlink("new", below("link")), 0);
	assert_int_equal(paths_open_private(below("link"), &fd, NULL), -ENOTDIR);
	/* A link above is followed, and what it leads to is looked at. */
	assert_int_equal(paths_open_private(below("link/inner"), &fd, NULL), 0);
	close(fd);
	assert_int_equal(mkdir(below("open"), 0777), 0);
	chmod(below("open"), 01777);
	assert_int_equal(paths_open_private(below("open/mine"), &fd, NULL), -EPERM);
	close(open(below("file"), O_CREAT | O_WRONLY, 0600));
	assert_true(paths_open_private(below("file"), &fd, NULL) < 0);
	assert_int_equal(paths_open_private("relative", &fd, NULL), -EINVAL);
}

/* Whoever may write in the cache chooses what others' guests run. */
static void test_a_cache_of_ones_own(void **state)
{
	struct err err = {};
	struct paths paths;
	char path[PATH_MAX + 64];

	(void)state;
	setenv("HOME", base, 1);
	setenv("XDG_STATE_HOME", below("st"), 1);
	setenv("XDG_CACHE_HOME", below("ca"), 1);
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(paths_load(&paths, &err), 0);
	assert_int_equal(paths_prepare(&paths, &err), 0); /* none yet */
	assert_int_equal(mkdir(below("ca"), 0755), 0);
	assert_int_equal(mkdir(below("ca/sandboxctl"), 0755), 0);
	assert_int_equal(mkdir(below("ca/sandboxctl/kernels"), 0755), 0);
	assert_int_equal(paths_prepare(&paths, &err), 0);
	chmod(below("ca/sandboxctl/kernels"), 0777);
	assert_int_equal(paths_prepare(&paths, &err), -EPERM);
	assert_non_null(strstr(err.text, "ca/sandboxctl/kernels: anybody may write in it"));
	assert_non_null(strstr(err.next_step, "XDG_CACHE_HOME"));
	chmod(below("ca/sandboxctl/kernels"), 0755);
	chmod(below("ca"), 01777);
	assert_int_equal(paths_prepare(&paths, &err), -EPERM);
	chmod(below("ca"), 0755);
	/* A link out of it leads to where others may write. */
	assert_int_equal(mkdir(below("public"), 0777), 0);
	chmod(below("public"), 0777);
	snprintf(path, sizeof(path), "%s/public", base);
	assert_int_equal(symlink(path, below("ca/sandboxctl/tools")), 0);
	assert_int_equal(paths_prepare(&paths, &err), -EPERM);
	assert_int_equal(unlink(below("ca/sandboxctl/tools")), 0);
	assert_int_equal(paths_prepare(&paths, &err), 0);
}

static int make_base(void **state)
{
	(void)state;
	return private_folder_make(base) ? 0 : -1;
}

static int remove_base(void **state)
{
	(void)state;
	return registry_remove_folder(base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xdg_rules),
		cmocka_unit_test(test_names_and_lengths),
		cmocka_unit_test(test_private_folders),
		cmocka_unit_test(test_a_cache_of_ones_own),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
