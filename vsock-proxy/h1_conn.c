/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h1_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_write.h"

#define FIRST_SIZE 4096 /* of a buffer; most heads are shorter */

/* What we are reading. */
enum in_state {
	IN_HEAD, /* waits for one, or is in the middle of it */
	IN_BODY,
	IN_DONE, /* the other half of the exchange is still under way */
	IN_OVER, /* nothing more is taken */
};

/* What we are writing. */
enum out_state {
	OUT_IDLE, /* server: nothing is asked; client: no request is under way */
	OUT_HEAD, /* server: a request is to be answered */
	OUT_BODY,
	OUT_DONE, /* the other half of the exchange is still under way */
};

enum out_framing { FRAME_NONE, FRAME_LENGTH, FRAME_CHUNKED, FRAME_CLOSE };

struct h1_conn {
	enum h1_role role;
	const struct h1_conn_ops *ops;
	void *owner;
	enum in_state in;
	enum out_state out;
	enum out_framing framing;
	uint64_t out_left; /* FRAME_LENGTH */
	bool persistent; /* the exchange under way may be followed by another */
	bool failed;
	bool peer_is_old; /* server: HTTP/1.0 asked */
	char method[RECORD_METHOD_MAX + 1]; /* of the exchange under way */
	struct h1_body body;
	size_t unconsumed;
	struct h1_scan scan;
	size_t head_used, head_size;
	char *head; /* while one is coming in; grows up to H1_HEAD_MAX */
	uint8_t *buffer; /* while something waits; grows up to H1_CONN_OUT_BYTES */
	size_t out_first, out_used, out_size;
	union {
		struct h1_request request;
		struct h1_response response;
		struct record_fields trailers;
	} m;
};

DEFINE_CLEANUP(h1_conn, h1_conn_destroy)

int h1_conn_create(enum h1_role role, const struct h1_conn_ops *ops, void *owner,
	struct h1_conn **ret, struct err *err)
{
	_cleanup_(cleanup_h1_conn_) struct h1_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, -ENOMEM, "HTTP/1: no memory");
	c->role = role;
	c->ops = ops;
	c->owner = owner;
	c->persistent = true;
	h1_scan_init(&c->scan, H1_HEAD_MAX);
	*ret = TAKE_PTR(c);
	return 0;
}

void h1_conn_destroy(struct h1_conn *c)
{
	if (!c)
		return;
	free(c->head);
	free(c->buffer);
	free(c);
}

/* -- exchanges -- */

/* Both halves are done: the next one, or none. */
static void finish_exchange(struct h1_conn *c)
{
	if (c->in != IN_DONE || c->out != OUT_DONE)
		return;
	c->out = OUT_IDLE;
	c->in = c->persistent ? IN_HEAD : IN_OVER;
	h1_scan_init(&c->scan, H1_HEAD_MAX);
}

static void input_done(struct h1_conn *c)
{
	c->in = IN_DONE;
	finish_exchange(c);
}

static void output_done(struct h1_conn *c)
{
	c->out = OUT_DONE;
	if (c->framing == FRAME_CLOSE)
		c->persistent = false;
	finish_exchange(c);
}

static bool is_tunnel(const struct h1_conn *c)
{
	return c->body.kind == H1_BODY_TUNNEL;
}

/* -- input -- */

static uint64_t body_length(const struct h1_body *body)
{
	if (body->kind == H1_BODY_NONE)
		return 0;
	return body->kind == H1_BODY_LENGTH ? body->left : RECORD_LENGTH_UNKNOWN;
}

static enum h1_error take_request(struct h1_conn *c, size_t len)
{
	struct h1_request *m = &c->m.request;
	enum h1_error error = h1_request_parse(c->head, len, m);

	if (error == H1_OK)
		error = h1_body_of_request(m, &c->body);
	if (error != H1_OK)
		return error;
	stpncpy(c->method, m->method, sizeof(c->method) - 1);
	c->persistent &= m->persistent;
	c->peer_is_old = m->minor == 0;
	c->out = OUT_HEAD;
	c->in = h1_body_done(&c->body) ? IN_DONE : IN_BODY;
	c->ops->request(c->owner, m, body_length(&c->body), c->in == IN_DONE);
	return H1_OK;
}

static enum h1_error take_response(struct h1_conn *c, size_t len)
{
	struct h1_response *m = &c->m.response;
	enum h1_error error = h1_response_parse(c->head, len, m);
	bool interim = m->status < 200 && m->status != 101, end;

