/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/guest_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_conn.h"
#include "vsock-proxy/h2.h"

/* One HTTP/2 stream's exchange. NULL exchange: it was answered at once, the rest is dropped. */
struct h2_exchange {
	struct guest_http *http;
	struct h2_stream *stream;
	struct exchange *exchange;
	struct h2_exchange *next, **link;
};

struct guest_http {
	struct exchange_place place;
	const struct guest_http_ops *ops;
	void *owner;
	struct h1_conn *h1;
	struct exchange *exchange; /* of HTTP/1 */
	char *last; /* a last answer of our own making */
	size_t last_len;
	struct h2 *h2;
	struct h2_exchange *streams;
	uint64_t requests;
	bool failed, input_ended;
};

static void flush(struct guest_http *http)
{
	http->ops->flush(http->owner);
}

/* HTTP/1.1 */

static int h1_to_respond(
	void *to, uint16_t status, struct record_fields *fields, uint64_t length, bool end)
{
	struct guest_http *http = to;

	if (status == 101 && !fields_add(fields, "upgrade", "websocket"))
		return -E2BIG;
	return h1_conn_respond(http->h1, status, fields, length, end);
}

static size_t h1_to_room(void *to)
{
	return h1_conn_room(((struct guest_http *)to)->h1);
}

static void h1_to_send(void *to, const void *data, size_t len)
{
	h1_conn_send(((struct guest_http *)to)->h1, data, len);
}

static int h1_to_end(void *to, const struct record_fields *trailers)
{
	return h1_conn_end(((struct guest_http *)to)->h1, trailers);
}

static void to_abort(void *to)
{
	struct guest_http *http = to;

	http->failed = true;
	http->ops->abort(http->owner);
}

static void h1_to_consumed(void *to, size_t len)
{
	h1_conn_consumed(((struct guest_http *)to)->h1, len);
}

static void to_flush(void *to)
{
	flush(to);
}

static const struct exchange_to h1_to = { h1_to_respond, h1_to_room, h1_to_send, h1_to_end,
	to_abort, h1_to_consumed, to_flush };

/* RFC 6455, section 4.1, as far as the upgrade goes; the rest is between the guest and its upstream. */
static bool asks_for_websocket(const struct h1_request *m)
{
	return !strcmp(m->method, "GET") && m->minor == 1 &&
	       fields_list_has(&m->fields, "connection", "upgrade") &&
	       fields_list_has(&m->fields, "upgrade", "websocket");
}

static void h1_on_request(void *owner, const struct h1_request *m, uint64_t length, bool end)
{
	struct guest_http *http = owner;
	struct record_fields fields;
	struct exchange_asked asked = { .method = m->method,
		.scheme = m->scheme,
		.authority = m->authority,
		.host = m->host,
		.path = m->path,
		.query = m->query,
		.websocket = asks_for_websocket(m),
		.tunnel = m->form == H1_AUTHORITY || m->form == H1_ASTERISK,
		.fields = &fields,
		.length = length,
		.end = end };

	http->requests++;
	exchange_destroy(TAKE_PTR(http->exchange)); /* the one before */
	fields_copy(&fields, &m->fields);
	/* Inside a connection to one host an absolute form names another proxy's business (E9). */
	if (m->form == H1_ABSOLUTE && http->place.host)
		asked.tunnel = true;
	http->exchange = exchange_begin(&http->place, &asked, &h1_to, http);
	if (!http->exchange && !end)
		h1_conn_shut(http->h1); /* what follows of it is read by nobody */
}

static void h1_on_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct guest_http *http = owner;

	if (http->exchange)
		exchange_data(http->exchange, bytes, len);
	else
		h1_conn_consumed(http->h1, len);
}

static void h1_on_end(void *owner, const struct record_fields *trailers)
{
	struct guest_http *http = owner;

	if (http->exchange)
		exchange_end(http->exchange, trailers);
}

static void h1_on_drained(void *owner)
{
	struct guest_http *http = owner;

	if (http->exchange)
		exchange_drained(http->exchange);
}

static const struct h1_conn_ops h1_ops = {
	.request = h1_on_request, .data = h1_on_data, .end = h1_on_end, .drained = h1_on_drained
};

