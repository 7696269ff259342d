/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/capture.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-agent/egress/relay.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"

#define SWEEP_MS 5000

_Static_assert(
	RELAY_BUFFER >= EGRESS_ANSWER_MAX, "the answer is read into the buffer of its direction");

enum state { FREE = 0, CONNECTING, ASKING, ANSWERED, RELAYING };

enum { GUEST, HOST }; /* whose socket; and as a half: whose bytes */

struct end {
	struct connection *connection;
	int fd;
	uint32_t events;
	struct loop_source *source; /* NULL: nothing is awaited */
};

struct connection {
	struct capture *capture;
	enum state state;
	uint64_t deadline_ms; /* until it relays */
	struct egress_request request;
	uint8_t head[EGRESS_REQUEST_MAX];
	size_t head_len, head_done;
	struct end end[2];
	struct relay_half half[2];
};

struct listener {
	struct capture *capture;
	int fd;
	enum egress_kind kind;
	struct loop_source *source;
};

struct capture {
	struct loop *loop;
	struct names *names;
	const struct capture_ops *ops;
	void *data;
	struct loop_source *sweep;
	unsigned int connections, listeners;
	bool resting;
	struct listener listener[CAPTURE_LISTENERS_MAX];
	struct connection connection[CAPTURE_CONNECTIONS_MAX];
};

static void on_end(void *data, uint32_t events);

/* -- what is awaited -- */

/*
 * An end that waits for nothing would say HUP for ever: it is left out then, unless told to stay for just that word.
 * 0, or -errno.
 */
static int await(struct end *end, uint32_t events, bool stay)
{
	struct capture *capture = end->connection->capture;

	if (!events && !stay) {
		loop_remove(end->source);
		end->source = NULL;
		return 0;
	}
	if (!end->source) {
		end->events = events;
		return loop_add_fd(capture->loop, end->fd, events, on_end, end, &end->source);
	}
	if (end->events == events)
		return 0;
	end->events = events;
	return loop_modify(end->source, events);
}

static uint32_t relay_events(const struct connection *c, int side)
{
	return (relay_wants_in(&c->half[side]) ? EPOLLIN : 0u) |
	       (relay_wants_out(&c->half[!side]) ? EPOLLOUT : 0u);
}

static int await_next(struct connection *c)
{
	uint32_t host = EPOLLOUT;
	int r;

	if (c->state == RELAYING) {
		r = await(&c->end[GUEST], relay_events(c, GUEST), false);
		return r < 0 ? r : await(&c->end[HOST], relay_events(c, HOST), false);
	}
	if (c->state == ANSWERED)
		host = EPOLLIN;
	r = await(&c->end[GUEST], 0, true);
	return r < 0 ? r : await(&c->end[HOST], host, true);
}

/* -- the ends of a connection -- */

static void rest(struct capture *capture, bool resting)
{
	if (capture->resting == resting)
		return;
	capture->resting = resting;
	for (unsigned int i = 0; i < capture->listeners; i++)
		(void)loop_modify(capture->listener[i].source, resting ? 0 : EPOLLIN);
}

static void release(struct connection *c, bool reset)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (reset && c->end[GUEST].fd >= 0)
		(void)setsockopt(c->end[GUEST].fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	for (int side = GUEST; side <= HOST; side++) {
		loop_remove(c->end[side].source);
		if (c->end[side].fd >= 0)
			close(c->end[side].fd);
		c->end[side] = (struct end){ .fd = -1 };
	}
	c->state = FREE;
	c->capture->connections--;
	rest(c->capture, false);
}

static void refuse(struct connection *c, const struct egress_answer *answer)
{
	c->capture->ops->denied(c->capture->data, &c->request, answer);
	release(c, true);
}

static void refuse_locally(struct connection *c, const char *reason)
{
	struct egress_answer answer = { .verdict = EGRESS_UNREACHABLE };

	memcpy(answer.reason, reason, strlen(reason) + 1);
	refuse(c, &answer);
}

/* -- the steps: each gives 0, or -errno where the host's end is broken -- */

static int step_connecting(struct connection *c)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(c->end[HOST].fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return -errno;
	if (code)
		return -code;
	c->state = ASKING;
	return 0;
}

