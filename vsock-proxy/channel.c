/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define BUCKETS	     256
#define IN_BYTES     (RECORD_HEAD_SIZE + RECORD_PAYLOAD_MAX)
#define RECORD_BYTES (RECORD_HEAD_SIZE + RECORD_PAYLOAD_MAX)
/* What is kept free of long records: each stream may still be opened, credited, ended and reset. */
#define OUT_RESERVE (RECORD_STREAMS_MAX * 4 * (RECORD_HEAD_SIZE + 4))
/* More than this does not wait for the end of the loop's round. */
#define SEND_AT_ONCE (64u << 10)
/* Given back at once when so much is due: half of the window. */
#define CREDIT_DUE (RECORD_CREDIT_FIRST / 2)

struct channel_stream {
	struct channel *channel;
	struct channel_stream *next; /* in its bucket */
	struct channel_stream *next_waiting; /* for room, in turn */
	void *data;
	uint32_t id;
	uint32_t may_send; /* bytes of DATA that the peer will take */
	uint32_t may_come; /* that we will take */
	uint32_t due; /* consumed, not yet given back */
	bool we_ended, peer_ended, answered, waiting;
};

struct channel {
	const struct channel_ops *ops;
	void *owner;
	struct loop *loop;
	struct loop_source *source;
	int fd;
	enum record_sender self;
	struct loop_source *teller; /* broken() is told from the loop, never from inside a call */
	bool is_broken, in_event;
	bool room_came; /* since those who wait for it were told */
	uint32_t events; /* that the loop looks for */
	int broken_code;
	const char *broken_why;
	uint32_t last_id;
	unsigned int count;
	struct channel_stream *buckets[BUCKETS];
	struct channel_stream *first_waiting, *last_waiting;
	/* The decoded record being dispatched. */
	union {
		struct record_request request;
		struct record_response response;
		struct record_denied denied;
		struct record_fields trailers;
	} m;
	size_t in_used, out_first, out_used;
	uint8_t in[IN_BYTES];
	uint8_t out[CHANNEL_OUT_BYTES];
};

DEFINE_CLEANUP(channel, channel_destroy)

static void tell_broken(void *data)
{
	struct channel *c = data;

	c->ops->broken(c->owner, c->broken_code, c->broken_why);
}

/* why: lives as long as the program. */
static void break_off(struct channel *c, int code, const char *why)
{
	if (c->is_broken)
		return;
	c->is_broken = true;
	c->broken_code = code;
	c->broken_why = why;
	loop_remove(c->source);
	c->source = NULL;
	loop_timer_set(c->teller, 1);
}

/* -- streams -- */

static struct channel_stream **bucket(struct channel *c, uint32_t id)
{
	return &c->buckets[id % BUCKETS];
}

static struct channel_stream *find(struct channel *c, uint32_t id)
{
	struct channel_stream *s = *bucket(c, id);

	while (s && s->id != id)
		s = s->next;
	return s;
}

static struct channel_stream *add_stream(struct channel *c, uint32_t id, void *data)
{
	struct channel_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct channel_stream){
		.channel = c,
		.next = *bucket(c, id),
		.data = data,
		.id = id,
		.may_send = RECORD_CREDIT_FIRST,
		.may_come = RECORD_CREDIT_FIRST,
	};
	*bucket(c, id) = s;
	c->count++;
	return s;
}

static void stop_waiting(struct channel_stream *s)
{
	struct channel *c = s->channel;
	struct channel_stream **link = &c->first_waiting, *before = NULL;

	if (!s->waiting)
		return;
	while (*link != s) {
		before = *link;
		link = &(*link)->next_waiting;
	}
	*link = s->next_waiting;
	if (c->last_waiting == s)
		c->last_waiting = before;
	s->next_waiting = NULL;
	s->waiting = false;
}

static void start_waiting(struct channel_stream *s)
{
	struct channel *c = s->channel;

	if (s->waiting)
		return;
	s->waiting = true;
	if (c->last_waiting)
		c->last_waiting->next_waiting = s;
	else
		c->first_waiting = s;
	c->last_waiting = s;
}

static void free_stream(struct channel_stream *s)
{
	struct channel_stream **link = bucket(s->channel, s->id);

	stop_waiting(s);
	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	s->channel->count--;
	free(s);
}

/* -- out -- */

