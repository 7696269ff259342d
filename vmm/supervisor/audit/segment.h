/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The files of a log's folder: `head` (head.h), `active.jsonl`, which grows, and sealed segments, which never change again:
 * `segment-N.jsonl`, N the sequence of its first line in 20 digits, so that a listing is in order.
 */
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_HEAD	 "head"
#define SEGMENT_ACTIVE	 "active.jsonl"
#define SEGMENT_NAME_MAX 48
#define SEGMENT_FILE_MAX (64u << 20) /* what is read of one at most */
#define SEGMENTS_MAX	 4096 /* of one log */

void segment_name(uint64_t first, char out[static SEGMENT_NAME_MAX]);
/* The first sequences of the sealed segments that are there, in order; to be freed. -E2BIG, -errno. */
int segment_list(int dir_fd, uint64_t **ret_firsts, size_t *ret_count);
/* The whole file; to be freed. -ELOOP for a link. */
int segment_read(int dir_fd, const char *name, char **ret_text, size_t *ret_len);
