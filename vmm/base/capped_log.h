/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A log file that a guest can write to for ever without filling the disk (V10): when it has grown past its cap, the
 * newest half is kept behind a line that says so. Works on an inherited fd (O_RDWR), never by path.
 *
 * Threads: one writer. Errors of the disk are counted and otherwise swallowed: a full disk must not stop a guest.
 */
#include <stddef.h>
#include <stdint.h>

#define CAPPED_LOG_MIN 8192

struct capped_log {
	int fd; /* borrowed; -1: everything is dropped */
	uint64_t cap_bytes; /* at least CAPPED_LOG_MIN */
	uint64_t size_bytes;
	uint64_t errors;
};

int capped_log_init(struct capped_log *log, int fd, uint64_t cap_bytes);
void capped_log_write(struct capped_log *log, const void *data, size_t len);
