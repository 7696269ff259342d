/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#include "images/initramfs_cache.h"
#include "images/kernel_cache.h"
#include "tests/lib/test_folder.h"
#include "vmm/base/fdio.h"

static struct kernel_unpacker unpacker; /* set_up() */

static void test_names(void **state)
{
	struct kernel_choice choice;
	struct err err = {};

	(void)state;
	assert_int_equal(kernel_cache_find(base, NULL, &choice, &err), -ENOENT);
	assert_non_null(strstr(err.next_step, "images/kernel/fetch"));
	assert_int_equal(kernel_cache_find(base, "minimal", &choice, &err), -ENOENT);
	assert_non_null(strstr(err.next_step, "images/kernel/build"));
	put("kernels/minimal/vmlinux", "\177ELF minimal", 0644);
	put("kernels/debian-6.12-generic/vmlinuz", "x", 0644);
	put("kernels/debian-6.12-generic/modules/modules.dep", "", 0644);
	assert_int_equal(kernel_cache_find(base, NULL, &choice, &err), 0);
	assert_string_equal(choice.name, "debian-6.12-generic");
	assert_string_equal(choice.folder, at("kernels/debian-6.12-generic"));
	assert_int_equal(kernel_cache_find(base, "minimal", &choice, &err), 0);
	assert_string_equal(choice.image, at("kernels/minimal/vmlinux"));
	assert_string_equal(choice.folder, "");
	assert_int_equal(kernel_cache_find(base, "6.12", &choice, &err), 0);
	assert_int_equal(kernel_cache_find(base, "cloud", &choice, &err), -ENOENT);
	assert_int_equal(kernel_cache_find(base, "..", &choice, &err), -ENOENT);
	assert_int_equal(kernel_cache_find(base, at("kernels/minimal/vmlinux"), &choice, &err), 0);
	assert_int_equal(kernel_cache_find(base, "/does/not/exist", &choice, &err), -ENOENT);
}

static void test_elf_is_opened_as_it_is(void **state)
{
	struct kernel_choice choice;
	char text[16] = "";
	int fd = -1;

	(void)state;
	assert_int_equal(kernel_cache_find(base, "minimal", &choice, NULL), 0);
	assert_int_equal(kernel_cache_open(base, &choice, &unpacker, &fd, NULL), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 12);
	close(fd);
	assert_int_equal(access(at("vmlinux"), F_OK), -1); /* nothing was unpacked */
	assert_int_equal(kernel_cache_find(base, "6.12", &choice, NULL), 0);
	assert_int_equal(kernel_cache_open(base, &choice, &unpacker, &fd, NULL), -ENOEXEC);
}

/* What a guest makes of the file while it is unpacked is not kept under the digest of what it was. */
static void test_a_file_that_changes_meanwhile(void **state)
{
	static const char kernel[] = "a distribution's kernel";
	struct kernel_unpacker changing = { .uid = getuid(), .gid = getgid() };
	char script[1024], text[64] = {}, program[PATH_MAX];
	struct kernel_choice choice;
	struct err err = {};
	int fd = -1;

	(void)state;
	snprintf(program, sizeof(program), "%s", at("changing"));
	put("moving/vmlinuz", kernel, 0644);
	/* Stands in for sandbox-unpack, and for the guest that writes into the file just then. */
	snprintf(script, sizeof(script),
		"#!/bin/sh\nprintf 'a poisoned kernel' >'%s'\nprintf '\\177ELF'\ncat\nhead -c 256 /dev/zero >&3\n",
		at("moving/vmlinuz"));
	put("changing", script, 0755);
	changing.program = program;
	assert_int_equal(kernel_cache_find(base, at("moving"), &choice, &err), 0);
	if (kernel_cache_open(base, &choice, &changing, &fd, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 4);
	assert_string_equal(text + 4, kernel);
	close(fd);
}

/* Outside of the cache a guest may have written: such modules are not unpacked. */
static void test_modules_come_from_the_cache_only(void **state)
{
	struct kernel_choice choice;
	struct err err = {};

	(void)state;
	put("elsewhere/vmlinuz", "x", 0644);
	assert_int_equal(kernel_cache_find(base, at("elsewhere/vmlinuz"), &choice, &err), 0);
	put("elsewhere/modules/modules.dep", "", 0644);
	assert_int_equal(kernel_cache_find(base, at("elsewhere/vmlinuz"), &choice, &err), -EPERM);
	assert_int_equal(kernel_cache_find(base, at("elsewhere"), &choice, &err), -EPERM);
	assert_non_null(strstr(err.next_step, "/kernels/NAME"));
	assert_int_equal(
		kernel_cache_find(base, at("kernels/debian-6.12-generic"), &choice, &err), 0);
}

static void test_the_initramfs_script_runs_once(void **state)
{
	static const char *const environment[] = { "PATH=/usr/bin:/bin", NULL };
	struct kernel_choice choice = { .name = "k" };
	struct initramfs_inputs in = { base, NULL, NULL, &choice, environment };
	bool p9 = false;
	char text[64], script_path[PATH_MAX], agent_path[PATH_MAX];
	struct err err = {};
	int fd = -1;

	(void)state;
	strcpy(script_path, at("build"));
	strcpy(agent_path, at("agent"));
	in.script = script_path;
	in.agent = agent_path;
	put("agent", "agent", 0755);
	put("build",
		"#!/bin/sh\ncd \"${0%/*}\"\necho noise >&2\necho run >>runs\nmkdir -p made\n"
		"echo \"$*\" >made/initramfs\necho 9p >made/missing\necho \"$PWD/made/initramfs\"\n",
		0755);
	assert_int_equal(initramfs_cache_open(&in, &fd, &p9, &err), 0);
	assert_false(p9);
	close(fd);
	assert_int_equal(initramfs_cache_open(&in, &fd, &p9, &err), 0);
	close(fd);
	fd = open(at("runs"), O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 4); /* "run\n" once */
	close(fd);
	put("agent", "another agent", 0755);
	assert_int_equal(initramfs_cache_open(&in, &fd, &p9, &err), 0);
	close(fd);
	put("build", "#!/bin/sh\necho noise >&2\necho 'error: no agent' >&2\nexit 1\n", 0755);
	assert_int_equal(initramfs_cache_open(&in, &fd, &p9, &err), -EIO);
	assert_non_null(strstr(err.text, "error: no agent"));
}

static int set_up(void **state)
{
	(void)state;
	unpacker = (struct kernel_unpacker){ getenv("SANDBOX_UNPACK"), getuid(), getgid() };
	return make_base();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_elf_is_opened_as_it_is),
		cmocka_unit_test(test_a_file_that_changes_meanwhile),
		cmocka_unit_test(test_modules_come_from_the_cache_only),
		cmocka_unit_test(test_the_initramfs_script_runs_once),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
