/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2, both ends of ours against each other, then peers that misuse it (E10, E11). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/h2.h"

#define SEEN_MAX 300

struct seen {
	struct h2_stream *stream; /* NULL: closed */
	unsigned int heads, ends, drained;
	uint16_t status;
	char path[64], first_field[64], trailer[32];
	bool end_with_head, keep, clean;
	size_t bytes;
	uint32_t sum, error;
};

struct fixture {
	struct h2 *client, *server;
	struct seen asked[SEEN_MAX], served[SEEN_MAX];
	unsigned int asked_count, served_count;
	bool keep; /* the server gives nothing back */
	bool echo; /* the server answers 200 at once */
};

static struct fixture *f;
static uint8_t wire[512 << 10];
static size_t pull_size = sizeof(wire);

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

static void on_head(void *owner, struct h2_stream *stream, const struct h2_head *head)
{
	struct seen *seen = h2_data(stream);
	struct h2_head answer = { .status = 200 };

	assert_ptr_equal(owner, f);
	if (!seen) {
		seen = &f->served[f->served_count++ % SEEN_MAX];
		*seen = (struct seen){ .stream = stream, .keep = f->keep };
		h2_set_data(stream, seen);
	}
	seen->heads++;
	seen->status = head->status;
	seen->end_with_head = head->end;
	if (head->path)
		snprintf(seen->path, sizeof(seen->path), "%s", head->path);
	if (head->fields.count)
		snprintf(seen->first_field, sizeof(seen->first_field), "%s: %.30s",
			head->fields.list[0].name, head->fields.list[0].value);
	if (f->echo && head->path)
		assert_int_equal(h2_respond(stream, &answer), 0);
}

static void on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	struct seen *seen = h2_data(stream);

	seen->bytes += len;
	seen->sum = add_up(seen->sum, bytes, len);
	if (!seen->keep)
		h2_consumed(stream, len);
}

static void on_end(struct h2_stream *stream, const struct record_fields *trailers)
{
	struct seen *seen = h2_data(stream);

	seen->ends++;
	if (trailers->count)
		snprintf(seen->trailer, sizeof(seen->trailer), "%s", trailers->list[0].value);
}

static void on_drained(struct h2_stream *stream)
{
	((struct seen *)h2_data(stream))->drained++;
}

static void on_closed(struct h2_stream *stream, bool clean, uint32_t error)
{
	struct seen *seen = h2_data(stream);

	seen->stream = NULL;
	seen->clean = clean;
	seen->error = error;
}

static const struct h2_ops ops = { on_head, on_data, on_end, on_drained, on_closed };

/* Moves what one has to say to the other; whether there was anything. */
static bool move(struct h2 *from, struct h2 *to)
{
	ssize_t n = h2_pull(from, wire, pull_size);

	assert_true(n >= 0);
	if (n > 0)
		h2_receive(to, wire, (size_t)n, NULL);
	return n > 0;
}

static void turn(void)
{
	bool moved;

	do {
		moved = move(f->client, f->server);
		moved = move(f->server, f->client) || moved;
	} while (moved);
}

