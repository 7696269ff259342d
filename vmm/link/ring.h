/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The session's memory: the last LINK_RING_BYTES of its output, as whole frames (STDOUT, STDERR), each of at most
 * LINK_RING_RECORD bytes. Readers keep positions: free-running byte counts that always stand on a frame's first byte.
 * Pure.
 */
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/frame.h"

#define LINK_RING_BYTES	  (256u << 10)
#define LINK_RING_PAYLOAD 4096u
#define LINK_RING_RECORD  (PROTOCOL_HEAD_SIZE + LINK_RING_PAYLOAD)

struct link_ring {
	uint64_t start, end; /* positions of the oldest frame and of the next one */
	uint8_t bytes[LINK_RING_BYTES];
};

/* Cuts the bytes into frames, each with its own head; the oldest frames go where there is no room. */
void link_ring_put(struct link_ring *ring, uint8_t type, const uint8_t *payload, size_t len);
/* The most payload bytes that can be put without losing what stands at `position` or later. */
size_t link_ring_room(const struct link_ring *ring, uint64_t position);
/* The frame at position (start <= position < end), copied out; its size. */
size_t link_ring_get(
	const struct link_ring *ring, uint64_t position, uint8_t out[static LINK_RING_RECORD]);
/*
 * Where the last `lines` lines begin, but not more than max_bytes from the end: the position of a frame, and in *ret_skip
 * how many of its payload bytes come before.
 */
uint64_t link_ring_tail(
	const struct link_ring *ring, unsigned int lines, size_t max_bytes, size_t *ret_skip);
