/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/egress_control.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/fdpass.h"

static int pair[2];

static int open_pair(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int close_pair(void **state)
{
	(void)state;
	close(pair[0]);
	return close(pair[1]);
}

static void carries_an_fd_and_a_name(void **state)
{
	struct egress_control m = { .op = EGRESS_CONTROL_INJECTOR, .binding = "github" }, got;
	int pipe_fds[2], fd;
	char c = 'x';

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(egress_control_receive(pair[1], &got, &fd), -EAGAIN);
	assert_int_equal(egress_control_send(pair[0], &m, pipe_fds[1]), 0);
	assert_int_equal(egress_control_receive(pair[1], &got, &fd), 1);
	assert_int_equal(got.op, EGRESS_CONTROL_INJECTOR);
	assert_string_equal(got.binding, "github");
	assert_int_equal(write(fd, &c, 1), 1);
	c = 0;
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(pair[0]);
	assert_int_equal(egress_control_receive(pair[1], &got, &fd), 0);
	pair[0] = dup(pair[1]); /* for close_pair() */
}

static void sends_nothing_that_is_wrong(void **state)
{
	struct egress_control m = { .op = EGRESS_CONTROL_POLICY };

	(void)state;
	assert_int_equal(egress_control_send(pair[0], &m, -1), -EINVAL);
	strcpy(m.binding, "x"); /* a policy has none */
	assert_int_equal(egress_control_send(pair[0], &m, 0), -EINVAL);
	m = (struct egress_control){ .op = EGRESS_CONTROL_INJECTOR, .binding = "a b" };
	assert_int_equal(egress_control_send(pair[0], &m, 0), -EINVAL);
	memset(m.binding, 'x', sizeof(m.binding));
	assert_int_equal(egress_control_send(pair[0], &m, 0), -EINVAL);
	m = (struct egress_control){ .op = 9 };
	assert_int_equal(egress_control_send(pair[0], &m, 0), -EINVAL);
}

static void drops_what_is_not_a_message(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool fd;
	} bad[] = {
		{ "\1\0\0\0", 4, false }, /* without an fd */
		{ "\0\0\0\0", 4, true },
		{ "\4\0\0\0", 4, true },
		{ "\1\1\0\0", 4, true },
		{ "\1\0\0\1", 4, true },
		{ "\1\0\0", 3, true },
		{ "\1\0\0\0x", 5, true }, /* no policy has a binding */
		{ "\2\0\0\0x\0y", 7, true },
		{ "\2\0\0\0x\ny", 7, true },
	};
	char longest[EGRESS_CONTROL_SIZE_MAX + 1] = { EGRESS_CONTROL_INJECTOR };
	struct egress_control got;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(
			fdpass_send(pair[0], bad[i].bytes, bad[i].len, bad[i].fd ? 0 : -1), 0);
		assert_int_equal(egress_control_receive(pair[1], &got, &fd), -EBADMSG);
	}
	memset(longest + EGRESS_CONTROL_HEAD, 'x', sizeof(longest) - EGRESS_CONTROL_HEAD);
	assert_int_equal(fdpass_send(pair[0], longest, sizeof(longest), 0), 0);
	assert_int_equal(egress_control_receive(pair[1], &got, &fd), -EBADMSG);
	assert_int_equal(fdpass_send(pair[0], longest, sizeof(longest) - 1, 0), 0);
	assert_int_equal(egress_control_receive(pair[1], &got, &fd), 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_an_fd_and_a_name, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(sends_nothing_that_is_wrong, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(drops_what_is_not_a_message, open_pair, close_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