static void arm(struct channel *c)
{
	uint32_t events = EPOLLIN | (c->out_used ? EPOLLOUT : 0);

	if (c->source && events != c->events)
		loop_modify(c->source, c->events = events);
	/* Whoever waits for room is told from the loop, whatever made it. */
	if (c->source && c->room_came && c->first_waiting)
		loop_call_soon(c->source);
}

static size_t out_space(const struct channel *c)
{
	return sizeof(c->out) - c->out_used;
}

/* Sends what the peer takes. What it does not, stays. */
static void flush(struct channel *c)
{
	while (c->out_used && !c->is_broken) {
		ssize_t n = send(
			c->fd, c->out + c->out_first, c->out_used, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			break_off(c, -errno, "the peer is gone");
			return;
		}
		c->out_first += (size_t)n;
		c->out_used -= (size_t)n;
		c->room_came = true;
	}
	if (!c->out_used)
		c->out_first = 0;
	arm(c);
}

/* A writer at the end of what waits, over all that is free. */
static struct bytes_writer begin(struct channel *c)
{
	size_t tail = sizeof(c->out) - c->out_first - c->out_used;

	if (c->out_first && tail < OUT_RESERVE + RECORD_BYTES) {
		memmove(c->out, c->out + c->out_first, c->out_used);
		c->out_first = 0;
		tail = out_space(c);
	}
	return bytes_writer(c->out + c->out_first + c->out_used, tail);
}

/*
 * What was written goes out, together with what else the loop's round brings; nothing of it where it failed. In an event
 * all is sent at its end.
 */
static int commit(struct channel *c, const struct bytes_writer *w)
{
	if (w->failed)
		return -EINVAL;
	c->out_used += w->offset;
	if (c->in_event || !c->source)
		return 0;
	if (c->out_used >= SEND_AT_ONCE)
		flush(c);
	else
		loop_call_soon(c->source);
	return 0;
}

/* The same of a small record, for which there is room with any peer that reads at all. */
static void commit_small(struct channel *c, const struct bytes_writer *w)
{
	if (commit(c, w) < 0)
		break_off(c, -EPROTO, "it does not read");
}

/* Room for one of the longest records, and the reserve left. */
static bool has_room_for_record(const struct channel *c)
{
	return out_space(c) >= OUT_RESERVE + RECORD_BYTES;
}

/* 0, or -EAGAIN and writable() will tell. */
static int await_room(struct channel_stream *s)
{
	if (has_room_for_record(s->channel))
		return 0;
	start_waiting(s);
	return -EAGAIN;
}

size_t channel_room(struct channel_stream *s)
{
	struct channel *c = s->channel;
	size_t space = out_space(c), room;

	if (s->we_ended || c->is_broken)
		return 0;
	room = MIN((size_t)s->may_send, (size_t)RECORD_DATA_MAX);
	space -= MIN(space, (size_t)OUT_RESERVE + RECORD_HEAD_SIZE);
	room = MIN(room, space);
	if (!room)
		start_waiting(s);
	return room;
}

void channel_send(struct channel_stream *s, const void *data, size_t len)
{
	struct bytes_writer w = begin(s->channel);

	record_put_data_head(&w, s->id, (uint32_t)len);
	bytes_put(&w, data, len);
	if (commit(s->channel, &w) == 0)
		s->may_send -= (uint32_t)len;
}

int channel_end(struct channel_stream *s, const struct record_fields *trailers)
{
	int r = trailers && trailers->count ? await_room(s) : 0;
	struct bytes_writer w = begin(s->channel);

	if (r < 0)
		return r;
	record_put_end(&w, s->id, trailers);
	r = commit(s->channel, &w);
	if (r < 0)
		return r;
	s->we_ended = true;
	stop_waiting(s);
	if (s->peer_ended)
		free_stream(s);
	return 0;
}

void channel_reset(struct channel_stream *s, enum record_reason reason)
{
	struct bytes_writer w = begin(s->channel);
	struct channel *c = s->channel;

	record_put_reset(&w, s->id, reason);
	free_stream(s);
	commit_small(c, &w);
}

void channel_consumed(struct channel_stream *s, size_t len)
{
	struct bytes_writer w = begin(s->channel);

	s->due += (uint32_t)len;
	/* Who has said END needs no more. */
	if (s->due < CREDIT_DUE || s->peer_ended)
		return;
	record_put_credit(&w, s->id, s->due);
	s->may_come += s->due;
	s->due = 0;
	commit_small(s->channel, &w);
}

