/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a child writes on stderr: kept in a capped file, and of it the last line and the last one that said what to do,
 * both printable, for the reason of an end. The child may be a guest's by then: its text is shown, never acted on.
 *
 * Threads: one. Errors of the disk are swallowed (capped_log.h).
 */
#include <stddef.h>

#include "vmm/base/capped_log.h"

#define CHILD_LOG_CAP	   (64 * 1024)
#define CHILD_LOG_TAIL_MAX 160
#define CHILD_LOG_FIX_MAX  256

struct child_log {
	struct capped_log file;
	char tail[CHILD_LOG_TAIL_MAX]; /* the last line it wrote */
	char fix[CHILD_LOG_FIX_MAX]; /* the last one that said what to do (JAIL_FIX_MARK); "" where none did */
};

/* fd: O_RDWR, borrowed; -1: no file is kept. */
void child_log_init(struct child_log *log, int fd);
void child_log_take(struct child_log *log, const char *data, size_t len);
