/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* sandbox-vmm and sandbox-link as the loop sees them: their records, their log lines, signals to them, their ends. */
#include "vmm/supervisor/supervisor_state.h"

#define CHILD_TURN 64 /* records of one child before timers and requests have their turn */

/* One that was not started is noted as such, and nothing else. */
int child_watch(struct supervisor *s, struct child *c, struct backend_child *process,
	const char *log_name, struct err *err);
void child_signal(struct child *c, int signal);
/* H3: one that never stops talking does not keep us from the clock. What is left wakes the loop again. */
void child_drain_events(struct child *c, int most);
/* Whoever ended, orphans that came to us included. */
void children_reap(struct supervisor *s);
