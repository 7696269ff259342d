/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_TAKEN 4 /* room for more than the one there may be, so that they are closed */

union fd_space {
	struct cmsghdr align;
	char space[CMSG_SPACE(FDS_TAKEN * sizeof(int))];
};

int fdpass_send(int socket_fd, const void *data, size_t len, int fd)
{
	struct iovec iov = { .iov_base = (void *)(size_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_space control = {};
	ssize_t n;

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

int fdpass_receive(int socket_fd, void *data, size_t size, size_t *ret_len, int *ret_fd)
{
	struct iovec iov = { .iov_base = data, .iov_len = size };
	union fd_space control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
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
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || fds > 1) {
		if (fd >= 0)
			close(fd);
		return -EBADMSG;
	}
	*ret_len = (size_t)n;
	*ret_fd = fd;
	return 1;
}
