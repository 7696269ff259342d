/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whole reads and writes, and fds over Unix sockets. All give 0 or a count, or -errno; EINTR never escapes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/* Exactly len bytes; -EPIPE where the end comes first (fdio_read_full). Blocking fds. */
int fdio_read_full(int fd, void *data, size_t len);
int fdio_write_full(int fd, const void *data, size_t len);
int fdio_pread_full(int fd, void *data, size_t len, uint64_t offset);

/*
 * A whole file of at most max bytes, NUL-terminated (the NUL not counted), in memory that the caller frees. -EFBIG if
 * it is longer. dir_fd/path as for openat(2); AT_FDCWD allowed.
 */
int fdio_read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_len);

/* Writes path by a temporary name in the same folder, fsync and rename: readers see the old or the new text, whole. */
int fdio_write_file_atomic(int dir_fd, const char *path, const void *data, size_t len, mode_t mode);
/* A symbolic link, likewise: whatever stood at path is replaced. */
int fdio_symlink_atomic(const char *target, const char *path);

int fdio_set_nonblocking(int fd, bool on);

#define FDIO_MAX_FDS 4

/*
 * One message with up to FDIO_MAX_FDS fds. Sending borrows the fds. Receiving sets *ret_count fds in ret_fds (owned by
 * the caller, CLOEXEC; at most max_fds, any more are closed and the call fails with -EMSGSIZE) and gives the number of
 * bytes, 0 at the end of the stream. -EMSGSIZE also where the message was cut.
 */
ssize_t fdio_send_fds(int socket_fd, const void *data, size_t len, const int *fds, size_t count);
ssize_t fdio_recv_fds(
	int socket_fd, void *data, size_t size, int *ret_fds, size_t max_fds, size_t *ret_count);

/* mkdir -p below dir_fd, each new folder with mode. Existing folders are left alone. */
int fdio_mkdir_parents(const char *path, mode_t mode);
