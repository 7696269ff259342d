/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The socket between sandbox-vmm (devices/vsock) and sandbox-link, over which stream sockets change hands: the VMM makes
 * none itself (H8). SOCK_SEQPACKET, inherited by both; one message is one packet of VSOCK_BROKER_SIZE bytes with at most
 * one fd. This file is all that the two share; it is pure (base only).
 *
 * Theory of operation. Each direction of opening has its own ids, chosen by the side that asks and told apart by the
 * op; an id may be used again once its answer was sent.
 *   guest to host: VMM   CONNECT{id, port}      the guest's REQUEST to (2, port)
 *                  link  ACCEPTED{id} + fd      one end of a stream; the guest is sent RESPONSE
 *                        REFUSED{id}            the guest is sent RST
 *   host to guest: link  OPEN{id, port} + fd    the guest is sent REQUEST for (3, port)
 *                  VMM   OPENED{id}             the guest's RESPONSE came; bytes flow from now on
 *                        FAILED{id}             RST, no answer in VSOCK_CONNECT_TIMEOUT_MS, or a table is full; fd is closed
 *   Where OPEN carried no fd, the VMM holds the guest's bytes (its credit is the bound) until
 *                  link  STREAM{id} + fd        only after OPENED; without an fd: close it
 *   so that the link can say `OK` on a client's socket before it hands that very socket over.
 *
 * Streams are connected SOCK_STREAM sockets of the Unix family. The VMM uses recvmsg, sendmsg (MSG_DONTWAIT), shutdown and
 * close on them: their file status flags are never changed, so both ends may choose their own. shutdown(SHUT_WR) is the
 * half-close in both directions; an end of file on a reset connection is no different from an orderly one, as with any
 * Unix socket.
 *
 * Whoever meets a packet of another size, an unknown op, a wrong number of fds or an id it does not know drops the packet
 * (closing its fds) and goes on; the end of the socket ends sandbox-vmm's vsock device (every connection reset) or the link.
 *
 * Wire form, little endian: u8 op, u8 0, u16 0, u32 id, u32 port, u32 0.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VSOCK_BROKER_SIZE 16

#define VSOCK_CID_HOST	2
#define VSOCK_CID_GUEST 3 /* unless --guest-cid says otherwise */
/* A peer that has not answered a request by then is given up, on both sides of the wire. */
#define VSOCK_CONNECT_TIMEOUT_MS 8000

enum vsock_broker_op {
	VSOCK_BROKER_CONNECT = 1, /* VMM -> link */
	VSOCK_BROKER_ACCEPTED = 2, /* link -> VMM, one fd */
	VSOCK_BROKER_REFUSED = 3, /* link -> VMM */
	VSOCK_BROKER_OPEN = 4, /* link -> VMM, one fd or none */
	VSOCK_BROKER_OPENED = 5, /* VMM -> link */
	VSOCK_BROKER_FAILED = 6, /* VMM -> link */
	VSOCK_BROKER_STREAM = 7, /* link -> VMM, one fd or none */
};

struct vsock_broker_message {
	uint8_t op; /* enum vsock_broker_op */
	uint32_t id;
	uint32_t port; /* CONNECT and OPEN; else 0 */
};

void vsock_broker_encode(
	const struct vsock_broker_message *message, uint8_t out[static VSOCK_BROKER_SIZE]);
/* False where the size, the op or a reserved field is wrong; *ret is untouched then. */
bool vsock_broker_decode(const void *data, size_t size, struct vsock_broker_message *ret);

/* Over a non-blocking or MSG_DONTWAIT socket: 0, -EAGAIN, or another -errno. fd -1: none; it is borrowed. */
int vsock_broker_send(int socket_fd, const struct vsock_broker_message *message, int fd);
/*
 * 1: *ret and *ret_fd (-1: none came; else the caller's, CLOEXEC); 0: the end of the socket; -EAGAIN: nothing there;
 * -EBADMSG: a packet was dropped, go on; another -errno: the socket is broken. Never blocks.
 */
int vsock_broker_receive(int socket_fd, struct vsock_broker_message *ret, int *ret_fd);
