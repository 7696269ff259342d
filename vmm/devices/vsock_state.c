/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_state.h"

#include <assert.h>
#include <stdint.h>

#include "vmm/base/array.h"

/* 0: illegal; else the next state + 1. */
#define TO(state) ((state) + 1)

static const uint8_t transitions[VSOCK_STATES][VSOCK_EVENTS] = {
	[VSOCK_FREE] = {
		[VSOCK_GUEST_REQUEST] = TO(VSOCK_ASKED_BY_GUEST),
		[VSOCK_HOST_REQUEST] = TO(VSOCK_ASKED_BY_HOST),
	},
	[VSOCK_ASKED_BY_GUEST] = {
		[VSOCK_LINK_ACCEPTED] = TO(VSOCK_OPEN),
		[VSOCK_GUEST_DONE] = TO(VSOCK_FREE),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_ASKED_BY_HOST] = {
		[VSOCK_GUEST_ACCEPTED] = TO(VSOCK_HELD),
		[VSOCK_GUEST_DONE] = TO(VSOCK_FREE),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_HELD] = {
		[VSOCK_HOST_STREAM] = TO(VSOCK_OPEN),
		[VSOCK_GUEST_DONE] = TO(VSOCK_HELD_DONE),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_HELD_DONE] = {
		[VSOCK_HOST_STREAM] = TO(VSOCK_DRAINING),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_OPEN] = {
		[VSOCK_GUEST_DONE] = TO(VSOCK_DRAINING),
		[VSOCK_HOST_DONE] = TO(VSOCK_CLOSING),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_CLOSING] = {
		[VSOCK_GUEST_DONE] = TO(VSOCK_FREE),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
	[VSOCK_DRAINING] = {
		[VSOCK_DRAINED] = TO(VSOCK_FREE),
		[VSOCK_DROPPED] = TO(VSOCK_FREE),
	},
};

static const char *const names[] = {
	[VSOCK_FREE] = "free",
	[VSOCK_ASKED_BY_GUEST] = "asked by guest",
	[VSOCK_ASKED_BY_HOST] = "asked by host",
	[VSOCK_HELD] = "held",
	[VSOCK_HELD_DONE] = "held, guest done",
	[VSOCK_OPEN] = "open",
	[VSOCK_CLOSING] = "closing",
	[VSOCK_DRAINING] = "draining",
};
static_assert(ARRAY_SIZE(names) == VSOCK_STATES, "every state has a name");

bool vsock_state_next(enum vsock_state state, enum vsock_event event, enum vsock_state *ret)
{
	uint8_t next;

	if ((unsigned int)state >= VSOCK_STATES || (unsigned int)event >= VSOCK_EVENTS)
		return false;
	next = transitions[state][event];
	if (!next)
		return false;
	*ret = (enum vsock_state)(next - 1);
	return true;
}

const char *vsock_state_name(enum vsock_state state)
{
	return (unsigned int)state < VSOCK_STATES ? names[state] : "?";
}
