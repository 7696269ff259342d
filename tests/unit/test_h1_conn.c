/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 connections: both ends of ours against each other, exchange after exchange, then raw peers (E10, E24). */
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
#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_conn.h"

/* What one end was told. */
struct seen {
	struct h1_conn *conn;
	unsigned int heads, ends, drained;
	bool end_with_head, keep;
	uint16_t status;
	uint64_t length;
	char method[16], path[32], trailer[16], coding[16];
	size_t bytes;
	uint32_t sum;
};

struct fixture {
	struct h1_conn *client, *server;
	struct seen asked, served;
	uint8_t pending
		[2][H1_CONN_OUT_BYTES]; /* pulled, not yet taken: to the server, to the client */
	size_t pending_len[2];
	int result[2];
};

static struct fixture *f;
static const struct record_fields none;

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

static void on_request(void *owner, const struct h1_request *m, uint64_t length, bool end)
{
	struct seen *seen = owner;

	seen->heads++;
	seen->length = length;
	seen->end_with_head = end;
	snprintf(seen->method, sizeof(seen->method), "%s", m->method);
	snprintf(seen->path, sizeof(seen->path), "%s", m->path ? m->path : "");
}

static void on_response(void *owner, const struct h1_response *m, uint64_t length, bool end)
{
	struct seen *seen = owner;
	const char *coding = fields_get(&m->fields, "transfer-encoding");

	seen->heads++;
	seen->status = m->status;
	seen->length = length;
	seen->end_with_head = end;
	snprintf(seen->coding, sizeof(seen->coding), "%s", coding ? coding : "");
}

static void on_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct seen *seen = owner;

	seen->bytes += len;
	seen->sum = add_up(seen->sum, bytes, len);
	if (!seen->keep)
		h1_conn_consumed(seen->conn, len);
}

static void on_end(void *owner, const struct record_fields *trailers)
{
	struct seen *seen = owner;

	seen->ends++;
	if (trailers->count)
		snprintf(seen->trailer, sizeof(seen->trailer), "%s", trailers->list[0].value);
}

static void on_drained(void *owner)
{
	((struct seen *)owner)->drained++;
}

static const struct h1_conn_ops ops = { on_request, on_response, on_data, on_end, on_drained };

/* i: 0 towards the server, 1 towards the client. Whether anything moved. */
static bool move(int i)
{
	struct h1_conn *from = i ? f->server : f->client, *to = i ? f->client : f->server;
	uint8_t *pending = f->pending[i];
	size_t used = 0, n = h1_conn_pull(from, pending + f->pending_len[i],
				 sizeof(f->pending[i]) - f->pending_len[i]);

	f->pending_len[i] += n;
	if (f->pending_len[i])
		f->result[i] = h1_conn_receive(to, pending, f->pending_len[i], &used, NULL, NULL);
	memmove(pending, pending + used, f->pending_len[i] - used);
	f->pending_len[i] -= used;
	return n || used;
}

static void turn(void)
{
	bool moved;

	do {
		moved = move(0);
		moved = move(1) || moved;
	} while (moved);
}

static int setup(void **state)
{
	(void)state;
	f = calloc(1, sizeof(*f));
	assert_int_equal(h1_conn_create(H1_SERVER, &ops, &f->served, &f->server, NULL), 0);
	assert_int_equal(h1_conn_create(H1_CLIENT, &ops, &f->asked, &f->client, NULL), 0);
	f->served.conn = f->server;
	f->asked.conn = f->client;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	h1_conn_destroy(f->client);
	h1_conn_destroy(f->server);
	free(f);
	return 0;
}

static struct record_fields with_host(void)
{
	return (struct record_fields){ .count = 1, .list = { { "host", "api.example.com" } } };
}

static void ask(const char *method, const char *target, uint64_t length, bool end)
{
	struct record_fields fields = with_host();

	assert_int_equal(h1_conn_request(f->client, method, target, &fields, length, end), 0);
}

