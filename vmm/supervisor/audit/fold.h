/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Repeated denials, and all that a guest says of itself, become counted records (H7), so that no guest rolls evidence out of the
 * log by doing the same over and over: the first of a kind is recorded at once, what follows is counted, and a count is recorded every FOLD_INTERVAL_MS while there is any. Of
 * a kind are those of one source with one rule, method and host. What finds no free place is counted with the others of
 * its source. Nothing is dropped: a place is given up when its count was recorded.
 * No clock: the caller says what time it is.
 */
#include <stdbool.h>

#include "vmm/supervisor/audit/audit_line.h"

#define FOLD_INTERVAL_MS 10000
#define FOLD_PLACES_MAX	 64

struct fold;

int fold_create(struct fold **ret);
void fold_destroy(struct fold *fold);
/* True: it was counted, and is not to be recorded itself. */
bool fold_take(struct fold *fold, enum audit_source source, const struct audit_event *event,
	uint64_t now_ms);
/*
 * The next counted record that is due (all: due or not), until false. It stays due until fold_done(). *ret_event borrows from
 * fold.
 */
bool fold_next(struct fold *fold, uint64_t now_ms, bool all, enum audit_source *ret_source,
	struct audit_event *ret_event);
/* What fold_next() gave is recorded. */
void fold_done(struct fold *fold, uint64_t now_ms);
