/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/bytes.h"

void vsock_broker_encode(
	const struct vsock_broker_message *message, uint8_t out[static VSOCK_BROKER_SIZE])
{
	struct bytes_writer w = bytes_writer(out, VSOCK_BROKER_SIZE);

	bytes_put_u8(&w, message->op);
	bytes_put_u8(&w, 0);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, message->id);
	bytes_put_u32(&w, message->port);
	bytes_put_u32(&w, 0);
}

bool vsock_broker_decode(const void *data, size_t size, struct vsock_broker_message *ret)
{
	struct bytes_reader r = bytes_reader(data, size);
	struct vsock_broker_message message = { .op = bytes_get_u8(&r) };
	uint32_t reserved = bytes_get_u8(&r);

	reserved |= bytes_get_u16(&r);
	message.id = bytes_get_u32(&r);
	message.port = bytes_get_u32(&r);
	reserved |= bytes_get_u32(&r);
	if (!bytes_done(&r) || reserved)
		return false;
	if (message.op < VSOCK_BROKER_CONNECT || message.op > VSOCK_BROKER_STREAM)
		return false;
	*ret = message;
	return true;
}

union fd_space {
	struct cmsghdr align;
	char space[CMSG_SPACE(4 * sizeof(int))];
};

int vsock_broker_send(int socket_fd, const struct vsock_broker_message *message, int fd)
{
	uint8_t wire[VSOCK_BROKER_SIZE];
	struct iovec iov = { .iov_base = wire, .iov_len = sizeof(wire) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_space control = {};
	ssize_t n;

	vsock_broker_encode(message, wire);
	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Keeps the first fd, closes the rest; gives how many came. */
static unsigned int take_fds(struct msghdr *msg, int *ret_fd)
{
	unsigned int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (count++ == 0)
				*ret_fd = fd;
			else
				close(fd);
		}
	}
	return count;
}

static bool may_carry_fd(uint8_t op)
{
	return op == VSOCK_BROKER_ACCEPTED || op == VSOCK_BROKER_OPEN || op == VSOCK_BROKER_STREAM;
}

int vsock_broker_receive(int socket_fd, struct vsock_broker_message *ret, int *ret_fd)
{
	uint8_t wire[VSOCK_BROKER_SIZE + 1];
	struct iovec iov = { .iov_base = wire, .iov_len = sizeof(wire) };
	union fd_space control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct vsock_broker_message message;
	unsigned int fds;
	int fd = -1;
	ssize_t n;

	do
		n = recvmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fds = take_fds(&msg, &fd);
	if (n == 0 && fds == 0)
		return 0;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || fds > 1 ||
		!vsock_broker_decode(wire, (size_t)n, &message) ||
		(fds && !may_carry_fd(message.op)) ||
		(message.op == VSOCK_BROKER_ACCEPTED && fds == 0)) {
		if (fd >= 0)
			close(fd);
		return -EBADMSG;
	}
	*ret = message;
	*ret_fd = fd;
	return 1;
}
