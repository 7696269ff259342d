/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

int fdio_read_full(int fd, void *data, size_t len)
{
	uint8_t *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fdio_write_full(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fdio_pread_full(int fd, void *data, size_t len, uint64_t offset)
{
	uint8_t *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads to the end into a buffer that grows up to max + 1 bytes. */
static int read_to_end(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	size_t size = 4096, len = 0;
	_cleanup_free_ char *text = malloc(size);

	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, text + len, size - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
		if (len == size - 1) {
			char *bigger = realloc(text, size * 2);

			if (!bigger)
				return -ENOMEM;
			text = bigger;
			size *= 2;
		}
	}
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int fdio_read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return read_to_end(fd, max, ret_text, ret_len);
}

static int write_new_file(int dir_fd, const char *path, const void *data, size_t len, mode_t mode)
{
	_cleanup_close_ int fd =
		openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fdio_write_full(fd, data, len);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

int fdio_write_file_atomic(int dir_fd, const char *path, const void *data, size_t len, mode_t mode)
{
	char temporary[PATH_MAX];
	int r = snprintf(temporary, sizeof(temporary), "%s.new.%d", path, (int)getpid());

	if (r < 0 || (size_t)r >= sizeof(temporary))
		return -ENAMETOOLONG;
	r = write_new_file(dir_fd, temporary, data, len, mode);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, temporary, 0);
	return r;
}

int fdio_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

union fd_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(FDIO_MAX_FDS * sizeof(int))];
};

ssize_t fdio_send_fds(int socket_fd, const void *data, size_t len, const int *fds, size_t count)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_control control = {};
	ssize_t n;

	if (count > FDIO_MAX_FDS)
		return -EINVAL;
	if (count) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	do
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Moves the fds of one control message into ret_fds; whatever does not fit is closed. False if any did not fit. */
static bool collect_fds(struct cmsghdr *c, int *ret_fds, size_t max_fds, size_t *count)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fitted = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*count < max_fds) {
			ret_fds[(*count)++] = fd;
		} else {
			close(fd);
			fitted = false;
		}
	}
	return fitted;
}

ssize_t fdio_recv_fds(
	int socket_fd, void *data, size_t size, int *ret_fds, size_t max_fds, size_t *ret_count)
{
	struct iovec iov = { .iov_base = data, .iov_len = size };
	union fd_control control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	bool fitted = true;
	size_t count = 0;
	ssize_t n;

	*ret_count = 0;
	do
		n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			fitted = collect_fds(c, ret_fds, max_fds, &count) && fitted;
	if (!fitted || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		while (count)
			close(ret_fds[--count]);
		return -EMSGSIZE;
	}
	*ret_count = count;
	return n;
}

int fdio_mkdir_parents(const char *path, mode_t mode)
{
	char partial[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(partial))
		return -ENAMETOOLONG;
	memcpy(partial, path, len + 1);
	for (char *p = partial + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(partial, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (c == '\0')
			return 0;
	}
}

int fdio_symlink_atomic(const char *target, const char *path)
{
	char temporary[PATH_MAX];

	if (snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid()) >=
		(int)sizeof(temporary))
		return -ENAMETOOLONG;
	unlink(temporary);
	if (symlink(target, temporary) < 0)
		return -errno;
	if (rename(temporary, path) < 0) {
		int code = -errno;

		unlink(temporary);
		return code;
	}
	return 0;
}