/* What cannot be read gets one last answer in the denial form, once what was said before it is out. */
static void h1_refuse(struct guest_http *http, enum h1_error error)
{
	struct policy_request request = { .protocol = POLICY_PROTOCOL_HTTP,
		.port = http->place.port,
		.secure = http->place.secure };
	struct denial denial;
	char what[300];

	if (http->place.host)
		request.host = *http->place.host;
	if (http->exchange && !exchange_is_over(http->exchange))
		return; /* an answer is under way: nothing can stand between */
	snprintf(what, sizeof(what), "a request to %s",
		http->place.host ? http->place.host->text : "the proxy");
	denial_of_failure(&denial, DENIAL_REQUEST, what, h1_error_text(error));
	proxy_refused(http->place.proxy, http->place.host ? &request : NULL, &denial);
	http->last = malloc(DENIAL_HTTP1_MAX);
	if (http->last)
		http->last_len = denial_http1(
			&denial, (uint16_t)h1_error_status(error), proxy_now_s(), http->last);
}

static size_t pull_last(struct guest_http *http, uint8_t *out, size_t size)
{
	size_t len = http->last_len;

	if (!http->last || len > size)
		return 0;
	memcpy(out, http->last, len);
	free(TAKE_PTR(http->last));
	return len;
}

static ssize_t h1_receive(struct guest_http *http, const uint8_t *bytes, size_t len)
{
	enum h1_error error = H1_OK;
	size_t used = 0;

	if (h1_conn_receive(http->h1, bytes, len, &used, &error, NULL) < 0) {
		h1_refuse(http, error);
		http->failed = true;
		return -EPROTO;
	}
	return (ssize_t)used;
}

/* HTTP/2 */

static int h2_to_respond(
	void *to, uint16_t status, struct record_fields *fields, uint64_t length, bool end)
{
	struct h2_exchange *s = to;
	struct h2_head head;
	char text[DECIMAL_MAX];

	head.status = status == 101 ? 200 : status;
	head.end = end;
	fields_copy(&head.fields, fields);
	if (status >= 200 && length != RECORD_LENGTH_UNKNOWN && !(end && !length)) {
		if (!fields_add(&head.fields, "content-length", decimal_of(length, text)))
			return -E2BIG;
	}
	return h2_respond(s->stream, &head);
}

static size_t h2_to_room(void *to)
{
	return h2_room(((struct h2_exchange *)to)->stream);
}

static void h2_to_send(void *to, const void *data, size_t len)
{
	h2_send(((struct h2_exchange *)to)->stream, data, len);
}

static int h2_to_end(void *to, const struct record_fields *trailers)
{
	return h2_end(((struct h2_exchange *)to)->stream, trailers);
}

#define H2_INTERNAL_ERROR 2

static void h2_to_abort(void *to)
{
	h2_reset(((struct h2_exchange *)to)->stream, H2_INTERNAL_ERROR);
}

static void h2_to_consumed(void *to, size_t len)
{
	h2_consumed(((struct h2_exchange *)to)->stream, len);
}

static void h2_to_flush(void *to)
{
	flush(((struct h2_exchange *)to)->http);
}

static const struct exchange_to h2_to = { h2_to_respond, h2_to_room, h2_to_send, h2_to_end,
	h2_to_abort, h2_to_consumed, h2_to_flush };

static struct h2_exchange *h2_add(struct guest_http *http, struct h2_stream *stream)
{
	struct h2_exchange *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->http = http;
	s->stream = stream;
	s->next = http->streams;
	s->link = &http->streams;
	if (s->next)
		s->next->link = &s->next;
	http->streams = s;
	h2_set_data(stream, s);
	return s;
}

static void h2_remove(struct h2_exchange *s)
{
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	exchange_destroy(s->exchange);
	free(s);
}

/* Content-Length, which fields_strip() takes out; nghttp2 has checked that it adds up. */
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
	struct guest_http *http = owner;
	struct h2_exchange *s = h2_add(http, stream);
	struct record_fields fields;
	char *path = head->path ? strdup(head->path) : NULL, *query;
	struct exchange_asked asked = { .method = head->method,
		.scheme = head->scheme,
		.authority = head->authority,
		.host = fields_get(&head->fields, "host"),
		.path = path,
		.fields = &fields,
		.length = length_of(head),
		.end = head->end,
		.http2 = true };

	http->requests++;
	if (!s || (head->path && !path)) {
		h2_reset(stream, H2_INTERNAL_ERROR);
	} else {
		fields_copy(&fields, &head->fields);
		query = path ? strchr(path, '?') : NULL;
		if (query) {
			*query = '\0';
			asked.query = query + 1;
		}
		asked.websocket = head->protocol && !strcmp(head->protocol, "websocket");
		asked.tunnel = head->method && !strcmp(head->method, "CONNECT") && !asked.websocket;
		if (asked.websocket)
			asked.method =
				"GET"; /* RFC 8441, section 5: what a rule says of a WebSocket holds for both */
		s->exchange = exchange_begin(&http->place, &asked, &h2_to, s);
	}
	free(path);
}

