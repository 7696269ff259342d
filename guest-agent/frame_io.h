/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whole frames over a blocking stream. For a worker, which has nothing else to do while it waits; PID 1 itself never blocks on a
 * peer (control.h).
 */
#include "guest-agent/protocol/stream.h"

/*
 * One frame from `sender`: its head, and its payload in data[size]. 0; -EPIPE at the end of the stream; -EPROTO where the
 * head is not valid; -EMSGSIZE where the payload is longer than size (nothing of it was read).
 */
int frame_read(
	int fd, enum protocol_sender sender, struct protocol_head *ret, uint8_t *data, size_t size);

/* Frames on their way out, gathered so that small ones share a write. */
#define FRAME_OUT_SIZE (2 * (PROTOCOL_HEAD_SIZE + PROTOCOL_PAYLOAD_MAX))
struct frame_out {
	int fd; /* borrowed */
	size_t len;
	uint8_t data[FRAME_OUT_SIZE];
};

int frame_out_put(struct frame_out *out, const void *frame, size_t len);
/* Room for a frame of bytes, at most PROTOCOL_PAYLOAD_MAX: fill *ret_data, then commit what came. */
int frame_out_room(struct frame_out *out, uint8_t **ret_data);
void frame_out_commit(struct frame_out *out, enum protocol_type type, size_t len);
int frame_out_flush(struct frame_out *out);

/* A last word, best effort: what can be done where even that fails? */
void frame_send_error(int fd, int code, enum protocol_stage stage);
void frame_send_exit(int fd, enum stream_exit_kind kind, uint32_t value);
