/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One sandbox's log on disk (H7): the only code that writes into its folder.
 *
 * Theory of operation. A record is a line that is appended to the active file; a line that could not be written whole is cut off
 * again, so that a full disk leaves no trace but the error. store_sync() brings the file to the disk and only then signs a head that covers it:
 * so what a head says is there, is. A file that is long or old enough is sealed: synced and signed, renamed, signed once more.
 * Retention takes whole sealed segments from the front: first a head that says where the chain begins from then on, then
 * the files. After a crash at any place of this, store_open() finds which step was the last.
 *
 * What a crash may leave is mended and said in a record of kind `log`: a last line without its end, lines behind the head. What it cannot leave
 * (a line that does not fit, fewer lines than the head says, a head of another key) is somebody's doing and is left as it is: -EBADMSG.
 */
#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/audit/audit_line.h"
#include "vmm/supervisor/audit/key.h"

struct store_limits {
	uint64_t segment_bytes; /* sealed when it is as long as that */
	uint64_t segment_age_s; /* or its first line that old */
	uint64_t total_bytes; /* of all files: more takes the oldest segments away */
	uint64_t keep_s; /* what was sealed longer ago than that goes */
};
#define STORE_LIMITS_DEFAULT                                                                       \
	{                                                                                          \
		.segment_bytes = 4u << 20, .segment_age_s = 86400, .total_bytes = 256u << 20,      \
		.keep_s = UINT64_C(90) * 86400                                                     \
	}

struct store;

/* dir_fd and key are borrowed, as are origin's texts; origin.sandbox is the log's name. */
int store_open(int dir_fd, const struct audit_key *key, const struct audit_origin *origin,
	const struct store_limits *limits, struct store **ret, struct err *err);
void store_destroy(struct store *store); /* syncs nothing */
/* Told of each line that is in the log, and of each head that was signed; borrowed. */
typedef void store_listener_fn(void *data, const char *text, size_t len);
void store_listen(struct store *store, store_listener_fn *listener, void *data);
/* -errno: nothing of it is in the log. */
int store_append(struct store *store, enum audit_source source, const struct audit_event *event);
/*
 * What a failure means, for people (errno). -E2BIG: SEGMENTS_MAX files: somebody changed the oldest ones long ago, so they stay; every writer has
 * said so in the log.
 */
const char *store_error_words(int error);
/* To the disk, signed; sealing and retention where it is time. */
int store_sync(struct store *store);
bool store_is_dirty(const struct store *store);
