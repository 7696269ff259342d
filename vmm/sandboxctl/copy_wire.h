/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Frames of a copy over a blocking stream socket: whole ones in, whole ones out. While it sends it listens, since an ERROR
 * may come at any time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/err.h"

struct copy_wire {
	int fd; /* borrowed, made non-blocking */
	bool ended; /* EXIT came: `exit` holds */
	struct stream_exit exit;
	struct protocol_head head; /* of the frame that copy_wire_next() gave */
	uint8_t *payload; /* PROTOCOL_PAYLOAD_MAX */
	const char *
		guest_path; /* for messages: which of the guest's files was asked for; may be NULL */
};

/* guest_path is borrowed. */
int copy_wire_init(struct copy_wire *w, int fd, const char *guest_path, struct err *err);
void copy_wire_finish(struct copy_wire *w);

/* The next frame into head and payload: 1; 0 once EXIT came. ERROR and a lost stream are errors. */
int copy_wire_next(struct copy_wire *w, struct err *err);
/* Sends a whole frame's bytes. */
int copy_wire_send(struct copy_wire *w, const void *data, size_t len, struct err *err);
