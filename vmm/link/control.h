/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the supervisor asks of sandbox-link, over an inherited SOCK_SEQPACKET (`--control-fd`): one packet is one request
 * of an 8-byte head and a body, with at most one fd. The supervisor only encodes (H10); nothing comes back on this socket.
 * Answers go to the client's own stream (the fd that came with the request: the link owns it from then on) or, as
 * fixed-size records, to the supervisor's event socket (base/event.h). Requests that come before EVENT_AGENT_READY are
 * answered with ERROR{EAGAIN}. Many run at once; over a limit below: ERROR{EBUSY}.
 *
 * A client's stream is a connected SOCK_STREAM socket of the Unix family. On the framed ones (EXEC, SESSION_*, COPY_*) both
 * ends speak the stream frames of guest-agent/protocol/stream.h; the link passes on only what it has validated, and ends the
 * stream after EXIT or ERROR. A client that closes its end gives up: the guest's side is closed and the agent
 * kills the process group (but SESSION_ATTACH: that is a detach, the main command lives on).
 *
 * Wire form, little endian: u8 op, u8 flags, u16 0, u32 id, then the body. The id is the supervisor's own, for log lines.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define LINK_CONTROL_HEAD     8
#define LINK_CONTROL_BODY_MAX (192u << 10)

#define LINK_OPERATIONS_MAX                                                                        \
	256 /* EXEC, COPY_*, FORWARD and published connections at once, all together */
#define LINK_ATTACHMENTS_MAX   32 /* clients of the session at once */
#define LINK_PUBLISHED_MAX     64 /* --publish */
#define LINK_ALLOWED_PORTS_MAX 64 /* --allow-port */

/* The one byte of a packet on `--egress-fd`; the fd beside it is a stream that begins with protocol/egress.h's request. */
#define LINK_EGRESS_STREAM 1

enum link_op {
	LINK_OP_EXEC = 1, /* body: protocol's EXEC request without its frame header; fd: framed */
	/*
	 * The main command, kept by the link: the last 256 KiB of its output, and all of it through the session log. Body
	 * as EXEC's. With an fd, that is the first attachment already (nothing is lost between). Its end is
	 * EVENT_SESSION_ENDED. A second start while one runs: ERROR{EBUSY}.
	 */
	LINK_OP_SESSION_START = 2,
	/*
	 * fd: framed. Body: u16 rows, u16 cols (0, 0: no terminal). The client gets STARTED, what is kept (the first
	 * attachment: all of it; later ones: the last screenful), then all that follows; EXIT when the command ends, also
	 * where it has ended already. Without a session: ERROR{ENOENT}. While a client is attached it is waited for as a
	 * terminal would be; one that takes nothing for 60 s no longer holds up a tty session, and skips.
	 */
	LINK_OP_SESSION_ATTACH = 3,
	LINK_OP_COPY_OUT = 4, /* body: protocol's COPY_OUT; fd: framed */
	LINK_OP_COPY_IN = 5, /* body: protocol's COPY_IN; fd: framed */
	/* body: u32 guest TCP port. fd: raw bytes from the start; closed without a byte where the guest refuses. */
	LINK_OP_FORWARD = 6,
	/* body: u32 guest vsock port. fd: raw bytes; closed without a byte where the guest refuses. */
	LINK_OP_VSOCK = 7,
	LINK_OP_SHUTDOWN = 8, /* body: u32 enum link_shutdown. No fd. */
	LINK_OP_TIME = 9, /* body: u64 CLOCK_REALTIME ns. No fd. */
	LINK_OP_HEALTH =
		10, /* no body, no fd: asks the agent for a HEALTH now; it comes as an event */
};

#define LINK_OP_LAST LINK_OP_HEALTH

/* EVENT_SESSION_ENDED's value where the command never ran, or its stream was lost. */
#define LINK_SESSION_FAILED 125

enum link_flag {
	/* SESSION_START: keep everything (with back-pressure) until the first attachment, for at most 30 s. */
	LINK_FLAG_HOLD = 1 << 0,
};

enum link_shutdown { LINK_SHUTDOWN_POWEROFF = 0, LINK_SHUTDOWN_REBOOT = 1 };

struct link_request {
	uint8_t op; /* enum link_op */
	uint8_t flags; /* enum link_flag */
	uint32_t id;
	const void *body; /* borrowed */
	size_t body_len;
};

/* False where size, op, flags or a reserved field are wrong, or the body's size is not what the op asks. Pure. */
bool link_control_decode(const void *data, size_t size, struct link_request *ret);

/*
 * Sends one request with fd (-1: none; borrowed, so close your copy after it). Never blocks: -EAGAIN where the link is
 * behind; -EMSGSIZE over LINK_CONTROL_BODY_MAX.
 */
int link_control_send(int socket_fd, const struct link_request *request, int fd, struct err *err);

/* The small bodies, spelt out. */
int link_control_attach(
	int socket_fd, uint32_t id, uint16_t rows, uint16_t cols, int fd, struct err *err);
int link_control_forward(int socket_fd, uint32_t id, uint32_t port, int fd, struct err *err);
int link_control_vsock(int socket_fd, uint32_t id, uint32_t port, int fd, struct err *err);
int link_control_shutdown(int socket_fd, enum link_shutdown kind, struct err *err);
int link_control_time(int socket_fd, uint64_t realtime_ns, struct err *err);