static int setup(void **state)
{
	(void)state;
	f = calloc(1, sizeof(*f));
	assert_int_equal(h2_create(H2_SERVER, &ops, f, &f->server, NULL), 0);
	assert_int_equal(h2_create(H2_CLIENT, &ops, f, &f->client, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	h2_destroy(f->client);
	h2_destroy(f->server);
	free(f);
	return 0;
}

static struct h2_head request(const char *path, bool end)
{
	return (struct h2_head){ .method = "POST",
		.scheme = "https",
		.authority = "api.example.com",
		.path = path,
		.end = end,
		.fields = { .count = 1, .list = { { "accept", "text/plain" } } } };
}

static struct h2_stream *ask(const char *path, bool end)
{
	struct seen *seen = &f->asked[f->asked_count++ % SEEN_MAX];
	struct h2_head head = request(path, end);

	assert_int_equal(h2_request(f->client, &head, seen, &seen->stream), 0);
	return seen->stream;
}

static void test_a_whole_exchange(void **state)
{
	struct record_fields trailers = { .count = 1, .list = { { "grpc-status", "0" } } };
	struct h2_head hints = { .status = 103 }, answer = { .status = 201,
		.fields = { .count = 1, .list = { { "server", "x" } } } };
	struct h2_stream *s = ask("/a?b=c", false);

	(void)state;
	h2_send(s, "question", 8);
	assert_int_equal(h2_end(s, NULL), 0);
	turn();
	assert_int_equal(f->served_count, 1);
	assert_string_equal(f->served[0].path, "/a?b=c");
	assert_string_equal(f->served[0].first_field, "accept: text/plain");
	assert_int_equal(f->served[0].bytes, 8);
	assert_int_equal(f->served[0].ends, 1);
	assert_int_equal(h2_respond(f->served[0].stream, &hints), 0);
	assert_int_equal(h2_respond(f->served[0].stream, &answer), 0);
	h2_send(f->served[0].stream, "answer", 6);
	assert_int_equal(h2_end(f->served[0].stream, &trailers), 0);
	turn();
	assert_int_equal(f->asked[0].heads, 2);
	assert_int_equal(f->asked[0].status, 201);
	assert_int_equal(f->asked[0].bytes, 6);
	assert_string_equal(f->asked[0].trailer, "0");
	assert_null(f->asked[0].stream);
	assert_true(f->asked[0].clean && f->served[0].clean);
	assert_int_equal(h2_stream_count(f->client), 0);
	assert_int_equal(h2_stream_count(f->server), 0);
}

/* Frames that are longer than what is asked for come in pieces. */
static void test_a_small_buffer(void **state)
{
	pull_size = 7;
	test_a_whole_exchange(state);
	pull_size = sizeof(wire);
}

static void test_heads_alone(void **state)
{
	struct h2_head answer = { .status = 204, .end = true };

	(void)state;
	ask("/", true);
	turn();
	assert_true(f->served[0].end_with_head);
	assert_int_equal(f->served[0].ends, 0);
	assert_int_equal(h2_respond(f->served[0].stream, &answer), 0);
	turn();
	assert_true(f->asked[0].end_with_head);
	assert_int_equal(f->asked[0].status, 204);
	assert_true(f->asked[0].clean);
}

static void test_bulk_and_a_stream_that_stands_still(void **state)
{
	enum { BYTES = 3 << 20 };
	static uint8_t data[10000];
	struct h2_stream *moving, *still;
	size_t sent[2] = {};
	uint32_t sums[2] = {};
	bool more = true;

	(void)state;
	f->echo = true;
	moving = ask("/moving", false);
	turn();
	f->keep = true;
	still = ask("/still", false);
	turn();
	while (more) {
		struct h2_stream *streams[] = { moving, still };

		more = false;
		for (int i = 0; i < 2; i++) {
			size_t len = MIN(h2_room(streams[i]), sizeof(data));

			len = MIN(len, BYTES - sent[i]);

			for (size_t k = 0; k < len; k++)
				data[k] = (uint8_t)(sent[i] + k * 7 + (size_t)i);
			if (len)
				h2_send(streams[i], data, len);
			sums[i] = add_up(sums[i], data, len);
			sent[i] += len;
			more |= len > 0;
		}
		turn();
	}
	assert_int_equal(f->served[0].bytes, BYTES);
	assert_int_equal(f->served[0].sum, sums[0]);
	assert_int_equal(f->served[1].bytes, H2_WINDOW);
	assert_int_equal(sent[1], H2_WINDOW + H2_OUT_BYTES);
	assert_int_equal(h2_room(still), 0);
	h2_consumed(f->served[1].stream, H2_WINDOW);
	turn();
	assert_true(h2_room(still) > 0);
	assert_true(f->asked[1].drained > 0);
}

/* What an owner gives back after its stream was over, or never, is not missing from the connection's window. */
static void test_what_is_kept_past_the_end(void **state)
{
	enum { STREAMS = H2_CONNECTION_WINDOW / (H2_WINDOW / 2) * 2 };
	static const uint8_t data[H2_WINDOW / 2];

	(void)state;
	f->echo = true;
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct seen *asked = &f->asked[f->asked_count % SEEN_MAX];
		struct seen *served = &f->served[f->served_count % SEEN_MAX];
		size_t sent = 0, len;

		ask("/", true);
		asked->keep = true;
		turn();
		while (sent < sizeof(data)) {
			len = MIN(h2_room(served->stream), sizeof(data) - sent);
			assert_true(len > 0);
			h2_send(served->stream, data, len);
			sent += len;
			turn();
		}
		assert_int_equal(h2_end(served->stream, NULL), 0);
		turn();
		assert_int_equal(asked->bytes, sizeof(data));
		assert_null(asked->stream);
	}
}

static void test_resets(void **state)
{
	(void)state;
	ask("/a", false);
	ask("/b", false);
	turn();
	h2_reset(f->asked[0].stream, 8);
	h2_reset(f->served[1].stream, 2);
	turn();
	assert_null(f->served[0].stream);
	assert_false(f->served[0].clean);
	assert_int_equal(f->served[0].error, 8);
	assert_int_equal(f->asked[1].error, 2);
	assert_int_equal(h2_stream_count(f->client) + h2_stream_count(f->server), 0);
}

static void test_no_more_streams_than_allowed(void **state)
{
	struct h2_head head = request("/", false);
	struct h2_stream *s;

	(void)state;
	turn(); /* SETTINGS */
	for (int i = 0; i < H2_STREAMS_MAX; i++)
		ask("/", false);
	assert_false(h2_may_request(f->client));
	assert_int_equal(h2_request(f->client, &head, NULL, &s), -EAGAIN);
	turn();
	assert_int_equal(h2_stream_count(f->server), H2_STREAMS_MAX);
}

static void test_shut(void **state)
{
	struct h2_head head = request("/", true), answer = { .status = 200, .end = true };
	struct h2_stream *s;

	(void)state;
	ask("/", true);
	turn();
	h2_shut(f->server);
	turn();
	assert_int_equal(h2_request(f->client, &head, NULL, &s), -EPIPE);
	assert_int_equal(h2_respond(f->served[0].stream, &answer), 0);
	turn();
	assert_int_equal(f->asked[0].status, 200);
	assert_true(h2_is_over(f->server));
}

/* -- a head that is too much ends its stream, not the connection -- */

static void test_giant_heads(void **state)
{
	static char value[H2_HEAD_MAX];
	struct h2_head head = request("/giant", true);
	struct h2_stream *s;

	(void)state;
	turn();
	memset(value, 'a', sizeof(value) - 1);
	head.fields.list[0].value = value;
	assert_int_equal(h2_request(f->client, &head, &f->asked[0], &s), 0);
	f->asked_count = 1;
	turn();
	assert_int_equal(f->served_count, 0);
	assert_int_equal(h2_stream_count(f->server), 0);
	f->echo = true;
	ask("/next", true);
	turn();
	assert_int_equal(f->asked[1].status, 200);
}

/* -- raw frames -- */

struct raw {
	uint8_t bytes[256 << 10];
	size_t len;
};

static struct raw raw;

static void put(const void *bytes, size_t len)
{
	assert_true(raw.len + len <= sizeof(raw.bytes));
	memcpy(raw.bytes + raw.len, bytes, len);
	raw.len += len;
}

static void put_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
	uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags,
		(uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8),
		(uint8_t)stream };

	put(head, sizeof(head));
	put(payload, len);
}

