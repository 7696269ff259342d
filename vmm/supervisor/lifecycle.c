/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/lifecycle.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/base/array.h"

#define NO	 (-1)
#define BY_FAULT (-2) /* failed where something went wrong, else stopped */

/* clang-format off */
static const signed char table[LIFECYCLE_STATES][LIFECYCLE_EVENTS] = {
	/*                   BEGIN               AGENT_READY        ASKED_TO_STOP       FAULT               ALL_GONE  SURVIVOR               CLEANED */
	[LIFECYCLE_STARTING] = { NO,                 LIFECYCLE_RUNNING, LIFECYCLE_STOPPING, LIFECYCLE_STOPPING, BY_FAULT, LIFECYCLE_QUARANTINED, LIFECYCLE_FAILED },
	[LIFECYCLE_RUNNING] = { NO,                  NO,                LIFECYCLE_STOPPING, LIFECYCLE_STOPPING, BY_FAULT, LIFECYCLE_QUARANTINED, LIFECYCLE_FAILED },
	[LIFECYCLE_STOPPING] = { NO,                 NO,                LIFECYCLE_STOPPING, LIFECYCLE_STOPPING, BY_FAULT, LIFECYCLE_QUARANTINED, LIFECYCLE_FAILED },
	[LIFECYCLE_STOPPED] = { LIFECYCLE_STARTING,  NO,                NO,                 NO,                 NO,       LIFECYCLE_QUARANTINED, LIFECYCLE_STOPPED },
	[LIFECYCLE_FAILED] = { LIFECYCLE_STARTING,   NO,                NO,                 NO,                 NO,       LIFECYCLE_QUARANTINED, LIFECYCLE_FAILED },
	[LIFECYCLE_QUARANTINED] = { NO,              NO,                NO,                 NO,                 NO,       LIFECYCLE_QUARANTINED, LIFECYCLE_FAILED },
};
/* clang-format on */
static_assert(LIFECYCLE_QUARANTINED + 1 == LIFECYCLE_STATES, "a row for each state");
static_assert(LIFECYCLE_CLEANED + 1 == LIFECYCLE_EVENTS, "a column for each event");

int lifecycle_next(enum lifecycle_state state, enum lifecycle_event event, bool faulted,
	enum lifecycle_state *ret)
{
	int next;

	if ((unsigned int)state >= LIFECYCLE_STATES || (unsigned int)event >= LIFECYCLE_EVENTS)
		return -EPROTO;
	next = table[state][event];
	if (next == NO)
		return -EPROTO;
	if (next == BY_FAULT)
		next = faulted ? LIFECYCLE_FAILED : LIFECYCLE_STOPPED;
	*ret = (enum lifecycle_state)next;
	return 0;
}

static const char *const names[LIFECYCLE_STATES] = {
	[LIFECYCLE_STARTING] = "starting",
	[LIFECYCLE_RUNNING] = "running",
	[LIFECYCLE_STOPPING] = "stopping",
	[LIFECYCLE_STOPPED] = "stopped",
	[LIFECYCLE_FAILED] = "failed",
	[LIFECYCLE_QUARANTINED] = "quarantined",
};

const char *lifecycle_name(enum lifecycle_state state)
{
	return (unsigned int)state < LIFECYCLE_STATES ? names[state] : "unknown";
}

bool lifecycle_from_name(const char *name, enum lifecycle_state *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum lifecycle_state)i;
			return true;
		}
	return false;
}

bool lifecycle_is_live(enum lifecycle_state state)
{
	return state == LIFECYCLE_STARTING || state == LIFECYCLE_RUNNING ||
	       state == LIFECYCLE_STOPPING;
}

static const struct {
	const char *reason;
	bool fault;
} ends[] = {
	[MACHINE_END_NONE] = { "the VMM ended without saying why", true },
	[MACHINE_END_POWEROFF] = { "the guest powered off", false },
	[MACHINE_END_REBOOT] = { "the guest rebooted: that ends a sandbox", false },
	[MACHINE_END_PANIC] = { "the guest's kernel panicked (see `sandboxctl console`)", true },
	[MACHINE_END_TRIPLE_FAULT] = { "the guest's processor shut down (triple fault)", true },
	[MACHINE_END_KVM_ERROR] = { "KVM could not go on with the guest", true },
	[MACHINE_END_STOPPED] = { "the host stopped the machine", false },
	[MACHINE_END_DEVICE] = { "a device of the machine failed", true },
};

const char *lifecycle_end_reason(enum machine_end end)
{
	return (size_t)end < ARRAY_SIZE(ends) ? ends[end].reason
					      : "the VMM ended in an unknown way";
}

bool lifecycle_end_is_fault(enum machine_end end)
{
	return (size_t)end >= ARRAY_SIZE(ends) || ends[end].fault;
}
