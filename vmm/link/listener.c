/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/listener.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/link/connect_line.h"
#include "vmm/link/forward.h"

#define ACCEPTS_MAX 16 /* before other sources of the loop get their turn */

struct greeting {
	struct link_item item;
	struct link_core *core;
	struct loop_source *source;
	int fd;
	char line[CONNECT_LINE_MAX];
	size_t len;
	uint32_t stream_id; /* 0: not asked yet */
};
static_assert(offsetof(struct greeting, item) == 0, "freed through its item");

static void close_greeting(struct link_item *item)
{
	struct greeting *g = (struct greeting *)item;

	loop_remove(g->source);
	g->source = NULL;
	link_broker_forget(g->core->broker, g->stream_id);
	g->stream_id = 0;
	close_keeping_errno(TAKE_FD(g->fd));
}

static void end_greeting(struct greeting *g)
{
	link_core_end(g->core, &g->item);
}

static void on_opened(void *data, int code)
{
	struct greeting *g = data;
	char answer[CONNECT_ANSWER_MAX];
	uint32_t id = g->stream_id;
	size_t len = connect_line_answer(id, answer);

	g->stream_id = 0;
	if (code == 0) {
		bool told;

		link_broker_widen(g->fd);
		told = send(g->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;

		/* Where the client is gone, the stream is closed as well. */
		link_broker_stream(g->core->broker, id, told ? g->fd : -1);
	}
	end_greeting(g);
}

static void ask(struct greeting *g, uint32_t port)
{
	if (link_broker_ask(g->core->broker, port, on_opened, g, &g->stream_id) < 0) {
		end_greeting(g);
		return;
	}
	/* From here on the guest's answer counts (the VMM has its own time-out); a hang-up is told in any case. */
	g->item.expires_ms = 0;
	loop_modify(g->source, 0);
}

/* Byte by byte: what follows the line belongs to the stream. */
static void on_greeting(void *data, uint32_t events)
{
	struct greeting *g = data;

	if (events & (EPOLLHUP | EPOLLERR)) {
		end_greeting(g);
		return;
	}
	while (g->len < sizeof(g->line)) {
		uint32_t port;
		ssize_t n = recv(g->fd, g->line + g->len, 1, MSG_DONTWAIT);
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			break;
		r = connect_line_parse(g->line, ++g->len, &port);
		if (r > 0) {
			ask(g, port);
			return;
		}
		if (r < 0)
			break;
	}
	end_greeting(g);
}

static void greet(struct link_core *core, int fd)
{
	struct greeting *g = malloc(sizeof(*g));

	if (!g) {
		close(fd);
		return;
	}
	link_core_add(core, &g->item, true, close_greeting);
	g->core = core;
	g->source = NULL;
	g->fd = fd;
	g->len = 0;
	g->stream_id = 0;
	if (loop_add_fd(core->loop, fd, EPOLLIN, on_greeting, g, &g->source) < 0)
		end_greeting(g);
	else
		link_core_expire(core, &g->item, LINK_GREETING_MS);
}

static void forward(struct link_listener *listener, int fd)
{
	int on = 1;

	/* What comes from the guest in one piece leaves in one piece; latency over fewer packets. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
		/* Not a TCP socket: a test's. */
	}
	link_forward_start(listener->core, listener->guest_port, fd);
}

/* Anybody on this host can connect to a published port; that must not cost the user his execs. */
static bool is_full(const struct link_listener *listener)
{
	return listener->guest_port ? link_core_full_for_others(listener->core)
				    : link_core_full(listener->core);
}

/*
 * E17: the folder of the socket is the owner's alone; should it ever be open to others, they are still not served. In a jail
 * only the owner's uid exists, and all others are the overflow uid.
 */
static bool is_owner(const struct link_listener *listener, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer))
		return false;
	return peer.uid == listener->owner_uid;
}

static void on_listener(void *data, uint32_t events)
{
	struct link_listener *listener = data;

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd;

		if (is_full(listener)) {
			listener->paused = loop_modify(listener->source, 0) == 0;
			return;
		}
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		/* Out of fds or memory: what ends gives some back. Anything else is the one connection's matter. */
		if (fd < 0 &&
			(errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
			listener->paused = loop_modify(listener->source, 0) == 0;
		if (fd < 0)
			return;
		if (listener->guest_port) {
			forward(listener, fd);
		} else if (is_owner(listener, fd)) {
			greet(listener->core, fd);
		} else {
			log_ratelimited(LOG_WARN, "vsock.sock: another user was turned away");
			close(fd);
		}
	}
}

int link_listener_init(struct link_listener *listener, struct link_core *core, int fd,
	uint16_t guest_port, uid_t owner_uid)
{
	*listener = (struct link_listener){
		.core = core, .fd = fd, .guest_port = guest_port, .owner_uid = owner_uid
	};
	return loop_add_fd(core->loop, fd, EPOLLIN, on_listener, listener, &listener->source);
}

void link_listener_finish(struct link_listener *listener)
{
	loop_remove(listener->source);
	listener->source = NULL;
}

void link_listener_resume(struct link_listener *listener)
{
	if (listener->paused && listener->source && loop_modify(listener->source, EPOLLIN) == 0)
		listener->paused = false;
}
