/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <nghttp2/nghttp2.h>

#include "vmm/base/array.h"

#define HEAD_MAX    16384
#define H2_WINDOW   (1 << 24) /* a client that never holds anybody up */
#define STREAMS_MAX 16

struct one {
	int32_t id; /* 0: free */
	uint64_t begun_ns, got, left;
	bool good;
};

struct load_http {
	struct load *load;
	uint64_t connected_ns;
	/* HTTP/1.1 */
	char head[HEAD_MAX];
	size_t head_len;
	bool in_body;
	char request[1024];
	size_t request_len, request_at;
	struct one one;
	uint64_t asked;
	/* HTTP/2 */
	nghttp2_session *h2;
	struct one list[STREAMS_MAX];
	const uint8_t *piece;
	size_t piece_len;
};

static const uint8_t filler[16384];

static bool may_ask(const struct load_http *h)
{
	return !h->load->stopping && (!h->load->renew || h->asked == 0);
}

static void done(struct load_http *h, struct one *one)
{
	if (one->good && one->got == h->load->body)
		load_answered(h->load, one->begun_ns);
	else
		h->load->failed++;
	one->id = 0;
}

static uint64_t begun_ns(const struct load_http *h)
{
	return h->load->renew ? h->connected_ns : load_now_ns();
}

/* HTTP/1.1 */

static void ask_h1(struct load_http *h)
{
	struct load *load = h->load;
	char length[64] = "";

	if (load->upload)
		snprintf(length, sizeof(length), "Content-Length: %llu\r\n",
			(unsigned long long)load->upload);
	h->request_len = (size_t)snprintf(h->request, sizeof(h->request),
		"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n",
		load->upload ? "PUT" : "GET", load->path, load->name, length);
	h->request_at = 0;
	h->one = (struct one){ .id = 1, .begun_ns = begun_ns(h), .left = load->upload };
	h->asked++;
	h->head_len = 0;
	h->in_body = false;
}

static bool take_head(struct load_http *h, const uint8_t *bytes, size_t len, size_t *ret_used)
{
	size_t before = h->head_len, n = MIN(len, sizeof(h->head) - 1 - before);
	char *end, *length;

	memcpy(h->head + before, bytes, n);
	h->head[h->head_len = before + n] = 0;
	*ret_used = n;
	end = strstr(h->head, "\r\n\r\n");
	if (!end)
		return h->head_len < sizeof(h->head) - 1;
	*ret_used = (size_t)(end + 4 - h->head) - before;
	end[2] = 0;
	length = strcasestr(h->head, "\r\ncontent-length:");
	h->one.good = !strncmp(h->head, "HTTP/1.1 20", 11);
	if (!length || strtoull(length + 17, NULL, 10) != h->load->body)
		return false;
	h->in_body = true;
	return true;
}

static bool take_h1(struct load_http *h, const uint8_t *bytes, size_t len)
{
	while (len || (h->in_body && h->one.got == h->load->body)) {
		size_t used = 0;

		if (!h->one.id || h->one.left)
			return false;
		if (!h->in_body) {
			if (!take_head(h, bytes, len, &used))
				return false;
		} else {
			used = MIN(len, h->load->body - h->one.got);
			h->one.got += used;
			h->load->bytes += used;
		}
		bytes += used;
		len -= used;
		if (h->in_body && h->one.got == h->load->body) {
			h->in_body = false;
			done(h, &h->one);
			if (may_ask(h))
				ask_h1(h);
		}
	}
	return true;
}

/* HTTP/2 */

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE         \
	}

