/* SPDX-License-Identifier: Apache-2.0 */
/* One opaque connection, carried out (E25): resolved, checked, dialled, then bytes both ways that nobody reads. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vsock-proxy/flow.h"
#include "vsock-proxy/injector_state.h"

#define PIECE (16u << 10)

struct relay {
	struct stream_owner owner; /* first: the stream's data */
	struct injector *injector;
	struct channel_stream *stream;
	struct held_policy *policy;
	struct policy_request request;
	struct policy_decision decision;
	enum policy_reason refused;
	struct dial *dial;
	int fd;
	struct loop_source *source;
	uint32_t events;
	struct flow up; /* from the proxy */
	bool up_sent, down_ended, down_sent;
};

static const struct channel_ops relay_channel_ops;

static void destroy(struct relay *relay)
{
	dial_cancel(relay->dial);
	loop_remove(relay->source);
	close_keeping_errno(relay->fd);
	held_policy_put(relay->policy);
	flow_finish(&relay->up);
	free(relay);
}

static void fail(struct relay *relay, enum record_reason reason)
{
	struct channel_stream *stream = TAKE_PTR(relay->stream);

	if (stream)
		channel_reset(stream, reason);
	destroy(relay);
}

/* Each gives false where the relay is gone. */

static bool pump_up(struct relay *relay)
{
	const uint8_t *bytes;
	size_t len;
	ssize_t n;

	while (relay->fd >= 0 && (len = flow_peek(&relay->up, &bytes)) > 0) {
		n = send(relay->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			fail(relay, RECORD_UPSTREAM);
			return false;
		}
		flow_take(&relay->up, (size_t)n);
		if (relay->stream)
			channel_consumed(relay->stream, (size_t)n);
	}
	if (relay->fd >= 0 && flow_is_over(&relay->up) && !relay->up_sent) {
		relay->up_sent = true;
		shutdown(relay->fd, SHUT_WR);
	}
	return true;
}

static bool pump_down(struct relay *relay)
{
	uint8_t bytes[PIECE];
	size_t room = channel_room(relay->stream);
	ssize_t n;

	while (room && !relay->down_ended) {
		n = recv(relay->fd, bytes, MIN(room, sizeof(bytes)), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			fail(relay, RECORD_UPSTREAM);
			return false;
		}
		if (n > 0)
			channel_send(relay->stream, bytes, (size_t)n);
		else
			relay->down_ended = true;
		room = channel_room(relay->stream);
	}
	if (relay->down_ended && !relay->down_sent) {
		relay->down_sent = true;
		if (relay->up.ended) {
			/* Both have said END: the stream goes with ours. What is left for the upstream goes first. */
			channel_set_data(relay->stream, NULL);
			channel_end(TAKE_PTR(relay->stream), NULL);
		} else {
			channel_end(relay->stream, NULL);
		}
	}
	return true;
}

static void look_for(struct relay *relay)
{
	uint32_t events = relay->up.len ? EPOLLOUT : 0;

	if (relay->stream && !relay->down_ended && channel_room(relay->stream))
		events |= EPOLLIN;
	events |= events ? 0 : EPOLLET; /* HUP cannot be left out, but told once */
	if (events != relay->events)
		loop_modify(relay->source, relay->events = events);
}

static void pump(struct relay *relay)
{
	if (relay->fd < 0 || !pump_up(relay))
		return;
	if (relay->stream && !pump_down(relay))
		return;
	if (relay->up_sent && relay->down_sent)
		destroy(relay);
	else
		look_for(relay);
}

static void on_ready(void *data, uint32_t events)
{
	(void)events;
	pump(data);
}

static bool judge(void *data, const struct policy_host *address)
{
	struct relay *relay = data;

	return injector_judges(relay->injector, &relay->decision, address, &relay->refused);
}

static void refuse(struct relay *relay, int code)
{
	struct channel_stream *stream = relay->stream;

	if (code == -EACCES && relay->refused) {
		relay->decision.verdict = POLICY_DENY;
		relay->decision.reason = relay->refused;
		relay->stream = NULL;
		injector_deny(
			relay->injector, stream, relay->policy, &relay->request, &relay->decision);
		destroy(relay);
	} else {
		fail(relay, code == -ETIMEDOUT ? RECORD_TIMEOUT : RECORD_UNREACHABLE);
	}
}

static void dialled(void *data, int fd, const char *why)
{
	struct relay *relay = data;

	relay->dial = NULL;
	if (fd < 0) {
		log_info("%s:%u: %s", relay->request.host.text, relay->request.port, why);
		refuse(relay, fd);
		return;
	}
	relay->fd = fd;
	if (loop_add_fd(relay->injector->loop, fd, EPOLLIN, on_ready, relay, &relay->source) < 0) {
		fail(relay, RECORD_INTERNAL);
		return;
	}
	relay->events = EPOLLIN;
	channel_opened(relay->stream);
	pump(relay);
}

void relay_begin(struct injector *injector, struct channel_stream *stream,
	const struct record_request *m, const struct policy_decision *decision)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	struct dial_setup setup = { .loop = injector->loop,
		.resolver = injector->config.resolver,
		.judge = judge,
		.done = dialled,
		.data = relay,
		.via = injector->config.via };

	if (!relay) {
		channel_reset(stream, RECORD_INTERNAL);
		return;
	}
	relay->owner.ops = &relay_channel_ops;
	relay->injector = injector;
	relay->stream = stream;
	relay->request = m->request;
	relay->request.method = relay->request.path = relay->request.query = NULL;
	relay->decision = *decision;
	relay->policy = held_policy_get(injector);
	relay->fd = -1;
	channel_set_data(stream, relay);
	if (dial_start(&setup, &relay->request.host, relay->request.port, &relay->dial) < 0)
		fail(relay, RECORD_INTERNAL);
}

static void from_proxy_data(struct channel_stream *stream, const uint8_t *bytes, size_t len)
{
	struct relay *relay = channel_data(stream);

	if (flow_put(&relay->up, bytes, len) < 0)
		fail(relay, RECORD_INTERNAL);
	else
		pump(relay);
}

static void from_proxy_end(struct channel_stream *stream, const struct record_fields *trailers)
{
	struct relay *relay = channel_data(stream);

	(void)trailers;
	flow_end(&relay->up, NULL);
	if (relay->down_sent) {
		channel_set_data(stream, NULL);
		relay->stream = NULL; /* both have said END */
	}
	pump(relay);
}

static void from_proxy_reset(struct channel_stream *stream, enum record_reason reason)
{
	struct relay *relay = channel_data(stream);

	(void)reason;
	relay->stream = NULL;
	destroy(relay);
}

static void from_proxy_writable(struct channel_stream *stream)
{
	pump(channel_data(stream));
}

static const struct channel_ops relay_channel_ops = {
	.data = from_proxy_data,
	.end = from_proxy_end,
	.reset = from_proxy_reset,
	.writable = from_proxy_writable,
};
