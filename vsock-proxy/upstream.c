/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_conn.h"
#include "vsock-proxy/h2.h"
#include "vsock-proxy/tls_client.h"

#define BUFFER	   (32u << 10)
#define PUMP_TURNS 32
#define TICK_MS	   1000
#define H2_CANCEL  8 /* RFC 9113, section 7 */
#define TARGET_MAX (24u << 10) /* path, query with a secret in it */

enum stage { STAGE_DIAL, STAGE_HANDSHAKE, STAGE_OPEN, STAGE_DEAD };

struct connection {
	struct upstream_pool *pool;
	struct connection *next, **link;
	struct upstream_target target;
	char authority[POLICY_NAME_MAX + 16]; /* the target's, as a request names it */
	struct policy_host address; /* where it leads to */
	enum stage stage;
	struct dial *dial;
	int fd;
	struct loop_source *source;
	uint32_t events; /* that the loop looks for */
	uint32_t told; /* what it told, this time */
	struct tls_session *tls;
	struct h1_conn *h1;
	struct h2 *h2;
	struct upstream_call *calls;
	bool pumping, again, want_write, used, input_ended;
	bool readable; /* the fd, as far as is known: while it is looked for, the loop tells */
	enum record_reason reason; /* of its death */
	uint64_t deadline_ms; /* 0: none */
	uint8_t *in, *out;
	size_t in_first, in_len, out_first, out_len;
};

struct upstream_call {
	struct connection *connection; /* NULL: it failed */
	struct upstream_call *next, **link; /* of the connection's */
	const struct upstream_ops *ops;
	void *owner;
	struct h2_stream *stream;
	bool told_ready, asked, answered,
		whole; /* the request was written; an answer began; it is all there */
	bool sent_all;
	uint64_t since_ms;
};

struct upstream_pool {
	struct upstream_setup setup;
	struct connection *connections;
	struct connection *asked; /* last, and not yet pushed; NULL: none */
	unsigned int count;
	struct loop_source *tick;
};

static void pump(struct connection *c);

/* Life and death. */

static void unlink_call(struct upstream_call *call)
{
	if (!call->connection)
		return;
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	call->connection = NULL;
}

static void link_call(struct connection *c, struct upstream_call *call)
{
	call->connection = c;
	call->next = c->calls;
	call->link = &c->calls;
	if (call->next)
		call->next->link = &call->next;
	c->calls = call;
}

static void free_connection(struct connection *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->pool->count--;
	if (c->pool->asked == c)
		c->pool->asked = NULL;
	dial_cancel(c->dial);
	loop_remove(c->source);
	h1_conn_destroy(c->h1);
	h2_destroy(c->h2);
	tls_session_destroy(c->tls);
	close_keeping_errno(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Whoever waits on it hears so; it is buried by bury(). */
static void die(struct connection *c, enum record_reason reason)
{
	if (c->stage == STAGE_DEAD)
		return;
	c->stage = STAGE_DEAD;
	c->reason = reason;
	while (c->calls) {
		struct upstream_call *call = c->calls;

		unlink_call(call);
		call->stream = NULL;
		if (!call->whole)
			call->ops->failed(
				call->owner, reason, c->used && !call->answered && call->asked);
	}
}

static void wake(struct connection *c)
{
	if (c->source)
		loop_call_soon(c->source);
}

static void flush(struct connection *c)
{
	if (c->pumping)
		c->again = true;
	else
		wake(c);
}

/* HTTP, told to the calls. */

static void h1_on_response(void *owner, const struct h1_response *m, uint64_t length, bool end)
{
	struct connection *c = owner;
	struct upstream_call *call = c->calls;

	if (!call)
		return;
	call->answered = true;
	call->ops->response(call->owner, m->status, &m->fields, length);
	if (end && call == c->calls && !call->whole) {
		call->whole = true;
		call->ops->end(call->owner, NULL);
	}
}

static void h1_on_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct connection *c = owner;

	if (c->calls)
		c->calls->ops->data(c->calls->owner, bytes, len);
	else
		h1_conn_consumed(c->h1, len);
}

static void h1_on_end(void *owner, const struct record_fields *trailers)
{
	struct connection *c = owner;

	if (!c->calls)
		return;
	c->calls->whole = true;
	c->calls->ops->end(c->calls->owner, trailers);
}

static void h1_on_drained(void *owner)
{
	struct connection *c = owner;

	if (c->calls)
		c->calls->ops->drained(c->calls->owner);
}

static const struct h1_conn_ops h1_ops = {
	.response = h1_on_response, .data = h1_on_data, .end = h1_on_end, .drained = h1_on_drained
};

static uint64_t length_of(const struct h2_head *head)
{
	const char *text = fields_get(&head->fields, "content-length");
	uint64_t length = 0;

	if (head->end)
		return 0;
	if (!text)
		return RECORD_LENGTH_UNKNOWN;
	for (; *text >= '0' && *text <= '9' && length < INT64_MAX / 16; text++)
		length = length * 10 + (uint64_t)(*text - '0');
	return *text ? RECORD_LENGTH_UNKNOWN : length;
}

static void h2_on_head(void *owner, struct h2_stream *stream, const struct h2_head *head)
{
	struct upstream_call *call = h2_data(stream);

	(void)owner;
	if (!call)
		return;
	call->answered = true;
	call->ops->response(call->owner, head->status, &head->fields, length_of(head));
	call = h2_data(stream); /* it may be closed by now */
	if (call && head->end && !call->whole) {
		call->whole = true;
		call->ops->end(call->owner, NULL);
	}
}

static void h2_on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	struct upstream_call *call = h2_data(stream);

	if (call)
		call->ops->data(call->owner, bytes, len);
	else
		h2_consumed(stream, len);
}