static int step_asking(struct connection *c)
{
	ssize_t n = send(c->end[HOST].fd, c->head + c->head_done, c->head_len - c->head_done,
		MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->head_done += (size_t)n;
	if (c->head_done == c->head_len)
		c->state = ANSWERED;
	return 0;
}

static void start_relay(struct connection *c, size_t answer_len)
{
	struct relay_half *back = &c->half[HOST];

	/* What came behind the answer is the first of the host's bytes. */
	back->done = answer_len;
	if (back->done == back->len)
		back->done = back->len = 0;
	c->state = RELAYING;
}

/* Positive where it ended here. */
static int step_answered(struct connection *c)
{
	struct relay_half *back = &c->half[HOST];
	struct egress_answer answer;
	ssize_t n = recv(c->end[HOST].fd, back->data + back->len, sizeof(back->data) - back->len,
		MSG_DONTWAIT);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	back->len += (size_t)n;
	r = egress_answer_decode(back->data, back->len, &answer);
	if (r <= 0)
		return r;
	if (answer.verdict != EGRESS_ACCEPTED) {
		refuse(c, &answer);
		return 1;
	}
	start_relay(c, (size_t)r);
	return 0;
}

static void relay(struct connection *c)
{
	for (int i = 0; i < CAPTURE_ROUNDS; i++) {
		if (relay_move(&c->half[GUEST]) < 0 || relay_move(&c->half[HOST]) < 0) {
			release(c, true);
			return;
		}
		if (c->half[GUEST].shut && c->half[HOST].shut) {
			release(c, false);
			return;
		}
	}
	if (await_next(c) < 0)
		release(c, true);
}

static void advance(struct connection *c)
{
	enum state before;
	int r = 0;

	do {
		before = c->state;
		if (c->state == CONNECTING)
			r = step_connecting(c);
		else if (c->state == ASKING)
			r = step_asking(c);
		else if (c->state == ANSWERED)
			r = step_answered(c);
	} while (r == 0 && c->state != before && c->state != RELAYING);
	if (r > 0)
		return;
	if (r < 0)
		refuse_locally(c, "the host's proxy cannot be reached");
	else if (c->state == RELAYING)
		relay(c);
	else if (await_next(c) < 0)
		release(c, true);
}

static void on_end(void *data, uint32_t events)
{
	struct end *end = data;
	struct connection *c = end->connection;

	if (c->state == RELAYING)
		relay(c);
	else if (end == &c->end[HOST])
		advance(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		release(c, false); /* the workload gave up */
}

/* -- a new one -- */

static struct connection *find_free(struct capture *capture)
{
	for (unsigned int i = 0; i < CAPTURE_CONNECTIONS_MAX; i++)
		if (capture->connection[i].state == FREE)
			return &capture->connection[i];
	return NULL;
}

static void start_half(struct connection *c, int side)
{
	struct relay_half *h = &c->half[side];

	/* Not the buffer: it is big, and only what was written to it is read. */
	h->from = c->end[side].fd;
	h->to = c->end[!side].fd;
	h->len = h->done = 0;
	h->ended = h->shut = false;
}

/* Owns fd. There is a free one. */
static void start(struct capture *capture, int fd, const struct egress_request *request)
{
	struct connection *c = find_free(capture);
	int host;

	c->capture = capture;
	c->request = *request;
	c->state = CONNECTING;
	c->deadline_ms = clock_monotonic_ms() + CAPTURE_ANSWER_MS;
	c->head_len = egress_request_encode(request, c->head);
	c->head_done = 0;
	capture->connections++;
	host = capture->ops->connect(capture->data);
	c->end[GUEST] = (struct end){ .connection = c, .fd = fd };
	c->end[HOST] = (struct end){ .connection = c, .fd = host };
	start_half(c, GUEST);
	start_half(c, HOST);
	if (host < 0 || !c->head_len) {
		refuse_locally(c, "the host's proxy cannot be reached");
		return;
	}
	if (await_next(c) < 0)
		release(c, true);
	if (capture->connections == CAPTURE_CONNECTIONS_MAX)
		rest(capture, true);
}

static bool find_request(struct listener *listener, int fd, struct egress_request *ret)
{
	struct capture *capture = listener->capture;
	struct origin origin;

	if (listener->kind == EGRESS_PROXY) {
		*ret = (struct egress_request){ .kind = EGRESS_PROXY };
		return true;
	}
	return capture->ops->origin(fd, &origin) == 0 &&
	       origin_request(&origin, capture->names, ret);
}

static void on_listener(void *data, uint32_t events)
{
	struct listener *listener = data;
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct egress_request request;
	int on = 1, fd;

	(void)events;
	if (listener->capture->connections == CAPTURE_CONNECTIONS_MAX)
		return;
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!find_request(listener, fd, &request)) {
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	start(listener->capture, fd, &request);
}

static void on_sweep(void *data)
{
	struct capture *capture = data;
	uint64_t now = clock_monotonic_ms();

	for (unsigned int i = 0; i < CAPTURE_CONNECTIONS_MAX; i++) {
		struct connection *c = &capture->connection[i];

		if (c->state != FREE && c->state != RELAYING && now > c->deadline_ms)
			refuse_locally(c, "the host's proxy did not answer in time");
	}
	(void)loop_timer_set(capture->sweep, SWEEP_MS);
}

int capture_listen(struct capture *capture, int fd, enum egress_kind kind)
{
	struct listener *listener = &capture->listener[capture->listeners];
	int r;

	if (capture->listeners == CAPTURE_LISTENERS_MAX)
		return -ENOSPC;
	*listener = (struct listener){ .capture = capture, .fd = fd, .kind = kind };
	r = loop_add_fd(capture->loop, fd, EPOLLIN, on_listener, listener, &listener->source);
	if (r == 0)
		capture->listeners++;
	return r;
}

unsigned int capture_connections(const struct capture *capture)
{
	return capture->connections;
}

DEFINE_CLEANUP(capture, capture_destroy)

int capture_create(struct loop *loop, struct names *names, const struct capture_ops *ops,
	void *data, struct capture **ret)
{
	_cleanup_(cleanup_capture_) struct capture *capture = calloc(1, sizeof(*capture));
	int r;

	if (!capture)
		return -ENOMEM;
	capture->loop = loop;
	capture->names = names;
	capture->ops = ops;
	capture->data = data;
	r = loop_add_timer(loop, on_sweep, capture, &capture->sweep);
	if (r == 0)
		r = loop_timer_set(capture->sweep, SWEEP_MS);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(capture);
	return 0;
}

void capture_destroy(struct capture *capture)
{
	if (!capture)
		return;
	for (unsigned int i = 0; i < CAPTURE_CONNECTIONS_MAX; i++)
		if (capture->connection[i].state != FREE)
			release(&capture->connection[i], true);
	for (unsigned int i = 0; i < capture->listeners; i++)
		loop_remove(capture->listener[i].source);
	loop_remove(capture->sweep);
	free(capture);
}