	if (error == H1_OK)
		error = h1_body_of_response(m, c->method, &c->body);
	if (error != H1_OK)
		return error;
	if (interim) {
		h1_scan_init(&c->scan, H1_HEAD_MAX);
		c->ops->response(c->owner, m, 0, false);
		return H1_OK;
	}
	end = h1_body_done(&c->body);
	c->persistent &= m->persistent && c->body.kind != H1_BODY_UNTIL_CLOSE && !is_tunnel(c);
	c->in = IN_BODY;
	/* A tunnel's other direction goes on, whatever the request's body was. */
	if (is_tunnel(c)) {
		c->out = OUT_BODY;
		c->framing = FRAME_CLOSE;
	}
	c->ops->response(c->owner, m, body_length(&c->body), end);
	if (end && c->in == IN_BODY)
		input_done(c);
	return H1_OK;
}

/* What a buffer of size bytes grows to, so that it holds need of at most max. */
static size_t grown(size_t size, size_t need, size_t max)
{
	size = size ? size : FIRST_SIZE;
	while (size < need && size < max)
		size *= 2;
	return MIN(size, max);
}

static bool grow_head(struct h1_conn *c, size_t need)
{
	size_t size = grown(c->head_size, need, H1_HEAD_MAX);
	char *head = size == c->head_size ? c->head : realloc(c->head, size);

	if (!head)
		return false;
	c->head = head;
	c->head_size = size;
	return true;
}

static void free_head(struct h1_conn *c)
{
	free(TAKE_PTR(c->head));
	c->head_size = 0;
}

/* Bytes of a head; how many of them were its. */
static enum h1_error take_head(
	struct h1_conn *c, const uint8_t *bytes, size_t len, size_t *ret_used)
{
	size_t before = c->head_used, end = 0;
	enum h1_error error;

	len = MIN(len, H1_HEAD_MAX - before);
	/* A body that came along is none of its. */
	len = MIN(len, (size_t)FIRST_SIZE);
	if (!grow_head(c, before + len))
		return H1_TOO_LARGE;
	memcpy(c->head + before, bytes, len);
	c->head_used += len;
	error = h1_scan(&c->scan, c->head, c->head_used, &end);
	*ret_used = end ? end - before : len;
	if (error == H1_OK && !end && c->head_used == H1_HEAD_MAX)
		error = H1_TOO_LARGE;
	if (error != H1_OK || !end)
		return error;
	c->head_used = 0;
	error = c->role == H1_SERVER ? take_request(c, end) : take_response(c, end);
	free_head(c);
	return error;
}

static void end_of_body(struct h1_conn *c)
{
	input_done(c);
	c->ops->end(c->owner, &c->m.trailers);
}

static enum h1_error take_body(
	struct h1_conn *c, const uint8_t *bytes, size_t len, size_t *ret_used)
{
	const char *data = NULL;
	size_t data_len = 0;
	enum h1_error error;

	len = MIN(len, H1_CONN_WINDOW - c->unconsumed);
	error = h1_body_take(&c->body, (const char *)bytes, len, ret_used, &data, &data_len);
	if (error == H1_OK && data_len) {
		c->unconsumed += data_len;
		c->ops->data(c->owner, (const uint8_t *)data, data_len);
	}
	if (error != H1_OK || !h1_body_done(&c->body))
		return error;
	c->m.trailers.count = 0;
	if (c->body.kind == H1_BODY_CHUNKED)
		error = h1_body_trailers(&c->body, &c->m.trailers);
	if (error == H1_OK)
		end_of_body(c);
	return error;
}

bool h1_conn_wants_input(const struct h1_conn *c)
{
	/* A client reads while nothing is asked too: what comes then ends the connection. */
	if (c->failed || c->in == IN_OVER)
		return false;
	if (c->in == IN_BODY)
		return c->unconsumed < H1_CONN_WINDOW;
	return c->in == IN_HEAD;
}

static int refuse(struct h1_conn *c, enum h1_error error, enum h1_error *ret_error, struct err *err)
{
	c->failed = true;
	c->persistent = false;
	if (ret_error)
		*ret_error = error;
	return err_set(err, -EPROTO, "HTTP/1: %s", h1_error_text(error));
}

int h1_conn_receive(struct h1_conn *c, const uint8_t *bytes, size_t len, size_t *ret_used,
	enum h1_error *ret_error, struct err *err)
{
	size_t used = 0;

	*ret_used = 0;
	while (used < len && h1_conn_wants_input(c)) {
		enum h1_error error;
		size_t piece = 0;

		/* E24: an upstream speaks when it is asked. */
		if (c->role == H1_CLIENT && c->in == IN_HEAD && c->out == OUT_IDLE)
			return refuse(c, H1_FRAMING, ret_error, err);
		error = c->in == IN_HEAD ? take_head(c, bytes + used, len - used, &piece)
					 : take_body(c, bytes + used, len - used, &piece);
		used += piece;
		*ret_used = used;
		if (error != H1_OK)
			return refuse(c, error, ret_error, err);
	}
	return 0;
}

