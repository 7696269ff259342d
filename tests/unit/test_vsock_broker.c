/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/fdio.h"
#include "vmm/devices/vsock_broker.h"

static void test_golden_bytes(void **state)
{
	const struct vsock_broker_message message = {
		.op = VSOCK_BROKER_CONNECT, .id = 0x01020304, .port = 1024
	};
	uint8_t wire[VSOCK_BROKER_SIZE];
	struct vsock_broker_message back;

	(void)state;
	vsock_broker_encode(&message, wire);
	assert_memory_equal(
		wire, "\x01\0\0\0\x04\x03\x02\x01\0\x04\0\0\0\0\0\0", VSOCK_BROKER_SIZE);
	assert_true(vsock_broker_decode(wire, sizeof(wire), &back));
	assert_int_equal(back.op, VSOCK_BROKER_CONNECT);
	assert_int_equal(back.id, 0x01020304);
	assert_int_equal(back.port, 1024);
}

static void test_refuses_other_forms(void **state)
{
	struct vsock_broker_message message = { .op = VSOCK_BROKER_STREAM, .id = 1 };
	uint8_t wire[VSOCK_BROKER_SIZE + 1] = {};

	(void)state;
	vsock_broker_encode(&message, wire);
	assert_false(vsock_broker_decode(wire, VSOCK_BROKER_SIZE - 1, &message));
	assert_false(vsock_broker_decode(wire, VSOCK_BROKER_SIZE + 1, &message));
	for (size_t i = 0; i < 4; i++) {
		const size_t reserved[] = { 1, 2, 3, 12 };

		wire[reserved[i]] = 1;
		assert_false(vsock_broker_decode(wire, VSOCK_BROKER_SIZE, &message));
		wire[reserved[i]] = 0;
	}
	wire[0] = 0;
	assert_false(vsock_broker_decode(wire, VSOCK_BROKER_SIZE, &message));
	wire[0] = 8;
	assert_false(vsock_broker_decode(wire, VSOCK_BROKER_SIZE, &message));
}

static void test_fd_changes_hands(void **state)
{
	struct vsock_broker_message message = { .op = VSOCK_BROKER_ACCEPTED, .id = 7 };
	int pair[2], stream[2], fd = -1;

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), errno);
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), -EAGAIN);
	assert_int_equal(vsock_broker_send(pair[0], &message, stream[0]), 0);
	memset(&message, 0, sizeof(message));
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), 1);
	assert_int_equal(message.id, 7);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	close(stream[0]);
	close(stream[1]);
	close(pair[0]);
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), 0);
	close(pair[1]);
}

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_wrong_fds_are_closed(void **state)
{
	struct vsock_broker_message message = { .op = VSOCK_BROKER_REFUSED, .id = 7 };
	int pair[2], fd = -1, before, two[2] = { 0, 1 };
	uint8_t wire[VSOCK_BROKER_SIZE];

	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
	before = open_fds();
	assert_int_equal(vsock_broker_send(pair[0], &message, 0), 0); /* REFUSED carries none */
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), -EBADMSG);
	message.op = VSOCK_BROKER_ACCEPTED; /* carries one: none, then two come */
	assert_int_equal(vsock_broker_send(pair[0], &message, -1), 0);
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), -EBADMSG);
	vsock_broker_encode(&message, wire);
	assert_int_equal(fdio_send_fds(pair[0], wire, sizeof(wire), two, 2), sizeof(wire));
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), -EBADMSG);
	assert_int_equal(fdio_send_fds(pair[0], "short", 5, two, 2), 5);
	assert_int_equal(vsock_broker_receive(pair[1], &message, &fd), -EBADMSG);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_bytes),
		cmocka_unit_test(test_refuses_other_forms),
		cmocka_unit_test(test_fd_changes_hands),
		cmocka_unit_test(test_wrong_fds_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
