/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The frame that everything between agent, link and client travels in, and the one list of its types.
 *
 * Wire form, little endian: u8 type, u8 0, u16 0, u32 len, then len bytes of payload. Who may send a type, and how long
 * its payload may be, is a property of the type: protocol_head_decode() refuses anything else, so that a reader never
 * has to hold a length it did not agree to. Payloads: stream.h (operation streams), messages.h (control stream, requests).
 *
 * Pure: base only, no system call. docs/agent-protocol.md tells the conversations.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/bytes.h"

/* 2: WELCOME may offer egress. */
#define PROTOCOL_VERSION 2
/* guest -> host vsock port 1024: the control stream; host -> guest port 1024: one stream for each operation. What the
 * guest's workload wants to reach comes guest -> host, another port (egress.h). */
#define PROTOCOL_PORT 1024

#define PROTOCOL_HEAD_SIZE   8
#define PROTOCOL_PAYLOAD_MAX (64u << 10) /* of every type but the next two */
#define PROTOCOL_WELCOME_MAX (256u << 10)
#define PROTOCOL_EXEC_MAX    (192u << 10)

enum protocol_type {
	/* operation streams, from the client */
	STREAM_STDIN = 1, /* bytes; never empty */
	STREAM_STDIN_EOF = 2, /* no payload */
	STREAM_RESIZE = 3, /* rows and columns of the terminal */
	STREAM_SIGNAL = 4, /* to the foreground process group */
	/* operation streams, from the guest */
	STREAM_STDOUT = 16, /* bytes; never empty. A terminal's output is all STDOUT */
	STREAM_STDERR = 17,
	STREAM_STARTED = 18, /* the operation has begun */
	STREAM_EXIT = 19, /* the last frame of an operation that began */
	STREAM_ERROR = 20, /* the last frame of one that failed */
	/* operation streams, from whichever side copies */
	STREAM_COPY_ENTRY = 32,
	STREAM_COPY_DATA = 33, /* bytes; never empty */
	/* the first frame of an operation stream, link to agent */
	PROTOCOL_EXEC = 48,
	PROTOCOL_COPY_OUT = 49,
	PROTOCOL_COPY_IN = 50,
	PROTOCOL_FORWARD = 51,
	/* control stream, from the agent */
	PROTOCOL_HELLO = 64,
	PROTOCOL_READY = 65,
	PROTOCOL_REFUSED = 66,
	PROTOCOL_HEALTH = 67,
	PROTOCOL_AUDIT = 68,
	/* control stream, from the host */
	PROTOCOL_WELCOME = 80,
	PROTOCOL_SHUTDOWN = 81,
	PROTOCOL_TIME_SET = 82,
	PROTOCOL_HEALTH_REQUEST = 83,
};

/* Who is speaking on which stream. */
enum protocol_sender {
	PROTOCOL_CLIENT = 1 << 0, /* operation stream, client's side, after the request */
	PROTOCOL_GUEST = 1 << 1, /* operation stream, agent's side */
	PROTOCOL_REQUESTER = 1 << 2, /* operation stream, its first frame */
	PROTOCOL_CONTROL_GUEST = 1 << 3,
	PROTOCOL_CONTROL_HOST = 1 << 4,
};

struct protocol_head {
	uint8_t type; /* enum protocol_type */
	uint32_t len;
};

/* False where the type is unknown, not this sender's, or its length is out of its bounds. *ret is untouched then. */
bool protocol_head_decode(const uint8_t in[static PROTOCOL_HEAD_SIZE], enum protocol_sender sender,
	struct protocol_head *ret);
void protocol_head_encode(const struct protocol_head *head, uint8_t out[static PROTOCOL_HEAD_SIZE]);

/*
 * A frame in a writer: begin leaves room for the head, end fills it in and fails the writer where the length is not
 * one that the type allows. `uint8_t buffer[...]; w = bytes_writer(...); at = protocol_frame_begin(&w);
 * protocol_put_x(&w, &x); protocol_frame_end(&w, at, PROTOCOL_X);`
 */
size_t protocol_frame_begin(struct bytes_writer *w);
void protocol_frame_end(struct bytes_writer *w, size_t at, enum protocol_type type);
