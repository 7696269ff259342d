/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The control stream as PID 1 holds it. Opened and welcomed blocking, before there is anything else to do; from then on
 * nothing here blocks: what does not fit into CONTROL_OUT_MAX is dropped (a heartbeat more or less).
 */
#include "guest-agent/protocol/messages.h"
#include "vmm/base/err.h"

#define CONTROL_PATIENCE_MS    30000 /* until the device and the host are there */
#define CONTROL_WELCOME_WAIT_S 30
#define CONTROL_IN_MAX	       4096 /* the host's messages after WELCOME are small */
#define CONTROL_OUT_MAX	       16384

struct control {
	int fd; /* -1: not connected */
	size_t in_len, out_len;
	uint8_t in[CONTROL_IN_MAX], out[CONTROL_OUT_MAX];
};

/* Connects to the host's port, with patience. */
int control_connect(struct control *control, struct err *err);
/*
 * HELLO out, WELCOME in. *ret_bytes is on the heap and what *ret borrows from; both live as long as the guest.
 */
int control_greet(struct control *control, const char *build, struct protocol_welcome *ret,
	uint8_t **ret_bytes, struct err *err);

/* body was put into a writer by the codec. */
void control_send(
	struct control *control, enum protocol_type type, const struct bytes_writer *body);

/* Sends what is left. 0, or -errno: the stream is broken. */
int control_flush(struct control *control);
bool control_wants_out(const struct control *control);

/* Reads what is there; fn is called for each frame. -EPIPE at its end, -EPROTO where the host does not keep to the protocol. */
typedef void control_fn(void *data, const struct protocol_head *head, const uint8_t *payload);
int control_read(struct control *control, control_fn *fn, void *data);