static void test_exchanges_one_after_the_other(void **state)
{
	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		assert_true(h1_conn_is_idle(f->client));
		ask("GET", "/a?b", 0, true);
		assert_false(h1_conn_is_idle(f->client));
		turn();
		assert_int_equal(f->served.heads, i);
		assert_string_equal(f->served.path, "/a");
		assert_true(f->served.end_with_head);
		assert_int_equal(h1_conn_respond(f->server, 200, &none, 5, false), 0);
		h1_conn_send(f->server, "hello", 5);
		assert_int_equal(h1_conn_end(f->server, NULL), 0);
		turn();
		assert_int_equal(f->asked.heads, i);
		assert_int_equal(f->asked.length, 5);
		assert_int_equal(f->asked.bytes, 5 * i);
		assert_int_equal(f->asked.ends, i);
	}
	assert_false(h1_conn_is_over(f->client) || h1_conn_is_over(f->server));
}

static void test_bodies_of_unknown_length(void **state)
{
	struct record_fields trailers = { .count = 1, .list = { { "x-sum", "12" } } };
	struct record_fields hints = {};

	(void)state;
	ask("POST", "/", RECORD_LENGTH_UNKNOWN, false);
	h1_conn_send(f->client, "abc", 3);
	h1_conn_send(f->client, "defg", 4);
	assert_int_equal(h1_conn_end(f->client, &trailers), 0);
	turn();
	assert_int_equal(f->served.length, RECORD_LENGTH_UNKNOWN);
	assert_int_equal(f->served.bytes, 7);
	assert_string_equal(f->served.trailer, "12");
	assert_int_equal(h1_conn_respond(f->server, 103, &hints, 0, false), 0);
	assert_int_equal(h1_conn_respond(f->server, 200, &none, RECORD_LENGTH_UNKNOWN, false), 0);
	h1_conn_send(f->server, "xyz", 3);
	assert_int_equal(h1_conn_end(f->server, NULL), 0);
	turn();
	assert_int_equal(f->asked.heads, 2);
	assert_string_equal(f->asked.coding, "chunked");
	assert_int_equal(f->asked.bytes, 3);
	assert_true(h1_conn_is_idle(f->client));
}

static void test_answers_without_a_body(void **state)
{
	static const struct {
		const char *method;
		uint16_t status;
		uint64_t length;
	} cases[] = { { "HEAD", 200, 1234 }, { "GET", 204, 0 }, { "GET", 304, 77 },
		{ "GET", 200, 0 }, { "DELETE", 404, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(cases[i].method, "/", 0, true);
		turn();
		assert_int_equal(
			h1_conn_respond(f->server, cases[i].status, &none, cases[i].length, true),
			0);
		turn();
		assert_int_equal(f->asked.status, cases[i].status);
		assert_true(f->asked.end_with_head);
		assert_true(h1_conn_is_idle(f->client));
	}
	assert_int_equal(f->asked.bytes, 0);
}

/* Megabytes both ways; an end that gives nothing back holds what the window says, and the sender is told to wait. */
static void test_back_pressure(void **state)
{
	enum { BYTES = 2 << 20 };
	static uint8_t data[5000];
	size_t sent = 0;
	uint32_t sum = 0;

	(void)state;
	f->served.keep = true;
	ask("PUT", "/", BYTES, false);
	for (int stuck = 0; sent < BYTES;) {
		size_t len = MIN(h1_conn_room(f->client), sizeof(data));

		len = MIN(len, BYTES - sent);
		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)(sent + k * 3);
		h1_conn_send(f->client, data, len);
		sum = add_up(sum, data, len);
		sent += len;
		turn();
		if (!len && !stuck++) {
			assert_int_equal(f->served.bytes, H1_CONN_WINDOW);
			assert_false(h1_conn_wants_input(f->server));
			f->served.keep = false;
			h1_conn_consumed(f->server, H1_CONN_WINDOW);
			turn();
		}
		assert_in_range(stuck, 0, 1);
	}
	assert_int_equal(h1_conn_end(f->client, NULL), 0);
	turn();
	assert_int_equal(f->served.bytes, BYTES);
	assert_int_equal(f->served.sum, sum);
	assert_true(f->asked.drained > 0);
}

