/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The client side of a sandbox's beginning and end: what sandboxctl calls. All blocking.
 */
#include "vmm/supervisor/registry.h"

#define START_STAGE_MAX 32
#define START_GRACE_MS	10000 /* what an orderly stop gets before TERM */

/* Told while a start goes on: a stage's word ("kernel", "initramfs", "boot", "ready") and a line for a human. May be NULL. */
typedef void start_progress_fn(void *data, const char *stage, const char *text);

/*
 * What a start of spec would find wrong, as far as that shows while the sandbox of that name still runs (boot_plan_check():
 * shares, kernel, initramfs, image), and ports that somebody else has. For --fresh and restart, which are to end nothing in
 * vain. On failure stage[] says where, as sandbox_start()'s.
 */
int sandbox_check_start(const struct paths *paths, const struct spec *spec,
	start_progress_fn *progress, void *data, char ret_stage[static START_STAGE_MAX],
	struct err *err);

/*
 * Starts sandbox-supervisor with this spec (resolved and checked) and waits until the sandbox runs or has failed.
 * *ret_status (may be NULL): its status. On failure stage[] says where. -EBUSY: it runs already. -EEXIST: the name belongs
 * to another workspace (H13). -EADDRINUSE: a port is taken.
 */
int sandbox_start(const struct paths *paths, const struct spec *spec, start_progress_fn *progress,
	void *data, char ret_stage[static START_STAGE_MAX], json_t **ret_status, struct err *err);

/*
 * Ends a sandbox and verifies that nothing is left (H1): asks the supervisor; where it is gone, hung or too slow, TERM and
 * then KILL for each process of the group that is provably ours (H2); then checks that no member is left, that the lock is
 * free and the published ports can be bound, and removes the runtime folder. A sandbox that does not run is a success.
 * -ENOENT: no such sandbox. -EDEADLK: something survived; err names it (D state).
 */
int sandbox_stop(const struct paths *paths, const char *name, uint64_t grace_ms, const char *reason,
	struct err *err);

/* sandbox_stop(), then forgets it: record, logs, keys. */
int sandbox_remove(const struct paths *paths, const char *name, uint64_t grace_ms, struct err *err);

/* Sandboxes whose record says live while nothing lives: cleaned up (never blocks a start: H2). Gives how many. */
int sandbox_clean_stale(const struct paths *paths, const char *name, struct err *err);

/* Waits until it has ended. *ret_record is what was noted then (record_finish()). */
int sandbox_wait(const struct paths *paths, const char *name, uint64_t timeout_ms,
	struct record *ret_record, struct err *err);