int channel_open(
	struct channel *c, const struct record_request *m, void *data, struct channel_stream **ret)
{
	struct bytes_writer w = begin(c);
	struct channel_stream *s;

	if (c->is_broken)
		return -EPIPE;
	if (c->count >= RECORD_STREAMS_MAX || c->last_id == UINT32_MAX)
		return -EMFILE;
	if (!has_room_for_record(c))
		return -EAGAIN;
	record_put_request(&w, c->last_id + 1, m);
	if (w.failed)
		return -EINVAL;
	s = add_stream(c, c->last_id + 1, data);
	if (!s)
		return -ENOMEM;
	c->last_id++;
	commit(c, &w);
	*ret = s;
	return 0;
}

int channel_respond(struct channel_stream *s, const struct record_response *m)
{
	int r = await_room(s);
	struct bytes_writer w = begin(s->channel);

	if (r < 0)
		return r;
	record_put_response(&w, s->id, m);
	return commit(s->channel, &w);
}

void channel_opened(struct channel_stream *s)
{
	struct bytes_writer w = begin(s->channel);

	record_put_opened(&w, s->id);
	commit_small(s->channel, &w);
}

int channel_deny(struct channel_stream *s, const struct record_denied *m)
{
	int r = await_room(s);
	struct bytes_writer w = begin(s->channel);

	if (r < 0)
		return r;
	record_put_denied(&w, s->id, m);
	r = commit(s->channel, &w);
	if (r == 0)
		free_stream(s);
	return r;
}

/* -- in -- */

/* A stream that is gone: its last records may have crossed ours on the way. One that never was is a lie. */
static bool is_past(const struct channel *c, uint32_t id)
{
	return id <= c->last_id;
}

static bool take_request(struct channel *c, const struct record_head *head, const uint8_t *payload)
{
	struct channel_stream *s;

	if (head->stream <= c->last_id || c->count >= RECORD_STREAMS_MAX ||
		!record_get_request(head, payload, &c->m.request))
		return false;
	s = add_stream(c, head->stream, NULL);
	if (!s)
		return false;
	c->last_id = head->stream;
	c->ops->request(c->owner, s, &c->m.request);
	return true;
}

static bool take_response(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	struct channel *c = s->channel;

	if (s->answered || !record_get_response(head, payload, &c->m.response))
		return false;
	s->answered = c->m.response.status >= 200;
	c->ops->response(s, &c->m.response);
	return true;
}

static bool take_opened(struct channel_stream *s)
{
	if (s->answered)
		return false;
	s->answered = true;
	s->channel->ops->response(s, NULL);
	return true;
}

static bool take_denied(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	struct channel *c = s->channel;

	if (s->answered || !record_get_denied(head, payload, &c->m.denied))
		return false;
	c->ops->denied(s, &c->m.denied);
	free_stream(s);
	return true;
}

static bool take_data(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	if (s->peer_ended || head->len > s->may_come ||
		(s->channel->self == RECORD_FROM_PROXY && !s->answered))
		return false;
	s->may_come -= head->len;
	s->channel->ops->data(s, payload, head->len);
	return true;
}

static bool take_end(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	struct channel *c = s->channel;
	uint32_t id = s->id;

	if (s->peer_ended || (c->self == RECORD_FROM_PROXY && !s->answered) ||
		!record_get_end(head, payload, &c->m.trailers))
		return false;
	s->peer_ended = true;
	c->ops->end(s, &c->m.trailers);
	/* Unless that ended or reset it. */
	s = find(c, id);
	if (s && s->we_ended)
		free_stream(s);
	return true;
}

static bool take_credit(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	uint32_t bytes;

	if (!record_get_credit(head, payload, &bytes) || bytes > RECORD_CREDIT_MAX - s->may_send)
		return false;
	s->may_send += bytes;
	return true;
}

static bool take_reset(
	struct channel_stream *s, const struct record_head *head, const uint8_t *payload)
{
	enum record_reason reason;

	if (!record_get_reset(head, payload, &reason))
		return false;
	s->channel->ops->reset(s, reason);
	free_stream(s);
	return true;
}