static ssize_t on_source(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
	uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct one *one = source->ptr;
	struct load_http *h = data;
	size_t most = MIN(size, sizeof(filler)), n = MIN(most, one->left);

	(void)session;
	(void)id;
	memcpy(out, filler, n);
	one->left -= n;
	h->load->sent += n;
	if (!one->left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void ask_h2(struct load_http *h)
{
	for (unsigned int i = 0; i < h->load->streams && may_ask(h); i++) {
		struct one *one = &h->list[i];
		nghttp2_nv fields[] = { FIELD(":method", h->load->upload ? "PUT" : "GET"),
			FIELD(":scheme", "https"), FIELD(":authority", h->load->name),
			FIELD(":path", h->load->path), FIELD("user-agent", "load"),
			FIELD("accept", "*/*") };
		nghttp2_data_provider source = { .source = { .ptr = one },
			.read_callback = on_source };

		if (one->id)
			continue;
		*one = (struct one){ .begun_ns = begun_ns(h), .left = h->load->upload };
		one->id = nghttp2_submit_request(h->h2, NULL, fields, ARRAY_SIZE(fields),
			h->load->upload ? &source : NULL, one);
		if (one->id < 0)
			one->id = 0;
		h->asked++;
	}
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *data)
{
	struct one *one = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)data;
	if (one && name_len == 7 && !memcmp(name, ":status", 7))
		one->good = value_len == 3 && value[0] == '2';
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
	size_t len, void *data)
{
	struct one *one = nghttp2_session_get_stream_user_data(session, id);
	struct load_http *h = data;

	(void)flags;
	(void)bytes;
	if (one)
		one->got += len;
	h->load->bytes += len;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
	struct one *one = nghttp2_session_get_stream_user_data(session, id);
	struct load_http *h = data;

	if (!one)
		return 0;
	one->good = one->good && !error;
	done(h, one);
	ask_h2(h);
	return 0;
}

static bool begin_h2(struct load_http *h)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
	int r;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return false;
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	r = nghttp2_session_client_new(&h->h2, callbacks, h);
	nghttp2_session_callbacks_del(callbacks);
	if (r == 0)
		r = nghttp2_submit_settings(
			h->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(h->h2, NGHTTP2_FLAG_NONE, 0, H2_WINDOW);
	return r == 0;
}

/* Both. */

struct load_http *load_http_create(struct load *load, uint64_t connected_ns)
{
	struct load_http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->load = load;
	h->connected_ns = connected_ns;
	if (load->http2 && !begin_h2(h)) {
		load_http_destroy(h);
		return NULL;
	}
	if (load->http2)
		ask_h2(h);
	else if (may_ask(h))
		ask_h1(h);
	return h;
}

void load_http_destroy(struct load_http *h)
{
	if (!h)
		return;
	nghttp2_session_del(h->h2);
	free(h);
}

bool load_http_take(struct load_http *h, const uint8_t *bytes, size_t len)
{
	if (!h->h2)
		return take_h1(h, bytes, len);
	return nghttp2_session_mem_recv(h->h2, bytes, len) == (ssize_t)len;
}

ssize_t load_http_peek(struct load_http *h, const uint8_t **ret)
{
	if (h->h2) {
		if (!h->piece_len) {
			ssize_t n = nghttp2_session_mem_send(h->h2, &h->piece);

			if (n < 0)
				return -1;
			h->piece_len = (size_t)n;
		}
		*ret = h->piece;
		return (ssize_t)h->piece_len;
	}
	if (h->one.id && h->request_at < h->request_len) {
		*ret = (const uint8_t *)h->request + h->request_at;
		return (ssize_t)(h->request_len - h->request_at);
	}
	*ret = filler;
	return h->one.id ? (ssize_t)MIN(h->one.left, sizeof(filler)) : 0;
}

void load_http_taken(struct load_http *h, size_t len)
{
	if (h->h2) {
		h->piece += len;
		h->piece_len -= len;
	} else if (h->request_at < h->request_len) {
		h->request_at += len;
	} else {
		h->one.left -= len;
		h->load->sent += len;
	}
}

bool load_http_is_over(const struct load_http *h)
{
	if (!h->h2)
		return !h->one.id && !may_ask(h);
	for (size_t i = 0; i < ARRAY_SIZE(h->list); i++)
		if (h->list[i].id)
			return false;
	return !may_ask(h);
}