int h1_conn_input_ended(struct h1_conn *c)
{
	enum in_state was = c->in;

	if (c->failed || was == IN_OVER)
		return 0;
	c->persistent = false;
	if (was == IN_BODY && (c->body.kind == H1_BODY_UNTIL_CLOSE || is_tunnel(c))) {
		c->m.trailers.count = 0;
		end_of_body(c);
		return 0;
	}
	if (was == IN_HEAD && !c->head_used && c->out == OUT_IDLE)
		c->in = IN_OVER;
	else if (was != IN_DONE)
		c->failed = true;
	return c->failed ? -EPIPE : 0;
}

void h1_conn_consumed(struct h1_conn *c, size_t len)
{
	c->unconsumed -= MIN(len, c->unconsumed);
}

/* -- output -- */

/* A writer with room for need bytes, as far as all that may wait allows; its failed is set where there is no memory. */
static struct bytes_writer begin(struct h1_conn *c, size_t need)
{
	struct bytes_writer w = {};
	uint8_t *buffer = c->buffer;
	size_t size;

	need += c->out_used;
	if (c->out_first && c->out_first + need > c->out_size) {
		memmove(c->buffer, c->buffer + c->out_first, c->out_used);
		c->out_first = 0;
	}
	size = grown(c->out_size, need, H1_CONN_OUT_BYTES);
	if (size != c->out_size)
		buffer = realloc(c->buffer, size);
	if (!buffer) {
		w.failed = true;
		return w;
	}
	c->buffer = buffer;
	c->out_size = size;
	return bytes_writer(
		c->buffer + c->out_first + c->out_used, size - c->out_first - c->out_used);
}

/* Bytes that a head or a trailer section of these takes at most, and some. */
static size_t size_of_head(const struct record_fields *fields)
{
	size_t size = 128;

	for (uint16_t i = 0; fields && i < fields->count; i++)
		size += strlen(fields->list[i].name) + strlen(fields->list[i].value) + 4;
	return size;
}

static int commit(struct h1_conn *c, const struct bytes_writer *w)
{
	if (w->failed)
		return -EINVAL;
	c->out_used += w->offset;
	return 0;
}

size_t h1_conn_pull(struct h1_conn *c, uint8_t *out, size_t size)
{
	size_t len = MIN(size, c->out_used);

	if (!len)
		return 0;
	memcpy(out, c->buffer + c->out_first, len);
	c->out_first += len;
	c->out_used -= len;
	if (!c->out_used) {
		free(TAKE_PTR(c->buffer));
		c->out_first = c->out_size = 0;
	}
	if (c->out == OUT_BODY)
		c->ops->drained(c->owner);
	return len;
}

bool h1_conn_is_flushed(const struct h1_conn *c)
{
	return !c->out_used;
}

bool h1_conn_is_over(const struct h1_conn *c)
{
	return c->failed || c->in == IN_OVER;
}

bool h1_conn_is_idle(const struct h1_conn *c)
{
	return !c->failed && c->persistent && c->in == IN_HEAD && c->out == OUT_IDLE &&
	       !c->head_used;
}

void h1_conn_shut(struct h1_conn *c)
{
	c->persistent = false;
	if (c->in == IN_HEAD && c->out == OUT_IDLE)
		c->in = IN_OVER;
}

/* How a body of that length goes out, and the field that says so. */
static bool add_framing(struct h1_conn *c, struct record_fields *fields, uint64_t length,
	bool has_body, char text[static DECIMAL_MAX])
{
	if (length != RECORD_LENGTH_UNKNOWN) {
		c->framing = has_body ? FRAME_LENGTH : FRAME_NONE;
		c->out_left = has_body ? length : 0;
		return fields_add(fields, "content-length", decimal_of(length, text));
	}
	if (!has_body) {
		c->framing = FRAME_NONE;
		return true;
	}
	c->framing = c->role == H1_SERVER && c->peer_is_old ? FRAME_CLOSE : FRAME_CHUNKED;
	return c->framing == FRAME_CLOSE || fields_add(fields, "transfer-encoding", "chunked");
}

/* A body that has to be announced even when there is none (RFC 9110, section 8.6). */
static bool expects_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

int h1_conn_request(struct h1_conn *c, const char *method, const char *target,
	const struct record_fields *fields, uint64_t length, bool end)
{
	struct record_fields all;
	struct bytes_writer w;
	char text[DECIMAL_MAX];
	int r;

	if (c->role != H1_CLIENT || !h1_conn_is_idle(c))
		return -EPIPE;
	fields_copy(&all, fields);
	if ((!end || expects_body(method)) && !add_framing(c, &all, end ? 0 : length, !end, text))
		return -E2BIG;
	if (!c->persistent && !fields_add(&all, "connection", "close"))
		return -E2BIG;
	w = begin(c, size_of_head(&all) + strlen(method) + strlen(target));
	h1_write_request(&w, method, target, &all);
	if (strlen(method) > RECORD_METHOD_MAX)
		w.failed = true;
	r = commit(c, &w);
	if (r < 0)
		return r;
	snprintf(c->method, sizeof(c->method), "%s", method);
	c->out = OUT_BODY;
	if (end)
		output_done(c);
	return 0;
}