/* One whole record. False: no honest peer sends that now. */
static bool take(struct channel *c, const struct record_head *head, const uint8_t *payload)
{
	struct channel_stream *s = find(c, head->stream);

	if (head->type == RECORD_REQUEST || head->type == RECORD_TUNNEL)
		return take_request(c, head, payload);
	if (!s)
		return is_past(c, head->stream);
	switch ((enum record_type)head->type) {
	case RECORD_RESPONSE:
		return take_response(s, head, payload);
	case RECORD_OPENED:
		return take_opened(s);
	case RECORD_DENIED:
		return take_denied(s, head, payload);
	case RECORD_DATA:
		return take_data(s, head, payload);
	case RECORD_END:
		return take_end(s, head, payload);
	case RECORD_CREDIT:
		return take_credit(s, head, payload);
	case RECORD_RESET:
		return take_reset(s, head, payload);
	case RECORD_REQUEST:
	case RECORD_TUNNEL:
		break;
	}
	return false;
}

/* All whole records that have come. */
static void take_records(struct channel *c)
{
	enum record_sender peer =
		c->self == RECORD_FROM_PROXY ? RECORD_FROM_INJECTOR : RECORD_FROM_PROXY;
	size_t at = 0;

	while (c->in_used - at >= RECORD_HEAD_SIZE && !c->is_broken) {
		struct record_head head;

		if (!record_head_decode(c->in + at, peer, &head)) {
			break_off(c, -EPROTO, "a record that is none");
			return;
		}
		if (c->in_used - at - RECORD_HEAD_SIZE < head.len)
			break;
		if (!take(c, &head, c->in + at + RECORD_HEAD_SIZE)) {
			break_off(c, -EPROTO, "a record that does not belong here");
			return;
		}
		at += RECORD_HEAD_SIZE + head.len;
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
}

/* Whether more may be waiting. */
static bool read_some(struct channel *c)
{
	size_t room = sizeof(c->in) - c->in_used;
	ssize_t n = recv(c->fd, c->in + c->in_used, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return errno == EINTR;
	if (n < 0) {
		break_off(c, -errno, "it cannot be read");
		return false;
	}
	if (n == 0) {
		break_off(c, c->in_used ? -EPROTO : 0,
			c->in_used ? "it ended in a record" : "it ended");
		return false;
	}
	c->in_used += (size_t)n;
	take_records(c);
	return !c->is_broken && (size_t)n == room;
}

/* Each stream that waits, once, in turn. */
static void tell_writable(struct channel *c)
{
	unsigned int left = c->count;

	c->room_came = false;
	while (left-- && c->first_waiting && !c->is_broken) {
		struct channel_stream *s = c->first_waiting;

		stop_waiting(s);
		if (s->may_send && has_room_for_record(c))
			c->ops->writable(s);
		else
			start_waiting(s);
	}
}

static void on_socket(void *data, uint32_t events)
{
	struct channel *c = data;

	c->in_event = true; /* and no record is sent by itself */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		for (int i = 0; i < CHANNEL_READS && read_some(c); i++)
			;
	c->in_event = false;
	flush(c);
	c->in_event = true;
	tell_writable(c);
	c->in_event = false;
	flush(c);
}

int channel_create(struct loop *loop, int fd, enum record_sender self,
	const struct channel_ops *ops, void *owner, struct channel **ret, struct err *err)
{
	_cleanup_(cleanup_channel_) struct channel *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close(fd);
		return err_set(err, -ENOMEM, "channel: no memory");
	}
	c->ops = ops;
	c->owner = owner;
	c->loop = loop;
	c->fd = fd;
	c->self = self;
	c->events = EPOLLIN;
	r = loop_add_fd(loop, fd, EPOLLIN, on_socket, c, &c->source);
	if (r == 0)
		r = loop_add_timer(loop, tell_broken, c, &c->teller);
	if (r < 0)
		return err_set(err, r, "channel: cannot be watched: %s", strerror(-r));
	*ret = TAKE_PTR(c);
	return 0;
}

void channel_destroy(struct channel *c)
{
	if (!c)
		return;
	if (c->source)
		flush(c);
	for (size_t i = 0; i < BUCKETS; i++)
		while (c->buckets[i])
			free_stream(c->buckets[i]);
	loop_remove(c->source);
	loop_remove(c->teller);
	close(c->fd);
	free(c);
}

void channel_set_data(struct channel_stream *stream, void *data)
{
	stream->data = data;
}

void *channel_data(const struct channel_stream *stream)
{
	return stream->data;
}

uint32_t channel_stream_id(const struct channel_stream *stream)
{
	return stream->id;
}

unsigned int channel_stream_count(const struct channel *channel)
{
	return channel->count;
}