static void begin_raw(void)
{
	raw.len = 0;
	put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	put_frame(4, 0, 0, "", 0);
}

/* A literal field without indexing, its name new (RFC 7541, section 6.2.2). */
static size_t put_literal(uint8_t *out, const char *name, const char *value)
{
	size_t at = 0;

	out[at++] = 0;
	out[at++] = (uint8_t)strlen(name);
	memcpy(out + at, name, strlen(name));
	at += strlen(name);
	out[at++] = (uint8_t)strlen(value);
	memcpy(out + at, value, strlen(value));
	return at + strlen(value);
}

/* HEADERS with the four pseudo-fields and one more. */
static void put_request(uint32_t stream, uint8_t flags, const char *name, const char *value)
{
	uint8_t block[512];
	size_t len = put_literal(block, ":method", "GET");

	len += put_literal(block + len, ":scheme", "https");
	len += put_literal(block + len, ":authority", "a.example");
	len += put_literal(block + len, ":path", "/");
	if (name)
		len += put_literal(block + len, name, value);
	put_frame(1, flags, stream, block, len);
}

static int feed(void)
{
	struct err err = {};
	int r = h2_receive(f->server, raw.bytes, raw.len, &err);

	assert_true(r == 0 || err.text[0]);
	return r;
}

static void test_an_honest_raw_client(void **state)
{
	(void)state;
	begin_raw();
	put_request(1, 5, "x-one", "1");
	assert_int_equal(feed(), 0);
	assert_int_equal(f->served_count, 1);
	assert_string_equal(f->served[0].first_field, "x-one: 1");
}

