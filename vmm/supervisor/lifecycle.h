/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The states of a sandbox and the one table of what may follow what. Only the supervisor changes a live sandbox's state;
 * whoever holds the sandbox's lock may turn the record of a dead one into failed or stopped.
 *
 *   starting     processes are being made; the guest is not there yet. May be stopped.
 *   running      the agent said it is ready. exec, copies, ports, attach.
 *   stopping     somebody or something ended it; nothing new is begun.
 *   stopped      nothing is left. It may be started again with the same flags.
 *   failed       as stopped, but nobody wanted it to end so.
 *   quarantined  ended, and something survived: needs a human; nothing may start under this name.
 */
#include <stdbool.h>

#include "vmm/base/event.h"

enum lifecycle_state {
	LIFECYCLE_STARTING,
	LIFECYCLE_RUNNING,
	LIFECYCLE_STOPPING,
	LIFECYCLE_STOPPED,
	LIFECYCLE_FAILED,
	LIFECYCLE_QUARANTINED,
};

#define LIFECYCLE_STATES 6

enum lifecycle_event {
	LIFECYCLE_BEGIN, /* a start, by whoever holds the lock */
	LIFECYCLE_AGENT_READY,
	LIFECYCLE_ASKED_TO_STOP, /* stop, SIGTERM, the timeout, the command's end */
	LIFECYCLE_FAULT, /* something died or could not be set up */
	LIFECYCLE_ALL_GONE, /* every process of the sandbox is reaped */
	LIFECYCLE_SURVIVOR, /* something could not be ended */
	LIFECYCLE_CLEANED, /* verified that nothing is left */
};

#define LIFECYCLE_EVENTS 7

/* 0 and *ret, or -EPROTO: not allowed in this state. `faulted` is what ALL_GONE looks at: failed, not stopped. */
int lifecycle_next(enum lifecycle_state state, enum lifecycle_event event, bool faulted,
	enum lifecycle_state *ret);

const char *lifecycle_name(enum lifecycle_state state);
bool lifecycle_from_name(const char *name, enum lifecycle_state *ret);
/* Whether a process of this state may be alive. */
bool lifecycle_is_live(enum lifecycle_state state);
/* Words for a machine's end, and whether it is a fault. */
const char *lifecycle_end_reason(enum machine_end end);
bool lifecycle_end_is_fault(enum machine_end end);
