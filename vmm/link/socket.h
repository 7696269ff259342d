/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One stream socket in the loop, with a bounded buffer of what it has not taken yet. Everything the link moves, it moves
 * between two of these, each of which is read only as far as the other has room: that is all of the back-pressure.
 *
 * Theory of operation. Reading: the owner says by room() how much it takes now; at 0 the socket is not polled for input.
 * When room may have come back, the owner calls link_socket_poll(). Writing: link_socket_put() sends at once what
 * it can and keeps the rest; drained() tells each time some of it went. A socket that hung up can't be kept in the loop
 * (a hang-up can't be masked), so it is read on from link_socket_poll() until its end.
 *
 * Ownership: the socket owns its fd and buffer. Any callback may close any socket (its own included) with
 * link_socket_close(); the struct itself must stay until the round of the loop is over (link.h: links are reaped then).
 * Threads: the loop's only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/loop.h"

#define LINK_READ_MAX	   (64u << 10) /* bytes of one read */
#define LINK_SOCKET_ROUNDS 16 /* reads of one event */

struct link_socket_ops {
	size_t (*room)(void *owner); /* bytes it takes now, 0: stop reading */
	void (*data)(void *owner, const uint8_t *bytes, size_t len); /* at most what room() said */
	void (*ended)(
		void *owner, int code); /* 0: the end of the peer's bytes; -errno; told once */
	void (*drained)(void *owner); /* something of the buffer went */
};

struct link_socket {
	const struct link_socket_ops *ops;
	void *owner;
	struct loop *loop;
	struct loop_source *source; /* NULL: closed, or hung up */
	int fd; /* -1: closed */
	uint32_t armed;
	bool hung; /* the peer is gone both ways */
	bool ended; /* ended() was told */
	bool shut; /* SHUT_WR once the buffer is empty */
	bool broken; /* takes no more: what is put is dropped */
	uint8_t *out; /* [first, first + used) */
	size_t out_size, out_first, out_used;
};

/* Takes fd, also where it fails. out_size: the most that can wait. */
int link_socket_init(struct link_socket *socket, struct loop *loop, int fd, size_t out_size,
	const struct link_socket_ops *ops, void *owner);
void link_socket_close(struct link_socket *socket); /* closed ones are allowed */

/* len is at most link_socket_space(); false and nothing done where it is not. */
bool link_socket_put(struct link_socket *socket, const void *data, size_t len);
size_t link_socket_space(const struct link_socket *socket);
/* No more will be put: SHUT_WR follows the last byte. */
void link_socket_shut(struct link_socket *socket);
/* Nothing of what was put waits any more, or ever will. */
static inline bool link_socket_flushed(const struct link_socket *socket)
{
	return socket->fd < 0 || socket->broken || socket->out_used == 0;
}
/* Asks room() again. */
void link_socket_poll(struct link_socket *socket);