static void h2_on_end(struct h2_stream *stream, const struct record_fields *trailers)
{
	struct upstream_call *call = h2_data(stream);

	if (!call)
		return;
	call->whole = true;
	call->ops->end(call->owner, trailers);
}

static void h2_on_drained(struct h2_stream *stream)
{
	struct upstream_call *call = h2_data(stream);

	if (call)
		call->ops->drained(call->owner);
}

#define H2_REFUSED_STREAM 7

static void h2_on_closed(struct h2_stream *stream, bool clean, uint32_t error)
{
	struct upstream_call *call = h2_data(stream);

	(void)clean;
	h2_set_data(stream, NULL);
	if (!call)
		return;
	call->stream = NULL;
	unlink_call(call);
	if (!call->whole)
		call->ops->failed(call->owner, RECORD_UPSTREAM,
			error == H2_REFUSED_STREAM && !call->answered);
}

static const struct h2_ops h2_ops = { .head = h2_on_head,
	.data = h2_on_data,
	.end = h2_on_end,
	.drained = h2_on_drained,
	.closed = h2_on_closed };

/* Opening. */

static void tell_ready(struct connection *c)
{
	struct upstream_call *call = c->calls;

	while (call) {
		struct upstream_call *next = call->next;

		if (!call->told_ready) {
			call->told_ready = true;
			call->ops->ready(call->owner);
		}
		call = next;
	}
}

static void opened(struct connection *c)
{
	bool http2 = c->tls && tls_session_protocol(c->tls) == TLS_PROTOCOL_HTTP2;
	int r = http2 ? h2_create(H2_CLIENT, &h2_ops, c, &c->h2, NULL)
		      : h1_conn_create(H1_CLIENT, &h1_ops, c, &c->h1, NULL);

	c->in = malloc(BUFFER);
	c->out = malloc(BUFFER);
	if (r < 0 || !c->in || !c->out) {
		die(c, RECORD_INTERNAL);
		return;
	}
	c->stage = STAGE_OPEN;
	c->readable = true; /* it may have come with the handshake's last words */
	c->deadline_ms = 0;
	tell_ready(c);
}

static void shake_hands(struct connection *c)
{
	struct err err = {};
	int r = tls_session_handshake(c->tls, &err);

	c->want_write = r == TLS_WANT_WRITE;
	if (r == 0) {
		opened(c);
	} else if (r != TLS_WANT_READ && r != TLS_WANT_WRITE) {
		log_info("%s:%u: %s", c->target.host.text, c->target.port, err.text);
		die(c, r == -EKEYREJECTED ? RECORD_UNTRUSTED : RECORD_UPSTREAM);
	}
}

