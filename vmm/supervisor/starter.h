/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whoever started the sandbox and follows it through the pipe of progress.h, until it is ready or has failed. Where nobody
 * follows (or no longer), telling does nothing.
 */
#include "vmm/supervisor/supervisor_state.h"

/* A follower that goes away before it was told the end cancels the start. */
int starter_watch(struct supervisor *s);
/* data: the supervisor (boot_plan.h's way of telling). */
void starter_tell_stage(void *data, const char *stage, const char *text);
void starter_tell_ready(struct supervisor *s);
/* Remembered, the first one; said by starter_finish(). */
void starter_tell_failure(struct supervisor *s, const struct err *err, const char *stage);
/* When everything is over, the lock included: whoever is told may start again at once. The loop is gone by then. */
void starter_finish(struct supervisor *s);
