/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"

static void on_socket(void *data, uint32_t events);

int link_socket_init(struct link_socket *s, struct loop *loop, int fd, size_t out_size,
	const struct link_socket_ops *ops, void *owner)
{
	int r = -ENOMEM;

	*s = (struct link_socket){
		.ops = ops, .owner = owner, .loop = loop, .fd = fd, .out_size = out_size
	};
	s->out = malloc(out_size);
	if (s->out)
		r = loop_add_fd(loop, fd, 0, on_socket, s, &s->source);
	if (r < 0)
		link_socket_close(s);
	return r;
}

void link_socket_close(struct link_socket *s)
{
	if (s->fd < 0)
		return;
	loop_remove(s->source);
	s->source = NULL;
	close(s->fd);
	s->fd = -1;
	free(s->out);
	s->out = NULL;
	s->out_used = 0;
}

static void arm(struct link_socket *s)
{
	uint32_t events = 0;

	if (!s->source)
		return;
	if (!s->ended && s->ops->room(s->owner))
		events |= EPOLLIN;
	if (s->out_used)
		events |= EPOLLOUT;
	if (events != s->armed && loop_modify(s->source, events) == 0)
		s->armed = events;
}

static void mark_broken(struct link_socket *s)
{
	s->broken = true;
	s->out_used = 0;
}

/* Bytes sent; 0: the peer is full, or gone (then broken). */
static size_t send_some(struct link_socket *s, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != ENOBUFS)
		mark_broken(s);
	return 0;
}

static void shut_if_due(struct link_socket *s)
{
	if (!s->shut || s->out_used || s->broken)
		return;
	shutdown(s->fd, SHUT_WR);
	s->broken = true;
}

size_t link_socket_space(const struct link_socket *s)
{
	return s->fd < 0 || s->broken ? SIZE_MAX / 2 : s->out_size - s->out_used;
}

static void keep(struct link_socket *s, const uint8_t *data, size_t len)
{
	if (s->out_used == 0)
		s->out_first = 0;
	if (s->out_size - s->out_first - s->out_used < len) {
		memmove(s->out, s->out + s->out_first, s->out_used);
		s->out_first = 0;
	}
	memcpy(s->out + s->out_first + s->out_used, data, len);
	s->out_used += len;
}

bool link_socket_put(struct link_socket *s, const void *data, size_t len)
{
	size_t sent = 0;

	if (len > link_socket_space(s) || s->shut)
		return false;
	if (s->fd < 0 || s->broken || !len)
		return true;
	if (!s->out_used)
		sent = send_some(s, data, len);
	if (!s->broken && sent < len)
		keep(s, (const uint8_t *)data + sent, len - sent);
	arm(s);
	return true;
}

void link_socket_shut(struct link_socket *s)
{
	if (s->fd < 0)
		return;
	s->shut = true;
	shut_if_due(s);
}

static void flush(struct link_socket *s)
{
	size_t sent;

	if (!s->out_used)
		return;
	sent = send_some(s, s->out + s->out_first, s->out_used);
	if (!s->broken) {
		s->out_first += sent;
		s->out_used -= sent;
	}
	shut_if_due(s);
	if (sent || s->broken)
		s->ops->drained(s->owner);
}

static void end_input(struct link_socket *s, int code)
{
	s->ended = true;
	s->ops->ended(s->owner, code);
}

/* One read; true where there may be more. */
static bool read_once(struct link_socket *s)
{
	uint8_t bytes[LINK_READ_MAX];
	size_t room = s->ended ? 0 : s->ops->room(s->owner);
	ssize_t n;

	if (!room)
		return false;
	do
		n = recv(s->fd, bytes, MIN(room, sizeof(bytes)), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		s->ops->data(s->owner, bytes, (size_t)n);
		return s->fd >= 0 && (s->hung || (size_t)n == MIN(room, sizeof(bytes)));
	}
	if (n == 0)
		end_input(s, 0);
	else if (errno != EAGAIN || s->hung)
		end_input(s, -errno);
	return false;
}

void link_socket_poll(struct link_socket *s)
{
	/* A peer that is gone adds nothing: what is left in the socket bounds this. */
	while (s->fd >= 0 && s->hung && read_once(s))
		;
	if (s->fd >= 0)
		arm(s);
}

static void on_socket(void *data, uint32_t events)
{
	struct link_socket *s = data;

	if (events & EPOLLOUT)
		flush(s);
	if (s->fd < 0)
		return;
	if (events & (EPOLLHUP | EPOLLERR)) {
		loop_remove(s->source);
		s->source = NULL;
		s->hung = true;
		mark_broken(s);
		s->ops->drained(s->owner);
	} else if (events & EPOLLIN) {
		for (int i = 0; i < LINK_SOCKET_ROUNDS && s->fd >= 0 && read_once(s); i++)
			;
	}
	if (s->fd >= 0)
		link_socket_poll(s);
}
