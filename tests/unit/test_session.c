/* SPDX-License-Identifier: Apache-2.0 */
/* A session of exec: what the guest said before it hung up counts, whatever this side still wanted to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/sandboxctl/session.h"

#define LOST 99

/* A command that has printed and ended, and a guest that is gone, before this side looks for the first time. */
static int guest_that_was_fast(bool with_exit)
{
	const struct stream_exit e = { .kind = STREAM_EXITED, .value = 7 };
	uint8_t head[PROTOCOL_HEAD_SIZE], frame[STREAM_FIXED_MAX];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	stream_bytes_head(STREAM_STDOUT, 4, head);
	assert_int_equal(write(ends[1], head, sizeof(head)), sizeof(head));
	assert_int_equal(write(ends[1], "out\n", 4), 4);
	if (with_exit) {
		size_t len = stream_exit_frame(&e, frame);

		assert_int_equal(write(ends[1], frame, len), len);
	}
	close(ends[1]);
	return ends[0];
}

/* In a process of its own, for its standard files are the session's. stdin is at its end. */
static int run_session(int stream_fd, char out[static 16])
{
	const struct session_options options = { .stdin_open = true };
	int output[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(output), 0);
	pid = fork();
	if (pid == 0) {
		struct session_result result;
		struct err err = {};

		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(output[1], STDOUT_FILENO);
		if (session_run(stream_fd, &options, &result, &err) < 0)
			_exit(98);
		_exit(result.end == SESSION_EXITED ? result.value : LOST);
	}
	close(output[1]);
	close(stream_fd);
	n = read(output[0], out, 15);
	out[n > 0 ? n : 0] = '\0';
	close(output[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_a_fast_command(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(run_session(guest_that_was_fast(true), out), 7);
	assert_string_equal(out, "out\n");
}

static void test_a_lost_one(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(run_session(guest_that_was_fast(false), out), LOST);
	assert_string_equal(out, "out\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_fast_command),
		cmocka_unit_test(test_a_lost_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