/* E10: refused, not repaired: no request is told, whatever else happens. */
static void test_malformed_requests(void **state)
{
	static const char *const fields[][2] = {
		{ "Upper", "x" },
		{ "connection", "close" },
		{ "transfer-encoding", "chunked" },
		{ "keep-alive", "1" },
		{ "upgrade", "h2c" },
		{ "te", "gzip" },
		{ "x", "a\r\nb: c" },
		{ "x", "a\nb" },
		{ "x y", "1" },
		{ "x:", "1" },
		{ "", "1" },
		{ ":path", "/other" },
		{ ":unknown", "x" },
		{ ":status", "200" },
		{ "content-length", "1" },
		{ "content-length", "x" },
		{ "host", "b.example\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		begin_raw();
		put_request(1, 5, fields[i][0], fields[i][1]);
		feed();
		if (f->served_count)
			fail_msg("%s: %s", fields[i][0], fields[i][1]);
		h2_destroy(f->server);
		assert_int_equal(h2_create(H2_SERVER, &ops, f, &f->server, NULL), 0);
	}
}

static void test_frames_that_do_not_belong(void **state)
{
	static const struct {
		uint8_t type, flags;
		uint32_t stream;
		size_t len;
	} cases[] = {
		{ 0, 0, 1, 5 }, /* DATA before HEADERS */
		{ 0, 0, 0, 5 }, /* DATA of no stream */
		{ 1, 4, 2, 5 }, /* HEADERS of an even stream */
		{ 9, 4, 1, 5 }, /* CONTINUATION of nothing */
		{ 5, 4, 1, 8 }, /* PUSH_PROMISE of a client */
		{ 3, 0, 1, 3 }, /* RST_STREAM of a wrong length */
		{ 8, 0, 0, 4 }, /* WINDOW_UPDATE by 0 */
		{ 6, 0, 0, 7 }, /* PING of a wrong length */
	};
	static const uint8_t zeros[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_raw();
		put_frame(cases[i].type, cases[i].flags, cases[i].stream, zeros, cases[i].len);
		put_request(3, 5, NULL, NULL);
		feed();
		h2_pull(f->server, wire, sizeof(wire));
		if (f->served_count)
			fail_msg("frame type %u", cases[i].type);
		h2_destroy(f->server);
		assert_int_equal(h2_create(H2_SERVER, &ops, f, &f->server, NULL), 0);
	}
	raw.len = 0;
	put("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
	assert_int_equal(feed(), -EPROTO);
	assert_int_equal(feed(), -EPROTO); /* and stays so */
}

/* E11: streams opened and reset without end. */
static void test_rapid_resets(void **state)
{
	uint32_t stream = 1;
	int r = 0;

	(void)state;
	begin_raw();
	for (int round = 0; round < 100 && r == 0 && !h2_is_over(f->server); round++) {
		for (int i = 0; i < 50; i++, stream += 2) {
			put_request(stream, 4, NULL, NULL);
			put_frame(3, 0, stream, "\0\0\0\x08", 4);
		}
		r = feed();
		raw.len = 0;
		h2_pull(f->server, wire, sizeof(wire));
	}
	assert_true(f->served_count <= H2_RESETS_BURST + 100);
	assert_true(r < 0 || h2_is_over(f->server));
}

/* Questions that want answers, from one who reads none. */
static void test_pings_and_settings_without_end(void **state)
{
	int r = 0;

	(void)state;
	begin_raw();
	for (int round = 0; round < 100 && r == 0; round++) {
		for (int i = 0; i < 100; i++)
			put_frame(round % 2 ? 6 : 4, 0, 0, "12345678", round % 2 ? 8 : 0);
		r = feed();
		raw.len = 0;
	}
	assert_int_equal(r, -EPROTO);
}

static void test_continuations_without_end(void **state)
{
	int r = 0;

	(void)state;
	begin_raw();
	put_request(1, 1, NULL, NULL);
	for (int i = 0; i < 1000 && r == 0; i++) {
		put_frame(9, 0, 1, "", 0);
		r = feed();
		raw.len = 0;
	}
	assert_int_equal(r, -EPROTO);
	assert_int_equal(f->served_count, 0);
}

/* A few bytes that a table turns into very many (HPACK). */
static void test_a_bomb(void **state)
{
	static uint8_t block[16000];
	size_t len = 0;

	(void)state;
	begin_raw();
	/* A long field into the dynamic table, then the index of it again and again. */
	block[len++] = 0x40;
	block[len++] = 1;
	block[len++] = 'x';
	block[len++] = 0x7f;
	block[len++] = 0x81;
	block[len++] = 0x1e; /* 127 + 1 + 30 * 128 = 3968 */
	memset(block + len, 'a', 3968);
	len += 3968;
	while (len < sizeof(block))
		block[len++] = 0xbe;
	put_frame(1, 5, 1, block, len);
	feed();
	assert_int_equal(f->served_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_whole_exchange),
		TEST(test_a_small_buffer),
		TEST(test_heads_alone),
		TEST(test_bulk_and_a_stream_that_stands_still),
		TEST(test_what_is_kept_past_the_end),
		TEST(test_resets),
		TEST(test_no_more_streams_than_allowed),
		TEST(test_shut),
		TEST(test_giant_heads),
		TEST(test_an_honest_raw_client),
		TEST(test_malformed_requests),
		TEST(test_frames_that_do_not_belong),
		TEST(test_rapid_resets),
		TEST(test_pings_and_settings_without_end),
		TEST(test_continuations_without_end),
		TEST(test_a_bomb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
