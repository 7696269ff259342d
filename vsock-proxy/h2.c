/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define PSEUDO_MAX 6

struct h2_stream {
	struct h2 *h2;
	struct h2_stream *next, **link; /* of the connection's */
	void *data;
	int32_t id;
	bool ended; /* h2_end() was called */
	bool known; /* the owner was told of it, or asked for it */
	bool head_told; /* a final head: what comes then is a trailer section */
	size_t unconsumed; /* that was told with data() and not given back */
	uint8_t *out; /* a ring of H2_OUT_BYTES, made with the first byte */
	size_t out_first, out_used;
	char *trailer_text; /* name NUL value NUL ... */
	uint16_t trailer_count;
};

struct h2 {
	nghttp2_session *session;
	const uint8_t *piece; /* what is left of the frame that nghttp2 gave last */
	size_t piece_len;
	const struct h2_ops *ops;
	void *owner;
	enum h2_role role;
	struct h2_stream *streams;
	unsigned int count;
	bool failed;
	/* The header block that is coming in; there is one at a time on a connection (section 4.3). */
	struct h2_head head;
	size_t text_used;
	char text[H2_HEAD_MAX];
};

DEFINE_CLEANUP(h2, h2_destroy)

/* -- streams -- */

static struct h2_stream *add_stream(struct h2 *h2, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct h2_stream){ .h2 = h2, .next = h2->streams, .link = &h2->streams, .id = id };
	if (s->next)
		s->next->link = &s->next;
	h2->streams = s;
	h2->count++;
	return s;
}

static void free_stream(struct h2_stream *s)
{
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->h2->count--;
	free(s->out);
	free(s->trailer_text);
	free(s);
}

static struct h2_stream *stream_of(struct h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->session, id);
}

/* -- header blocks that come -- */

static void begin_head(struct h2 *h2)
{
	h2->head.method = h2->head.scheme = h2->head.authority = h2->head.path = h2->head.protocol =
		NULL;
	h2->head.status = 0;
	h2->head.end = false;
	h2->head.fields.count = 0;
	h2->text_used = 0;
}

/* In the connection's buffer, ended by NUL; NULL: no room. */
static const char *keep(struct h2 *h2, const uint8_t *bytes, size_t len)
{
	char *text = h2->text + h2->text_used;

	if (len >= sizeof(h2->text) - h2->text_used)
		return NULL;
	memcpy(text, bytes, len);
	text[len] = '\0';
	h2->text_used += len + 1;
	return text;
}

