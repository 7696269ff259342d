/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The lines of a log in order, sealed files first, then the active one, while its writer goes on: sealing moves lines from one
 * file to another under the reader's eyes, and it finds them by their sequence. Believes what it reads; whether that is to be
 * believed says verify.h.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/cleanup.h"

struct reader;

/* Begins at the first line with that sequence or a higher one. dir_fd is borrowed. */
int reader_create(int dir_fd, uint64_t from, struct reader **ret);
void reader_destroy(struct reader *reader);
DEFINE_CLEANUP(reader, reader_destroy)
/*
 * 1: a line, without its newline, NUL after it, borrowed until the next call. 0: none for now; asked again, there may be. -errno;
 * -EPROTO: a line that no writer of ours wrote.
 */
int reader_next(struct reader *reader, const char **ret_line, size_t *ret_len);