static void on_ready(void *data, uint32_t events)
{
	struct connection *c = data;

	c->told = events;
	c->readable |= (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
	pump(c);
}

static bool note_address(struct connection *c)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	const struct sockaddr_in *v4 = (void *)&storage;
	const struct sockaddr_in6 *v6 = (void *)&storage;

	if (getpeername(c->fd, (struct sockaddr *)&storage, &len) < 0)
		return false;
	if (storage.ss_family == AF_INET)
		return policy_host_from_address(
			(const uint8_t *)&v4->sin_addr, sizeof(v4->sin_addr), &c->address);
	return storage.ss_family == AF_INET6 &&
	       policy_host_from_address(
		       (const uint8_t *)&v6->sin6_addr, sizeof(v6->sin6_addr), &c->address);
}

static void dialled(void *data, int fd, const char *why)
{
	struct connection *c = data;
	struct err err = {};
	int r;

	c->dial = NULL;
	if (fd < 0) {
		log_info("%s:%u: %s", c->target.host.text, c->target.port, why);
		die(c, fd == -ETIMEDOUT ? RECORD_TIMEOUT : RECORD_UNREACHABLE);
		wake(c);
		pump(c);
		return;
	}
	c->fd = fd;
	r = note_address(c) ? loop_add_fd(c->pool->setup.loop, fd, EPOLLIN | EPOLLOUT, on_ready, c,
				      &c->source)
			    : -ENOTCONN;
	if (r == 0 && c->target.secure)
		r = tls_client_connect(c->pool->setup.tls, fd, &c->target.host, c->target.port,
			!c->target.http1, &c->tls, &err);
	c->stage = STAGE_HANDSHAKE;
	c->deadline_ms = clock_monotonic_ms() + UPSTREAM_HANDSHAKE_MS;
	if (r < 0)
		die(c, RECORD_INTERNAL);
	pump(c);
}

/* The judge of whoever began it; a call that was closed meanwhile takes its connection along. */
static bool judge(void *data, const struct policy_host *address)
{
	struct connection *c = data;

	return c->calls && c->calls->ops->judge(c->calls->owner, address);
}

static void put_authority(const struct upstream_target *t, char out[static POLICY_NAME_MAX + 16])
{
	bool v6 = t->host.kind == POLICY_HOST_IPV6;
	int n = snprintf(
		out, POLICY_NAME_MAX + 16, "%s%s%s", v6 ? "[" : "", t->host.text, v6 ? "]" : "");

	if (t->port != (t->secure ? 443 : 80))
		snprintf(out + n, (size_t)(POLICY_NAME_MAX + 16 - n), ":%u", t->port);
}

static int dial_new(struct upstream_pool *pool, const struct upstream_target *target,
	struct upstream_call *call)
{
	struct connection *c;
	struct dial_setup setup = { .loop = pool->setup.loop,
		.resolver = pool->setup.resolver,
		.judge = judge,
		.done = dialled,
		.via = pool->setup.via };
	int r;

	if (pool->count >= UPSTREAM_CONNECTIONS_MAX)
		return -EBUSY;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->pool = pool;
	c->target = *target;
	put_authority(target, c->authority);
	c->fd = -1;
	c->next = pool->connections;
	c->link = &pool->connections;
	if (c->next)
		c->next->link = &c->next;
	pool->connections = c;
	pool->count++;
	link_call(c, call);
	setup.data = c;
	r = dial_start(&setup, &target->host, target->port, &c->dial);
	if (r < 0) {
		unlink_call(call);
		free_connection(c);
	}
	return r;
}

/* Moving bytes. */