static void test_a_tunnel(void **state)
{
	struct record_fields fields = with_host(),
			     upgrade = { .count = 1, .list = { { "upgrade", "websocket" } } };

	(void)state;
	fields_add(&fields, "connection", "upgrade");
	fields_add(&fields, "upgrade", "websocket");
	assert_int_equal(h1_conn_request(f->client, "GET", "/", &fields, 0, true), 0);
	turn();
	assert_int_equal(h1_conn_respond(f->server, 101, &upgrade, 0, false), 0);
	h1_conn_send(f->server, "\x81\x02hi", 4);
	turn();
	assert_int_equal(f->asked.status, 101);
	assert_int_equal(f->asked.bytes, 4);
	h1_conn_send(f->client, "GET / HTTP/1.1\r\n\r\n", 18);
	turn();
	assert_int_equal(f->served.bytes, 18);
	assert_int_equal(f->served.heads, 1);
	assert_int_equal(h1_conn_input_ended(f->server), 0);
	assert_int_equal(f->served.ends, 1);
	assert_int_equal(h1_conn_end(f->server, NULL), 0);
	assert_true(h1_conn_is_over(f->server));
}

/* -- raw peers -- */

static int feed(struct h1_conn *conn, const char *text, size_t *used, enum h1_error *error)
{
	struct err err = {};
	int r = h1_conn_receive(conn, (const uint8_t *)text, strlen(text), used, error, &err);

	assert_true(r == 0 || err.text[0]);
	return r;
}

/* What the server writes, as text. */
static const char *written(struct h1_conn *conn)
{
	static char text[H1_CONN_OUT_BYTES + 1];

	text[h1_conn_pull(conn, (uint8_t *)text, sizeof(text) - 1)] = '\0';
	return text;
}

static void test_pipelined_requests_wait(void **state)
{
	static const char two[] =
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
	size_t used;

	(void)state;
	assert_int_equal(feed(f->server, two, &used, NULL), 0);
	assert_int_equal(used, sizeof(two) / 2);
	assert_int_equal(f->served.heads, 1);
	assert_false(h1_conn_wants_input(f->server));
	assert_int_equal(h1_conn_respond(f->server, 200, &none, 0, true), 0);
	assert_true(h1_conn_wants_input(f->server));
	assert_int_equal(feed(f->server, two + used, &used, NULL), 0);
	assert_string_equal(f->served.path, "/2");
}

static void test_an_old_client(void **state)
{
	size_t used;

	(void)state;
	assert_int_equal(feed(f->server, "GET / HTTP/1.0\r\n\r\n", &used, NULL), 0);
	assert_int_equal(h1_conn_respond(f->server, 103, &none, 0, false), 0);
	assert_int_equal(h1_conn_respond(f->server, 200, &none, RECORD_LENGTH_UNKNOWN, false), 0);
	h1_conn_send(f->server, "abc", 3);
	assert_int_equal(h1_conn_end(f->server, NULL), 0);
	assert_string_equal(written(f->server), "HTTP/1.1 200 \r\nconnection: close\r\n\r\nabc");
	assert_true(h1_conn_is_over(f->server));
}

static void test_a_client_that_says_close(void **state)
{
	size_t used;

	(void)state;
	assert_int_equal(
		feed(f->server,
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
			&used, NULL),
		0);
	assert_int_equal(h1_conn_respond(f->server, 200, &none, 0, true), 0);
	assert_non_null(strstr(written(f->server), "connection: close\r\n"));
	assert_true(h1_conn_is_over(f->server));
	assert_int_equal(f->served.heads, 1);
}

/* An answer before the request's body has come: nothing of that body is ever a request. */
static void test_an_early_answer_ends_the_connection(void **state)
{
	size_t used;

	(void)state;
	assert_int_equal(feed(f->server, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n",
				 &used, NULL),
		0);
	assert_int_equal(h1_conn_respond(f->server, 403, &none, 0, true), 0);
	assert_non_null(strstr(written(f->server), "connection: close\r\n"));
	feed(f->server, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", &used, NULL);
	assert_int_equal(f->served.heads, 1);
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum h1_error error;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
			H1_BOTH },
		{ "GET / HTTP/1.1\nHost: a\n\n", H1_LINE_END },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", H1_HOST },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
			H1_CHUNK },
	};
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum h1_error error = H1_OK;

		assert_int_equal(feed(f->server, cases[i].text, &used, &error), -EPROTO);
		assert_int_equal(error, cases[i].error);
		assert_true(h1_conn_is_over(f->server));
		assert_false(h1_conn_wants_input(f->server));
		teardown(state);
		setup(state);
	}
}