static void h2_on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	struct h2_exchange *s = h2_data(stream);

	if (s && s->exchange)
		exchange_data(s->exchange, bytes, len);
	else
		h2_consumed(stream, len);
}

static void h2_on_end(struct h2_stream *stream, const struct record_fields *trailers)
{
	struct h2_exchange *s = h2_data(stream);

	if (s && s->exchange)
		exchange_end(s->exchange, trailers);
}

static void h2_on_drained(struct h2_stream *stream)
{
	struct h2_exchange *s = h2_data(stream);

	if (s && s->exchange)
		exchange_drained(s->exchange);
}

static void h2_on_closed(struct h2_stream *stream, bool clean, uint32_t error)
{
	struct h2_exchange *s = h2_data(stream);

	(void)clean;
	(void)error;
	if (s)
		h2_remove(s);
	h2_set_data(stream, NULL);
}

static const struct h2_ops h2_ops = { .head = h2_on_head,
	.data = h2_on_data,
	.end = h2_on_end,
	.drained = h2_on_drained,
	.closed = h2_on_closed };

/* Both */

int guest_http_create(const struct exchange_place *place, bool http2,
	const struct guest_http_ops *ops, void *owner, struct guest_http **ret)
{
	struct guest_http *http = calloc(1, sizeof(*http));
	int r;

	if (!http)
		return -ENOMEM;
	http->place = *place;
	http->ops = ops;
	http->owner = owner;
	r = http2 ? h2_create(H2_SERVER, &h2_ops, http, &http->h2, NULL)
		  : h1_conn_create(H1_SERVER, &h1_ops, http, &http->h1, NULL);
	if (r < 0)
		free(http);
	else
		*ret = http;
	return r;
}

void guest_http_destroy(struct guest_http *http)
{
	if (!http)
		return;
	exchange_destroy(http->exchange);
	while (http->streams)
		h2_remove(http->streams);
	free(http->last);
	h1_conn_destroy(http->h1);
	h2_destroy(http->h2);
	free(http);
}

bool guest_http_wants_input(const struct guest_http *http)
{
	if (http->failed || http->input_ended)
		return false;
	return http->h2 ? !h2_is_over(http->h2) : h1_conn_wants_input(http->h1);
}

ssize_t guest_http_receive(struct guest_http *http, const uint8_t *bytes, size_t len)
{
	if (http->h1)
		return h1_receive(http, bytes, len);
	if (h2_receive(http->h2, bytes, len, NULL) < 0) {
		http->failed = true;
		return -EPROTO;
	}
	return (ssize_t)len;
}

void guest_http_input_ended(struct guest_http *http)
{
	http->input_ended = true;
	if (http->h2 || h1_conn_input_ended(http->h1) < 0)
		http->failed = true;
}

size_t guest_http_pull(struct guest_http *http, uint8_t *out, size_t size)
{
	ssize_t n;

	if (http->h1) {
		size_t len = h1_conn_pull(http->h1, out, size);

		return len ? len : pull_last(http, out, size);
	}
	n = h2_pull(http->h2, out, size);
	if (n < 0)
		http->failed = true;
	return n > 0 ? (size_t)n : 0;
}

bool guest_http_is_over(const struct guest_http *http)
{
	if (http->h2)
		return http->failed || h2_is_over(http->h2);
	return h1_conn_is_flushed(http->h1) && !http->last &&
	       (http->failed || h1_conn_is_over(http->h1) ||
		       (http->input_ended && !guest_http_is_busy(http)));
}

bool guest_http_is_busy(const struct guest_http *http)
{
	return http->h2 ? http->streams != NULL
			: http->exchange && !exchange_is_over(http->exchange);
}

bool guest_http_is_answering(const struct guest_http *http)
{
	return http->exchange && exchange_is_asked(http->exchange) &&
	       !exchange_is_over(http->exchange);
}

uint64_t guest_http_requests(const struct guest_http *http)
{
	return http->requests;
}

void guest_http_tick(struct guest_http *http)
{
	if (http->exchange)
		exchange_tick(http->exchange);
	for (struct h2_exchange *s = http->streams, *next; s; s = next) {
		next = s->next;
		if (s->exchange)
			exchange_tick(s->exchange);
	}
}