static bool may_have_body(const struct h1_conn *c, uint16_t status)
{
	return status >= 200 && status != 204 && status != 304 && strcmp(c->method, "HEAD") != 0;
}

static int respond_interim(struct h1_conn *c, uint16_t status, const struct record_fields *fields)
{
	struct bytes_writer w;

	/* HTTP/1.0 knows none (RFC 9110, section 15.2). */
	if (c->peer_is_old)
		return 0;
	w = begin(c, size_of_head(fields));
	h1_write_response(&w, status, fields);
	return commit(c, &w);
}

static int begin_tunnel(struct h1_conn *c, uint16_t status, struct record_fields *fields)
{
	struct bytes_writer w;
	int r;

	if (status == 101 && !fields_add(fields, "connection", "upgrade"))
		return -E2BIG;
	w = begin(c, size_of_head(fields));
	h1_write_response(&w, status, fields);
	r = commit(c, &w);
	if (r < 0)
		return r;
	c->body = (struct h1_body){ .kind = H1_BODY_TUNNEL };
	c->in = IN_BODY;
	c->out = OUT_BODY;
	c->framing = FRAME_CLOSE;
	c->persistent = false;
	return 0;
}

int h1_conn_respond(struct h1_conn *c, uint16_t status, const struct record_fields *fields,
	uint64_t length, bool end)
{
	struct record_fields all;
	struct bytes_writer w;
	bool has_body;
	char text[DECIMAL_MAX];
	int r;

	if (c->role != H1_SERVER || c->out != OUT_HEAD)
		return -EPIPE;
	fields_copy(&all, fields);
	if (status == 101 || (status >= 200 && status < 300 && strcmp(c->method, "CONNECT") == 0))
		return begin_tunnel(c, status, &all);
	if (status < 200)
		return respond_interim(c, status, &all);
	/* What was not read of the request would be taken for the next one. */
	if (c->in == IN_BODY && end)
		c->persistent = false;
	has_body = may_have_body(c, status) && !end;
	if (may_have_body(c, status) && end)
		length = 0;
	if (status != 204 && !add_framing(c, &all, length, has_body, text))
		return -E2BIG;
	c->framing = status == 204 ? FRAME_NONE : c->framing;
	if ((!c->persistent || c->framing == FRAME_CLOSE) &&
		!fields_add(&all, "connection", "close"))
		return -E2BIG;
	w = begin(c, size_of_head(&all));
	h1_write_response(&w, status, &all);
	r = commit(c, &w);
	if (r < 0)
		return r;
	c->out = OUT_BODY;
	if (end)
		output_done(c);
	return 0;
}

size_t h1_conn_room(const struct h1_conn *c)
{
	size_t frame = H1_CHUNK_HEAD_MAX + 2;

	if (c->out != OUT_BODY || c->failed || c->out_used + frame >= H1_CONN_BODY_BYTES)
		return 0;
	return H1_CONN_BODY_BYTES - c->out_used - frame;
}

void h1_conn_send(struct h1_conn *c, const void *data, size_t len)
{
	struct bytes_writer w;

	if (c->out != OUT_BODY || !len || c->framing == FRAME_NONE)
		return;
	if (c->framing == FRAME_LENGTH && len > c->out_left) {
		c->failed = true;
		return;
	}
	w = begin(c, len + H1_CHUNK_HEAD_MAX + 2);
	if (c->framing == FRAME_CHUNKED)
		h1_write_chunk_head(&w, len);
	bytes_put(&w, data, len);
	if (c->framing == FRAME_CHUNKED)
		h1_write_chunk_end(&w);
	if (commit(c, &w) < 0)
		c->failed = true;
	else if (c->framing == FRAME_LENGTH)
		c->out_left -= len;
}

int h1_conn_end(struct h1_conn *c, const struct record_fields *trailers)
{
	struct bytes_writer w;
	int r;

	if (c->out != OUT_BODY)
		return -EINVAL;
	if (c->framing == FRAME_LENGTH && c->out_left) {
		c->failed = true;
		return -EINVAL;
	}
	if (c->framing == FRAME_CHUNKED) {
		w = begin(c, size_of_head(trailers));
		h1_write_last_chunk(&w, trailers);
		r = commit(c, &w);
		if (r < 0)
			return r;
	}
	output_done(c);
	return 0;
}