/* E24 */
static void test_an_upstream_that_speaks_unasked(void **state)
{
	size_t used;

	(void)state;
	assert_int_equal(
		feed(f->client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &used, NULL),
		-EPROTO);
	assert_int_equal(f->asked.heads, 0);
	assert_false(h1_conn_is_idle(f->client));
}

static void test_an_upstream_that_answers_twice(void **state)
{
	size_t used;

	(void)state;
	ask("GET", "/", 0, true);
	assert_int_equal(
		feed(f->client,
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			&used, NULL),
		-EPROTO);
	assert_int_equal(f->asked.heads, 1);
	assert_int_equal(f->asked.bytes, 1);
	assert_true(h1_conn_is_over(f->client));
}

static void test_a_body_that_ends_with_the_connection(void **state)
{
	size_t used;

	(void)state;
	ask("GET", "/", 0, true);
	assert_int_equal(feed(f->client, "HTTP/1.1 200 OK\r\n\r\nabc", &used, NULL), 0);
	assert_int_equal(f->asked.length, RECORD_LENGTH_UNKNOWN);
	assert_int_equal(f->asked.ends, 0);
	assert_int_equal(h1_conn_input_ended(f->client), 0);
	assert_int_equal(f->asked.ends, 1);
	assert_true(h1_conn_is_over(f->client));
}

static void test_a_body_that_is_cut_short(void **state)
{
	size_t used;

	(void)state;
	ask("GET", "/", 0, true);
	assert_int_equal(
		feed(f->client, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", &used, NULL), 0);
	assert_int_equal(h1_conn_input_ended(f->client), -EPIPE);
	assert_int_equal(f->asked.ends, 0);
	assert_true(h1_conn_is_over(f->client));
}

static void test_what_we_do_not_write(void **state)
{
	struct record_fields bad = { .count = 1, .list = { { "x", "a\r\nb: c" } } };
	size_t used;

	(void)state;
	assert_int_equal(
		h1_conn_request(f->client, "GET", "/ HTTP/1.1\r\nX: y", &none, 0, true), -EINVAL);
	assert_int_equal(h1_conn_request(f->client, "GET", "/", &bad, 0, true), -EINVAL);
	assert_true(h1_conn_is_idle(f->client));
	assert_int_equal(h1_conn_respond(f->server, 200, &none, 0, true), -EPIPE);
	feed(f->server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &used, NULL);
	assert_int_equal(h1_conn_respond(f->server, 200, &bad, 0, true), -EINVAL);
	assert_string_equal(written(f->server), "");
	/* A body that is not as long as was said ends the connection: the rest would be read as the next answer. */
	assert_int_equal(h1_conn_respond(f->server, 200, &none, 3, false), 0);
	h1_conn_send(f->server, "ab", 2);
	assert_int_equal(h1_conn_end(f->server, NULL), -EINVAL);
	assert_true(h1_conn_is_over(f->server));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exchanges_one_after_the_other),
		TEST(test_bodies_of_unknown_length),
		TEST(test_answers_without_a_body),
		TEST(test_back_pressure),
		TEST(test_a_tunnel),
		TEST(test_pipelined_requests_wait),
		TEST(test_an_old_client),
		TEST(test_a_client_that_says_close),
		TEST(test_an_early_answer_ends_the_connection),
		TEST(test_what_is_refused),
		TEST(test_an_upstream_that_speaks_unasked),
		TEST(test_an_upstream_that_answers_twice),
		TEST(test_a_body_that_ends_with_the_connection),
		TEST(test_a_body_that_is_cut_short),
		TEST(test_what_we_do_not_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
