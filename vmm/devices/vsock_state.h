/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The states of one vsock stream and the one transition function. Pure.
 */
#include <stdbool.h>

enum vsock_state {
	VSOCK_FREE, /* the slot is nobody's */
	VSOCK_ASKED_BY_GUEST, /* its REQUEST is with the link (CONNECT); the guest may only give up */
	VSOCK_ASKED_BY_HOST, /* our REQUEST is with the guest; there may be an fd, nothing is read from it */
	VSOCK_HELD, /* established; the guest's bytes are kept until the link sends the fd */
	VSOCK_HELD_DONE, /* as HELD, but the guest has gone: only its bytes are left. No longer found by ports. */
	VSOCK_OPEN, /* established; bytes flow between guest and fd, each direction until its half-close */
	VSOCK_CLOSING, /* the host is done, the fd closed; the guest's RST or a time-out ends it */
	VSOCK_DRAINING, /* the guest is done; its last bytes go to the fd. No longer found by ports. */
	VSOCK_STATES,
};

enum vsock_event {
	VSOCK_GUEST_REQUEST, /* REQUEST came */
	VSOCK_HOST_REQUEST, /* the link sent OPEN */
	VSOCK_LINK_ACCEPTED, /* the link answered with an fd */
	VSOCK_GUEST_ACCEPTED, /* RESPONSE came */
	VSOCK_HOST_STREAM, /* the fd is there */
	VSOCK_GUEST_DONE, /* RST, or SHUTDOWN of both directions */
	VSOCK_HOST_DONE, /* the fd's two directions have ended, all of it is with the guest */
	VSOCK_DRAINED, /* no byte of the guest's is left */
	VSOCK_DROPPED, /* refused, timed out, a rule broken, reset: ends any state */
	VSOCK_EVENTS,
};

/* False, with *ret untouched, where the event is illegal in the state: the caller drops the stream. */
bool vsock_state_next(enum vsock_state state, enum vsock_event event, enum vsock_state *ret);
const char *vsock_state_name(enum vsock_state state);