static void keep_pseudo(struct h2 *h2, const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **place;
	} places[] = {
		{ ":method", &h2->head.method },
		{ ":scheme", &h2->head.scheme },
		{ ":authority", &h2->head.authority },
		{ ":path", &h2->head.path },
		{ ":protocol", &h2->head.protocol },
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (strcmp(name, places[i].name) == 0)
			*places[i].place = value;
	/* Three digits: nghttp2 has seen to it. */
	if (strcmp(name, ":status") == 0)
		h2->head.status = (uint16_t)strtoul(value, NULL, 10);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct h2 *h2 = data;
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s;

	begin_head(h2);
	if (stream_of(h2, id) || h2->role == H2_CLIENT)
		return 0;
	s = add_stream(h2, id);
	if (!s || nghttp2_session_set_stream_user_data(session, id, s) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *data)
{
	struct h2 *h2 = data;
	const char *kept_name = keep(h2, name, name_len), *kept_value = keep(h2, value, value_len);

	(void)session;
	(void)frame;
	(void)flags;
	if (!kept_name || !kept_value ||
		(name[0] != ':' && h2->head.fields.count == RECORD_FIELDS_MAX))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset, the connection goes on */
	if (kept_name[0] == ':')
		keep_pseudo(h2, kept_name, kept_value);
	else
		h2->head.fields.list[h2->head.fields.count++] =
			(struct record_field){ kept_name, kept_value };
	return 0;
}

static void tell_headers(struct h2 *h2, struct h2_stream *s, bool end)
{
	if (s->head_told) {
		h2->ops->end(s, &h2->head.fields);
		return;
	}
	s->head_told = h2->role == H2_SERVER || h2->head.status >= 200;
	s->known = true;
	h2->head.end = end && s->head_told;
	h2->ops->head(h2->owner, s, &h2->head);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	static const struct record_fields none = {};
	struct h2 *h2 = data;
	struct h2_stream *s = stream_of(h2, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	if (!s)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		tell_headers(h2, s, end);
	else if (frame->hd.type == NGHTTP2_DATA && end)
		h2->ops->end(s, &none);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
	size_t len, void *data)
{
	struct h2 *h2 = data;
	struct h2_stream *s = stream_of(h2, id);

	(void)flags;
	if (s) {
		s->unconsumed += len;
		h2->ops->data(s, bytes, len);
	} else {
		nghttp2_session_consume(session, id, len);
	}
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
	struct h2 *h2 = data;
	struct h2_stream *s = stream_of(h2, id);

	if (!s)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	/* What its owner still has counts against the stream, which is no more; the connection goes on. */
	nghttp2_session_consume_connection(session, s->unconsumed);
	s->unconsumed = 0;
	if (s->known)
		h2->ops->closed(s, error == NGHTTP2_NO_ERROR, error);
	free_stream(s);
	return 0;
}

/* -- bodies that go -- */

static int submit_trailers(struct h2_stream *s);

static ssize_t give_data(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
	uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct h2_stream *s = source->ptr;
	size_t len = MIN(size, s->out_used);

	(void)session;
	(void)id;
	(void)data;
	if (!s->out_used && !s->ended)
		return NGHTTP2_ERR_DEFERRED;
	len = MIN(len, H2_OUT_BYTES - s->out_first);
	if (len)
		memcpy(out, s->out + s->out_first, len);
	s->out_first = (s->out_first + len) % H2_OUT_BYTES;
	s->out_used -= len;
	if (!s->out_used)
		s->out_first = 0; /* the same memory again, and not all of the ring */
	if (s->ended && !s->out_used) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailer_count)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (s->trailer_count && submit_trailers(s) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (len)
		s->h2->ops->drained(s);
	return (ssize_t)len;
}

static nghttp2_nv pair(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static int submit_trailers(struct h2_stream *s)
{
	nghttp2_nv list[RECORD_FIELDS_MAX];
	const char *p = s->trailer_text;

	for (size_t i = 0; i < s->trailer_count; i++) {
		const char *value = p + strlen(p) + 1;

		list[i] = pair(p, value);
		p = value + strlen(value) + 1;
	}
	return nghttp2_submit_trailer(s->h2->session, s->id, list, s->trailer_count);
}

/* -- its life -- */

static nghttp2_session_callbacks *make_callbacks(void)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	return callbacks;
}

static nghttp2_option *make_options(void)
{
	nghttp2_option *option;

	if (nghttp2_option_new(&option) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_send_header_block_length(option, RECORD_PAYLOAD_MAX);
	nghttp2_option_set_max_outbound_ack(option, H2_ACKS_MAX);
	nghttp2_option_set_max_settings(option, H2_SETTINGS_MAX);
	nghttp2_option_set_max_continuations(option, H2_CONTINUATIONS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(option, H2_RESETS_BURST, H2_RESETS_RATE);
	nghttp2_option_set_peer_max_concurrent_streams(option, H2_STREAMS_MAX);
	return option;
}

static int submit_settings(struct h2 *h2)
{
	const nghttp2_settings_entry entries[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_MAX },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
	};
	/* The first is a client's to say, the last a server's. */
	bool client = h2->role == H2_CLIENT;
	int r = nghttp2_submit_settings(
		h2->session, NGHTTP2_FLAG_NONE, entries + !client, ARRAY_SIZE(entries) - 1);

	if (r == 0)
		r = nghttp2_session_set_local_window_size(
			h2->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
	return r;
}

static int make_session(struct h2 *h2)
{
	nghttp2_session_callbacks *callbacks = make_callbacks();
	nghttp2_option *option = make_options();
	int r = NGHTTP2_ERR_NOMEM;

	if (callbacks && option)
		r = h2->role == H2_SERVER
			    ? nghttp2_session_server_new2(&h2->session, callbacks, h2, option)
			    : nghttp2_session_client_new2(&h2->session, callbacks, h2, option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return r == 0 ? submit_settings(h2) : r;
}

int h2_create(
	enum h2_role role, const struct h2_ops *ops, void *owner, struct h2 **ret, struct err *err)
{
	_cleanup_(cleanup_h2_) struct h2 *h2 = calloc(1, sizeof(*h2));

	if (!h2)
		return err_set(err, -ENOMEM, "HTTP/2: no memory");
	h2->role = role;
	h2->ops = ops;
	h2->owner = owner;
	if (make_session(h2) != 0)
		return err_set(err, -ENOMEM, "HTTP/2: no memory");
	*ret = TAKE_PTR(h2);
	return 0;
}

void h2_destroy(struct h2 *h2)
{
	if (!h2)
		return;
	nghttp2_session_del(h2->session);
	while (h2->streams)
		free_stream(h2->streams);
	free(h2);
}

int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t len, struct err *err)
{
	ssize_t n =
		h2->failed ? NGHTTP2_ERR_PROTO : nghttp2_session_mem_recv(h2->session, bytes, len);

	if (n >= 0)
		return 0;
	if (!h2->failed)
		nghttp2_session_terminate_session(h2->session, NGHTTP2_PROTOCOL_ERROR);
	h2->failed = true;
	return err_set(err, -EPROTO, "HTTP/2: %s", nghttp2_strerror((int)n));
}

ssize_t h2_pull(struct h2 *h2, uint8_t *out, size_t size)
{
	size_t used = 0;

	/* nghttp2 gives a frame at a time, in memory of its own, which stays until it gives the next. */
	while (used < size) {
		size_t len;

		if (!h2->piece_len) {
			ssize_t n = nghttp2_session_mem_send(h2->session, &h2->piece);

			if (n < 0)
				return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
			if (n == 0)
				break;
			h2->piece_len = (size_t)n;
		}
		len = MIN(h2->piece_len, size - used);
		memcpy(out + used, h2->piece, len);
		h2->piece += len;
		h2->piece_len -= len;
		used += len;
	}
	return (ssize_t)used;
}

bool h2_is_over(const struct h2 *h2)
{
	return !h2->piece_len && !nghttp2_session_want_read(h2->session) &&
	       !nghttp2_session_want_write(h2->session);
}

void h2_shut(struct h2 *h2)
{
	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
		nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL, 0);
}

unsigned int h2_stream_count(const struct h2 *h2)
{
	return h2->count;
}

/* -- messages that go -- */

static size_t put_fields(nghttp2_nv *list, size_t count, const struct record_fields *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		list[count++] = pair(fields->list[i].name, fields->list[i].value);
	return count;
}

bool h2_may_request(const struct h2 *h2)
{
	return !h2->failed && nghttp2_session_check_request_allowed(h2->session) &&
	       h2->count < nghttp2_session_get_remote_settings(
				   h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) &&
	       h2->count < H2_STREAMS_MAX;
}

int h2_request(struct h2 *h2, const struct h2_head *head, void *data, struct h2_stream **ret)
{
	nghttp2_nv list[PSEUDO_MAX + RECORD_FIELDS_MAX];
	nghttp2_data_provider body = { .read_callback = give_data };
	size_t count = 0;
	struct h2_stream *s;
	int32_t id;

	if (h2->failed || !nghttp2_session_check_request_allowed(h2->session))
		return -EPIPE;
	if (!h2_may_request(h2))
		return -EAGAIN;
	s = add_stream(h2, 0);
	if (!s)
		return -ENOMEM;
	list[count++] = pair(":method", head->method);
	list[count++] = pair(":scheme", head->scheme);
	list[count++] = pair(":authority", head->authority);
	list[count++] = pair(":path", head->path);
	if (head->protocol)
		list[count++] = pair(":protocol", head->protocol);
	count = put_fields(list, count, &head->fields);
	body.source.ptr = s;
	s->data = data;
	s->known = true;
	s->ended = head->end;
	id = nghttp2_submit_request(h2->session, NULL, list, count, head->end ? NULL : &body, s);
	if (id < 0) {
		free_stream(s);
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
	}
	s->id = id;
	*ret = s;
	return 0;
}

int h2_respond(struct h2_stream *s, const struct h2_head *head)
{
	nghttp2_nv list[PSEUDO_MAX + RECORD_FIELDS_MAX];
	nghttp2_data_provider body = { .source.ptr = s, .read_callback = give_data };
	char status[8];
	size_t count;
	int r;

	if (head->status < 100 || head->status > 599)
		return -EINVAL;
	snprintf(status, sizeof(status), "%u", head->status);
	list[0] = pair(":status", status);
	count = put_fields(list, 1, &head->fields);
	if (head->status < 200) {
		r = nghttp2_submit_headers(
			s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, list, count, NULL);
	} else {
		s->ended = head->end;
		r = nghttp2_submit_response(
			s->h2->session, s->id, list, count, head->end ? NULL : &body);
	}
	return r == 0 ? 0 : -EINVAL;
}

size_t h2_room(const struct h2_stream *s)
{
	return s->ended ? 0 : H2_OUT_BYTES - s->out_used;
}

void h2_send(struct h2_stream *s, const void *data, size_t len)
{
	size_t at, first;

	if (!s->out && !(s->out = malloc(H2_OUT_BYTES))) {
		h2_reset(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	len = MIN(len, h2_room(s));
	at = (s->out_first + s->out_used) % H2_OUT_BYTES;
	first = MIN(len, H2_OUT_BYTES - at);
	memcpy(s->out + at, data, first);
	memcpy(s->out, (const uint8_t *)data + first, len - first);
	s->out_used += len;
	nghttp2_session_resume_data(s->h2->session, s->id);
}

static bool keep_trailers(struct h2_stream *s, const struct record_fields *trailers)
{
	size_t size = 0;
	char *p;

	for (size_t i = 0; i < trailers->count; i++)
		size += strlen(trailers->list[i].name) + strlen(trailers->list[i].value) + 2;
	p = s->trailer_text = malloc(MAX(size, (size_t)1));
	if (!p)
		return false;
	for (size_t i = 0; i < trailers->count; i++) {
		p = stpcpy(p, trailers->list[i].name) + 1;
		p = stpcpy(p, trailers->list[i].value) + 1;
	}
	s->trailer_count = trailers->count;
	return true;
}

int h2_end(struct h2_stream *s, const struct record_fields *trailers)
{
	if (s->ended)
		return -EINVAL;
	if (trailers && trailers->count && !keep_trailers(s, trailers))
		return -ENOMEM;
	s->ended = true;
	nghttp2_session_resume_data(s->h2->session, s->id);
	return 0;
}

void h2_reset(struct h2_stream *s, uint32_t error)
{
	nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error);
}

void h2_consumed(struct h2_stream *s, size_t len)
{
	len = MIN(len, s->unconsumed);
	s->unconsumed -= len;
	nghttp2_session_consume(s->h2->session, s->id, len);
}

void h2_set_data(struct h2_stream *stream, void *data)
{
	stream->data = data;
}

void *h2_data(const struct h2_stream *stream)
{
	return stream->data;
}
