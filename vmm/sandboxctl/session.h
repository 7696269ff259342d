/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The client's end of an exec, a shell or an attachment: stdin, stdout, stderr and the terminal on this side, stream frames
 * (guest-agent/protocol/stream.h) on the other.
 *
 * Theory of operation. One poll loop. Two bounded buffers: frames on their way to the guest (stdin is read only while a
 * whole frame fits) and one frame from the guest (the next is read only when this one is written out). So each
 * direction has its own back-pressure and a blocked stdout never stops stdin, or the other way round. stdout and
 * stderr stay in the mode they are in (others share them): they are polled and written in pieces that a ready pipe takes
 * whole. Bytes for a terminal go through the filter (H6), all others are untouched.
 * With a terminal on both sides stdin is raw and every key is the guest's; without one INT, TERM, HUP and QUIT are passed on
 * as signals, and the third one in a row ends this client.
 */
#include <stdbool.h>

#include "vmm/base/err.h"

struct session_options {
	bool tty; /* the guest's side is a terminal */
	bool stdin_open; /* false: the guest sees the end of its stdin at once */
	bool raw; /* no filter (--raw) */
	bool detachable; /* ctrl-p ctrl-q leaves; a client that ends leaves the command running */
};

enum session_end {
	SESSION_EXITED, /* the command ended: value is its code, 128+n for signals, 126, 127 */
	SESSION_DETACHED,
	SESSION_REFUSED, /* the guest could not begin it: value is an errno, the text in err */
	SESSION_LOST, /* the stream ended without a word */
	SESSION_INTERRUPTED, /* a signal ended this client: value is 128+n */
};

struct session_result {
	enum session_end end;
	int value;
	bool not_run; /* SESSION_EXITED with 126 or 127: the guest could not run the command at all */
	unsigned int stage; /* of SESSION_REFUSED: enum protocol_stage */
};

/* stream_fd is borrowed, and left non-blocking. -errno: our own failure (no terminal, no memory). */
int session_run(int stream_fd, const struct session_options *options, struct session_result *ret,
	struct err *err);

/* The words of an ERROR frame, for copies too. */
int session_error_text(int code, unsigned int stage, struct err *err);