static bool write_out(struct connection *c)
{
	ssize_t n;

	if (!c->out_len)
		return false;
	if (c->tls) {
		n = tls_session_write(c->tls, c->out + c->out_first, c->out_len);
		c->want_write = n == TLS_WANT_WRITE;
		if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
			return false;
	} else {
		n = send(c->fd, c->out + c->out_first, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		c->want_write = n < 0 && errno == EAGAIN;
		if (c->want_write)
			return false;
	}
	if (n <= 0) {
		/* It may have answered before it closed: that is read first. */
		c->out_len = 0;
		if (c->input_ended)
			die(c, RECORD_UPSTREAM);
		return false;
	}
	c->out_first += (size_t)n;
	c->out_len -= (size_t)n;
	return true;
}

static bool wants_input(const struct connection *c)
{
	if (c->input_ended)
		return false;
	return c->h2 ? true : !c->calls || h1_conn_wants_input(c->h1);
}

static void input_ended(struct connection *c)
{
	c->input_ended = true;
	if (c->h2 || h1_conn_input_ended(c->h1) < 0 || !c->calls || !c->calls->whole)
		die(c, RECORD_UPSTREAM);
}

static bool read_in(struct connection *c)
{
	ssize_t n;

	if (!c->readable || c->in_len || !wants_input(c))
		return false;
	if (c->tls) {
		n = tls_session_read(c->tls, c->in, BUFFER);
		c->readable = n > 0 && tls_session_pending(c->tls);
		if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
			return false;
	} else {
		n = recv(c->fd, c->in, BUFFER, MSG_DONTWAIT);
		c->readable = n == (ssize_t)BUFFER;
		if (n < 0 && errno == EAGAIN)
			return false;
	}
	if (n <= 0) {
		input_ended(c);
		return false;
	}
	c->in_first = 0;
	c->in_len = (size_t)n;
	/* Nobody asked (E24). */
	if (c->h1 && !c->calls)
		die(c, RECORD_UPSTREAM);
	return true;
}

static bool feed(struct connection *c)
{
	size_t used = 0;
	struct err err = {};
	int r;

	if (!c->in_len || c->stage != STAGE_OPEN)
		return false;
	if (c->h2) {
		r = h2_receive(c->h2, c->in + c->in_first, c->in_len, &err);
		used = c->in_len;
	} else {
		r = h1_conn_receive(c->h1, c->in + c->in_first, c->in_len, &used, NULL, &err);
	}
	if (r < 0) {
		log_info("%s:%u: %s", c->target.host.text, c->target.port, err.text);
		die(c, RECORD_UPSTREAM);
		return false;
	}
	c->in_first += used;
	c->in_len -= used;
	return used > 0;
}

static bool pull(struct connection *c)
{
	ssize_t n;

	if (c->out_len || c->stage != STAGE_OPEN)
		return false;
	n = c->h2 ? h2_pull(c->h2, c->out, BUFFER) : (ssize_t)h1_conn_pull(c->h1, c->out, BUFFER);
	if (n < 0)
		die(c, RECORD_UPSTREAM);
	c->out_first = 0;
	c->out_len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static bool is_spent(const struct connection *c)
{
	if (c->calls || c->out_len)
		return false;
	return c->h2 ? h2_is_over(c->h2)
		     : c->h1 && (h1_conn_is_over(c->h1) || !h1_conn_is_idle(c->h1));
}

static bool step(struct connection *c)
{
	bool moved;

	switch (c->stage) {
	case STAGE_DIAL:
	case STAGE_DEAD:
		return false;
	case STAGE_HANDSHAKE:
		if (c->tls)
			shake_hands(c);
		else
			opened(c);
		return c->stage == STAGE_OPEN;
	case STAGE_OPEN:
		break;
	}
	moved = pull(c);
	moved = write_out(c) || moved;
	if (c->stage == STAGE_OPEN)
		moved = read_in(c) || moved;
	return feed(c) || moved;
}

static uint32_t wanted_events(const struct connection *c)
{
	uint32_t events = c->out_len || c->want_write ? EPOLLOUT : 0;

	if (c->stage == STAGE_HANDSHAKE)
		return c->want_write ? EPOLLOUT : EPOLLIN;
	if (!c->in_len && wants_input(c))
		events |= EPOLLIN;
	else
		events |= EPOLLET; /* its end is not told again and again */
	return events;
}

static void pump(struct connection *c)
{
	bool moved = true;
	uint32_t events;

	if (c->pumping) {
		c->again = true;
		return;
	}
	c->pumping = true;
	for (int i = 0; i < PUMP_TURNS && c->stage != STAGE_DEAD && (moved || c->again); i++) {
		c->again = false;
		moved = step(c);
	}
	c->pumping = false;
	if (c->stage == STAGE_OPEN && is_spent(c))
		die(c, RECORD_UPSTREAM);
	if (c->stage == STAGE_DEAD) {
		free_connection(c);
		return;
	}
	if (!c->source)
		return;
	if (moved)
		wake(c); /* a turn was not enough */
	events = wanted_events(c);
	if (loop_must_look_anew(c->events, events, c->told, c->readable))
		loop_modify(c->source, c->events = events);
}

/* Calls. */

static bool same_target(const struct upstream_target *a, const struct upstream_target *b)
{
	return a->port == b->port && a->secure == b->secure && a->http1 == b->http1 &&
	       policy_host_equal(&a->host, &b->host);
}

static bool is_free(const struct connection *c)
{
	if (c->stage != STAGE_OPEN || c->input_ended)
		return false;
	return c->h2 ? h2_may_request(c->h2) : !c->calls && h1_conn_is_idle(c->h1) && !c->in_len;
}

static struct connection *find_free(struct upstream_pool *pool,
	const struct upstream_target *target, const struct upstream_ops *ops, void *owner)
{
	for (struct connection *c = pool->connections; c; c = c->next)
		/* Through a proxy its address says nothing about the target's. */
		if (is_free(c) && same_target(&c->target, target) &&
			(pool->setup.via || ops->judge_again(owner, &c->address)))
			return c;
	return NULL;
}

int upstream_open(struct upstream_pool *pool, const struct upstream_target *target, bool fresh,
	const struct upstream_ops *ops, void *owner, struct upstream_call **ret)
{
	struct upstream_call *call = calloc(1, sizeof(*call));
	struct connection *c;
	int r;

	if (!call)
		return -ENOMEM;
	call->ops = ops;
	call->owner = owner;
	call->since_ms = clock_monotonic_ms();
	*ret = call;
	c = fresh ? NULL : find_free(pool, target, ops, owner);
	if (c) {
		c->used = true;
		c->deadline_ms = 0;
		link_call(c, call);
		call->told_ready = true;
		ops->ready(owner);
		return 0;
	}
	r = dial_new(pool, target, call);
	if (r < 0) {
		free(call);
		*ret = NULL;
	}
	return r;
}

void upstream_close(struct upstream_call *call)
{
	struct connection *c;

	if (!call)
		return;
	c = call->connection;
	if (call->stream) {
		h2_set_data(call->stream, NULL);
		if (!call->whole || !call->sent_all)
			h2_reset(call->stream, H2_CANCEL);
	}
	unlink_call(call);
	if (c) {
		/* What is in the middle of something is of no use to the next one. */
		if (c->stage == STAGE_DIAL || c->stage == STAGE_HANDSHAKE ||
			(c->h1 && call->asked && (!call->whole || !call->sent_all)))
			die(c, RECORD_CANCELLED);
		else if (!c->calls)
			c->deadline_ms = clock_monotonic_ms() + UPSTREAM_IDLE_MS;
		if (c->stage == STAGE_DEAD && !c->pumping && !c->source)
			free_connection(c); /* no loop calls for it */
		else
			flush(c);
	}
	free(call);
}

static int request_h1(struct upstream_call *call, const struct upstream_request *q,
	const char *target, const char *authority)
{
	struct record_fields *fields = malloc(sizeof(*fields));
	int r = -E2BIG;

	if (!fields)
		return -ENOMEM;
	fields->count = 0;
	if (fields_add(fields, "host", authority)) {
		r = 0;
		for (uint16_t i = 0; r == 0 && i < q->fields->count; i++)
			if (!fields_add(fields, q->fields->list[i].name, q->fields->list[i].value))
				r = -E2BIG;
	}
	if (r == 0 && q->websocket &&
		(!fields_add(fields, "upgrade", "websocket") ||
			!fields_add(fields, "connection", "upgrade")))
		r = -E2BIG;
	if (r == 0)
		r = h1_conn_request(call->connection->h1, q->method, target, fields,
			q->websocket ? 0 : q->length, q->end || q->websocket);
	free(fields);
	return r;
}

static int request_h2(struct upstream_call *call, const struct upstream_request *q,
	const char *target, const char *authority)
{
	struct h2_head head;
	char length[DECIMAL_MAX];
	int r = 0;

	head.method = q->method;
	head.scheme = call->connection->target.secure ? "https" : "http";
	head.authority = authority;
	head.path = target;
	head.protocol = NULL;
	head.end = q->end;
	fields_copy(&head.fields, q->fields);
	if (!q->end && q->length != RECORD_LENGTH_UNKNOWN) {
		r = fields_add(&head.fields, "content-length", decimal_of(q->length, length))
			    ? 0
			    : -E2BIG;
	}
	return r < 0 ? r : h2_request(call->connection->h2, &head, call, &call->stream);
}

int upstream_request(struct upstream_call *call, const struct upstream_request *q)
{
	struct connection *c = call->connection;
	size_t size = strlen(q->path) + (q->query ? strlen(q->query) + 1 : 0) + 1;
	char *target, *at;
	int r = -EPIPE;

	if (size > TARGET_MAX)
		return -E2BIG;
	target = malloc(size);
	if (!target)
		return -ENOMEM;
	at = stpcpy(target, q->path);
	if (q->query) {
		*at++ = '?';
		strcpy(at, q->query);
	}
	if (c && c->h2 && q->websocket)
		r = -EINVAL;
	else if (c && c->h2)
		r = request_h2(call, q, target, c->authority);
	else if (c)
		r = request_h1(call, q, target, c->authority);
	explicit_bzero(target, size);
	free(target);
	if (r < 0)
		return r;
	call->asked = true;
	call->sent_all = q->end;
	c->pool->asked = c;
	flush(c);
	return 0;
}

void upstream_push(struct upstream_pool *pool)
{
	struct connection *c = TAKE_PTR(pool->asked);

	if (c)
		pump(c);
}

size_t upstream_room(const struct upstream_call *call)
{
	if (!call->connection || !call->asked)
		return 0;
	return call->stream ? h2_room(call->stream) : h1_conn_room(call->connection->h1);
}

void upstream_send(struct upstream_call *call, const void *data, size_t len)
{
	if (call->stream)
		h2_send(call->stream, data, len);
	else
		h1_conn_send(call->connection->h1, data, len);
	flush(call->connection);
}

int upstream_end(struct upstream_call *call, const struct record_fields *trailers)
{
	int r;

	if (!call->connection)
		return -EPIPE;
	r = call->stream ? h2_end(call->stream, trailers)
			 : h1_conn_end(call->connection->h1, trailers);
	call->sent_all = true;
	flush(call->connection);
	return r;
}

void upstream_consumed(struct upstream_call *call, size_t len)
{
	if (!call->connection)
		return;
	if (call->stream)
		h2_consumed(call->stream, len);
	else if (call->connection->h1)
		h1_conn_consumed(call->connection->h1, len);
	flush(call->connection);
}

/* The pool. */

static bool is_late(const struct connection *c, uint64_t now)
{
	if (c->deadline_ms && now >= c->deadline_ms)
		return true;
	for (const struct upstream_call *call = c->calls; call; call = call->next)
		if (call->sent_all && !call->answered && now - call->since_ms > UPSTREAM_HEAD_MS)
			return true;
	return false;
}

static void on_tick(void *data)
{
	struct upstream_pool *pool = data;
	uint64_t now = clock_monotonic_ms();

	for (struct connection *c = pool->connections, *next; c; c = next) {
		next = c->next;
		if (c->stage != STAGE_DEAD && is_late(c, now)) {
			die(c, RECORD_TIMEOUT);
			wake(c);
		}
	}
	loop_timer_set(pool->tick, TICK_MS);
}

int upstream_pool_create(const struct upstream_setup *setup, struct upstream_pool **ret)
{
	struct upstream_pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return -ENOMEM;
	pool->setup = *setup;
	r = loop_add_timer(setup->loop, on_tick, pool, &pool->tick);
	if (r < 0) {
		free(pool);
		return r;
	}
	loop_timer_set(pool->tick, TICK_MS);
	*ret = pool;
	return 0;
}

void upstream_pool_destroy(struct upstream_pool *pool)
{
	if (!pool)
		return;
	while (pool->connections)
		free_connection(pool->connections);
	loop_remove(pool->tick);
	free(pool);
}
