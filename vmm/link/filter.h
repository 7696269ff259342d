/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What may pass on one direction of an operation stream: a pure, incremental decoder. Every frame is validated, its order
 * too (STARTED first, EXIT or ERROR last; a copy makes a tree: H14), and told to a sink that writes it anew. So nothing
 * passes the link that it has not understood.
 *
 * Frames that carry bytes (STDIN, STDOUT, STDERR, a file's COPY_DATA) are told in the pieces they come in; all others whole.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/frame.h"
#include "guest-agent/protocol/stream.h"

enum link_filter_kind {
	LINK_FILTER_EXEC_CLIENT,
	LINK_FILTER_EXEC_GUEST,
	LINK_FILTER_COPY_OUT_CLIENT, /* nothing may come */
	LINK_FILTER_COPY_OUT_GUEST,
	LINK_FILTER_COPY_IN_CLIENT,
	LINK_FILTER_COPY_IN_GUEST,
	LINK_FILTER_FORWARD_GUEST, /* done after STARTED: the rest is raw */
	LINK_FILTER_KINDS,
};

/* A whole frame, or a piece of one that carries bytes; payload is valid during the call. */
typedef void link_filter_sink(void *data, uint8_t type, const uint8_t *payload, uint32_t len);

#define LINK_FILTER_STASH (PROTOCOL_HEAD_SIZE + STREAM_COPY_TARGET_MAX)
/* A sink that writes frames gets at most this much more than the bytes it was told of. */
#define LINK_FILTER_GROWTH (LINK_FILTER_STASH + 2 * PROTOCOL_HEAD_SIZE)

struct link_filter {
	enum link_filter_kind kind;
	bool started; /* guest: STARTED came */
	bool input_ended; /* client: STDIN_EOF came */
	bool done; /* the last frame came; whatever follows is not looked at */
	uint8_t last; /* its type */
	struct stream_copy_order order;
	struct protocol_head head;
	uint32_t left; /* bytes of the current payload still to come */
	size_t stash_len;
	uint8_t stash[LINK_FILTER_STASH]; /* a head, or a payload that is told whole */
	bool in_payload;
};

void link_filter_init(struct link_filter *filter, enum link_filter_kind kind);
/*
 * Takes len bytes; *ret_taken is len, or less where the last frame ended earlier (`done`). -EPROTO: a rule was broken; what
 * was told before that is valid.
 */
int link_filter_push(struct link_filter *filter, const uint8_t *bytes, size_t len,
	size_t *ret_taken, link_filter_sink *sink, void *data);
