/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The processes of a sandbox as the loop sees them: their records, their log lines, signals to them, their ends. */
#include "vmm/supervisor/supervisor_state.h"

#define CHILD_TURN 64 /* records of one child before timers and requests have their turn */

extern const struct child_kind child_kind_vmm, child_kind_link;

/* One that was not started is noted as such, and nothing else. c and process are borrowed until it has ended and child_forget(). */
int child_watch(struct supervisor *s, struct child *c, struct jailed_child *process,
	const struct child_kind *kind, const char *log_name, struct err *err);
/* Of one that has ended, or was never started. */
void child_forget(struct child *c);
bool child_is_alive(const struct child *c);
void child_signal(struct child *c, int signal);
bool children_any_alive(const struct supervisor *s);
/* The words for an end that nobody explained. */
void child_explain_end(struct child *c, int status);
/* H3: one that never stops talking does not keep us from the clock. What is left wakes the loop again. */
void child_drain_events(struct child *c, int most);
/* Whoever ended, orphans that came to us included. */
void children_reap(struct supervisor *s);
