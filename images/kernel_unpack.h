/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A kernel file unpacked by sandbox-unpack, a jailed process that ends with it: the file may come from where a guest can
 * write, so who starts sandboxes does not read a byte of it (H10).
 *
 * The process has the file, the output and a pipe for its answer: no path, no capability, no call but those of
 * vmm/jail/seccomp_unpack.c. Memory, processor time and the size of the output are limited there, wall time here. The
 * answer is one record of KERNEL_ANSWER_SIZE bytes: a le32 errno (0: done), then text, NUL-padded; of the text only
 * printable ASCII is taken over.
 */
#include <sys/types.h>

#include "vmm/base/err.h"

#define KERNEL_ANSWER_SIZE 256
#define KERNEL_UNPACK_WALL_MS                                                                      \
	(5 * 60 * 1000) /* xz on a loaded, emulated machine; a file that takes longer is refused */
#define KERNEL_UNPACK_CPU_S 240
#define KERNEL_UNPACK_HEAP_MAX                                                                     \
	(1ull << 30) /* the whole file, and what its unpacker may take (extract.h) */

/* fds of sandbox-unpack */
enum { KERNEL_UNPACK_IN, KERNEL_UNPACK_OUT, KERNEL_UNPACK_ANSWER = 3 };

struct kernel_unpacker {
	const char *program; /* sandbox-unpack's path */
	uid_t uid; /* whose rights it has: as jail_spawn() */
	gid_t gid;
};

/*
 * in_fd: a regular file; out_fd: an empty one, written from its position on. Errors as kernel_extract(), and -EPROTO where
 * the process ended without an answer, -ETIMEDOUT past wall_ms (0: KERNEL_UNPACK_WALL_MS). Main thread only (jail_spawn).
 */
int kernel_unpack_jailed(const struct kernel_unpacker *unpacker, int in_fd, int out_fd,
	unsigned int wall_ms, struct err *err);
