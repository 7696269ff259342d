/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One direction of a connection between two stream sockets: one buffer, its own half-close, and no reading while the other
 * side has not taken what was read (back-pressure). Who waits for the sockets is the caller's business.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_BUFFER (64u << 10)

struct relay_half {
	int from, to; /* borrowed */
	size_t len, done; /* of data: read, and sent on */
	bool ended; /* from has; once all has left, to is shut for writing */
	bool shut;
	uint8_t data[RELAY_BUFFER];
};

/* Moves what can be moved without waiting. Negative: the connection is broken. */
int relay_move(struct relay_half *h);

static inline bool relay_wants_in(const struct relay_half *h)
{
	return !h->ended && !h->len;
}

static inline bool relay_wants_out(const struct relay_half *h)
{
	return h->len > 0;
}
