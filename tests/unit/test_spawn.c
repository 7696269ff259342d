/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/spawn.h"

/* Runs a shell command with the write end of a pipe as its fd 5; gives what came through and the exit code. */
static int run_shell(const char *command, const char *const *environment, char *output, size_t size)
{
	const char *argv[] = { "sh", "-c", command, NULL };
	struct spawn_spec spec = { .path = "/bin/sh", .argv = argv, .environment = environment };
	struct err err = {};
	int pair[2], status, pidfd;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	struct spawn_fd fds[] = { { pair[1], 5 } };
	spec.fds = fds;
	spec.fd_count = ARRAY_SIZE(fds);
	assert_int_equal(spawn(&spec, &pid, &pidfd, &err), 0);
	close(pair[1]);
	for (size_t len = 0; (n = read(pair[0], output + len, size - 1 - len)) >= 0;
		len += (size_t)n) {
		output[len + (size_t)n] = '\0';
		if (n == 0)
			break;
	}
	close(pair[0]);
	close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_only_named_fds_arrive(void **state)
{
	char output[256];

	(void)state;
	/* An fd without CLOEXEC, below and above the target: neither may arrive. */
	_cleanup_close_ int low = dup(0), high = fcntl(0, F_DUPFD, 200);
	run_shell("exec >&5; cd /proc/self/fd; for f in *; do [ -e $f ] && printf '%s ' $f; done",
		NULL, output, sizeof(output));
	assert_string_equal(output, "0 1 2 5 ");
	assert_true(low >= 0 && high >= 0);
}

/* S12: nothing of our environment reaches a child unless named. */
static void test_environment_is_explicit(void **state)
{
	static const char *const environment[] = { "ONLY=this", NULL };
	char output[512];

	(void)state;
	setenv("SECRET_CANARY", "bird", 1);
	run_shell("env >&5", environment, output, sizeof(output));
	assert_non_null(strstr(output, "ONLY=this"));
	assert_null(strstr(output, "SECRET_CANARY"));
	run_shell("env >&5", NULL, output, sizeof(output));
	assert_null(strstr(output, "SECRET_CANARY"));
}

static void test_exit_code_and_folder(void **state)
{
	char output[64];

	(void)state;
	assert_int_equal(run_shell("pwd >&5; exit 7", NULL, output, sizeof(output)), 7);
	assert_string_equal(output, "/\n");
}

static void test_a_program_that_is_not_there(void **state)
{
	static const char *const argv[] = { "none", NULL };
	const struct spawn_spec spec = { .path = "/nonexistent/none", .argv = argv };
	struct err err = {};
	int pidfd = -1;
	pid_t pid = -1;

	(void)state;
	assert_int_equal(spawn(&spec, &pid, &pidfd, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/none"));
	assert_int_equal(pid, -1);
	assert_int_equal(pidfd, -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_named_fds_arrive),
		cmocka_unit_test(test_environment_is_explicit),
		cmocka_unit_test(test_exit_code_and_folder),
		cmocka_unit_test(test_a_program_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
