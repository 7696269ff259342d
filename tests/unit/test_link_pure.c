/* SPDX-License-Identifier: Apache-2.0 */
/* The link's pure parts: the CONNECT line, the filter of operation streams, the session's ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/link/connect_line.h"
#include "vmm/link/filter.h"
#include "vmm/link/ring.h"

static void test_connect_line(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t port;
	} cases[] = {
		{ "CONNECT 1024\n", 13, 1024 },
		{ "CONNECT 0\n", 10, 0 },
		{ "CONNECT 4294967294\nmore", 19, 4294967294u },
		{ "", 0, 0 },
		{ "CONN", 0, 0 },
		{ "CONNECT ", 0, 0 },
		{ "CONNECT 10", 0, 0 },
		{ "CONNECT 4294967295", -EPROTO, 0 },
		{ "CONNECT 99999999999999999999999", -EPROTO, 0 },
		{ "CONNECT \n", -EPROTO, 0 },
		{ "CONNECT 01\n", -EPROTO, 0 },
		{ "CONNECT -1\n", -EPROTO, 0 },
		{ "CONNECT +1\n", -EPROTO, 0 },
		{ "CONNECT  1\n", -EPROTO, 0 },
		{ "CONNECT 1 \n", -EPROTO, 0 },
		{ "CONNECT 1\r\n", -EPROTO, 0 },
		{ "connect 1\n", -EPROTO, 0 },
		{ "GET / HTTP/1.1\n", -EPROTO, 0 },
		{ "\n", -EPROTO, 0 },
	};
	char answer[CONNECT_ANSWER_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t port = 77;

		assert_int_equal(connect_line_parse(cases[i].text, strlen(cases[i].text), &port),
			cases[i].result);
		assert_int_equal(port, cases[i].result > 0 ? cases[i].port : 77);
	}
	assert_int_equal(connect_line_parse("CONNECT 1\0\n", 11, &(uint32_t){ 0 }), -EPROTO);
	assert_int_equal(connect_line_answer(1073741824, answer), 14);
	assert_string_equal(answer, "OK 1073741824\n");
}

/* Everything that passed, frame for frame, carriers of bytes joined. */
struct passed {
	char text[4096];
	size_t len;
};

static void note(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	struct passed *p = data;

	p->len += (size_t)snprintf(p->text + p->len, sizeof(p->text) - p->len, "%u:", type);
	for (uint32_t i = 0; i < len && i < 8; i++)
		p->len += (size_t)snprintf(
			p->text + p->len, sizeof(p->text) - p->len, "%02x", payload[i]);
	p->len += (size_t)snprintf(p->text + p->len, sizeof(p->text) - p->len, " ");
}

static size_t raw_frame(uint8_t *out, uint8_t type, const void *payload, uint32_t len)
{
	protocol_head_encode(&(struct protocol_head){ .type = type, .len = len }, out);
	memcpy(out + PROTOCOL_HEAD_SIZE, payload, len);
	return PROTOCOL_HEAD_SIZE + len;
}

static int push_all(struct link_filter *f, const uint8_t *bytes, size_t len, size_t step,
	struct passed *passed, size_t *taken)
{
	*taken = 0;
	while (*taken < len && !f->done) {
		size_t n = 0;
		int r = link_filter_push(
			f, bytes + *taken, MIN(step, len - *taken), &n, note, passed);

		if (r < 0)
			return r;
		*taken += n;
	}
	return 0;
}

static void test_exec_passes_in_any_pieces(void **state)
{
	static const size_t steps[] = { 1, 3, 8, 9, 1000 };
	uint8_t wire[1024];
	size_t len = stream_started_frame(42, wire), taken;

	(void)state;
	len += raw_frame(wire + len, STREAM_STDOUT, "abc", 3);
	len += raw_frame(wire + len, STREAM_STDERR, "d", 1);
	len += stream_exit_frame(
		&(struct stream_exit){ .kind = STREAM_EXITED, .value = 3 }, wire + len);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct passed passed = {};
		struct link_filter f;

		link_filter_init(&f, LINK_FILTER_EXEC_GUEST);
		assert_int_equal(push_all(&f, wire, len, steps[i], &passed, &taken), 0);
		assert_true(f.done);
		assert_int_equal(f.last, STREAM_EXIT);
		assert_int_equal(taken, len);
		if (steps[i] >= 9)
			assert_string_equal(
				passed.text, "18:2a000000 16:616263 17:64 19:0100000003000000 ");
	}
}

static int verdict(enum link_filter_kind kind, const uint8_t *wire, size_t len)
{
	struct passed passed = {};
	struct link_filter f;
	size_t taken;

	link_filter_init(&f, kind);
	return push_all(&f, wire, len, 5, &passed, &taken);
}

static void test_exec_order_and_types(void **state)
{
	uint8_t wire[1024];
	size_t len, started = stream_started_frame(1, wire);

	(void)state;
	/* output before STARTED; STARTED twice; EXIT before STARTED; ERROR may come first */
	len = raw_frame(wire, STREAM_STDOUT, "x", 1);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	len = stream_exit_frame(&(struct stream_exit){ .kind = STREAM_FAILED, .value = 127 }, wire);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), 0); /* it never began */
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	len = stream_exit_frame(&(struct stream_exit){ .kind = STREAM_EXITED }, wire);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	len = stream_error_frame(&(struct stream_error){ .code = 2, .stage = 35 }, wire);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), 0);
	len = stream_started_frame(1, wire);
	len += stream_started_frame(1, wire + len);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	/* a client's frames from the guest, and the other way round */
	stream_started_frame(1, wire);
	len = started + raw_frame(wire + started, STREAM_STDIN, "x", 1);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	assert_int_equal(verdict(LINK_FILTER_EXEC_CLIENT, wire, started), -EPROTO);
	/* values that do not decode: an exit kind, a code, an empty STDOUT */
	len = started + stream_exit_frame(&(struct stream_exit){ .kind = 9 }, wire + started);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	len = started + raw_frame(wire + started, STREAM_STDOUT, "", 0);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	len = started + raw_frame(wire + started, STREAM_STDOUT, "x", 1);
	store_le32(wire + started + 4, PROTOCOL_PAYLOAD_MAX + 1);
	assert_int_equal(verdict(LINK_FILTER_EXEC_GUEST, wire, len), -EPROTO);
	/* STDIN after its end */
	len = raw_frame(wire, STREAM_STDIN_EOF, "", 0);
	assert_int_equal(verdict(LINK_FILTER_EXEC_CLIENT, wire, len), 0);
	len += raw_frame(wire + len, STREAM_STDIN, "x", 1);
	assert_int_equal(verdict(LINK_FILTER_EXEC_CLIENT, wire, len), -EPROTO);
	/* a client of COPY_OUT has nothing to say */
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_CLIENT, wire, len), -EPROTO);
}

static size_t put_entry(uint8_t *out, uint8_t kind, const char *name, uint64_t size)
{
	struct stream_copy_entry entry = {
		.kind = kind, .mode = kind < STREAM_COPY_UP ? 0644 : 0, .size = size
	};
	size_t len;

	snprintf(entry.name, sizeof(entry.name), "%s", name);
	len = stream_copy_entry_frame(&entry, out);
	assert_true(len > 0);
	return len;
}

/* H14: a tree, or nothing. */
static void test_copy_makes_a_tree(void **state)
{
	static uint8_t wire[8192];
	size_t started = stream_started_frame(1, wire), len = started, name_at;

	(void)state;
	len += put_entry(wire + len, STREAM_COPY_DIR, "d", 0);
	len += put_entry(wire + len, STREAM_COPY_FILE, "f", 5);
	len += raw_frame(wire + len, STREAM_COPY_DATA, "he", 2);
	len += raw_frame(wire + len, STREAM_COPY_DATA, "llo", 3);
	len += put_entry(wire + len, STREAM_COPY_SYMLINK, "l", 6);
	len += raw_frame(wire + len, STREAM_COPY_DATA, "target", 6);
	len += put_entry(wire + len, STREAM_COPY_UP, "", 0);
	len += put_entry(wire + len, STREAM_COPY_END, "", 0);
	len += stream_exit_frame(&(struct stream_exit){ .kind = STREAM_EXITED }, wire + len);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), 0);
	/* the same without END; a name of two components; of none */
	len = started + put_entry(wire + started, STREAM_COPY_DIR, "d", 0);
	name_at = len - 256;
	memcpy(wire + name_at, "a/b", 3);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	memcpy(wire + name_at, "..\0", 3);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	len += stream_exit_frame(&(struct stream_exit){ .kind = STREAM_EXITED }, wire + len);
	memcpy(wire + name_at, "d\0\0", 3);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	/* up from the top; more bytes than the file has; a link's target in two */
	len = started + put_entry(wire + started, STREAM_COPY_UP, "", 0);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	len = started + put_entry(wire + started, STREAM_COPY_FILE, "f", 1);
	len += raw_frame(wire + len, STREAM_COPY_DATA, "12", 2);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
	len = started + put_entry(wire + started, STREAM_COPY_SYMLINK, "l", 2);
	len += raw_frame(wire + len, STREAM_COPY_DATA, "1", 1);
	assert_int_equal(verdict(LINK_FILTER_COPY_OUT_GUEST, wire, len), -EPROTO);
}

/* The ring against the whole output kept in a model. */
static void test_ring_keeps_the_newest(void **state)
{
	static uint8_t all[4 << 20], got[LINK_RING_BYTES];
	struct link_ring *ring = calloc(1, sizeof(*ring));
	uint8_t record[LINK_RING_RECORD];
	size_t total = 0;

	(void)state;
	assert_non_null(ring);
	srand(4);
	while (total < sizeof(all) - 20000) {
		size_t len = 1 + (size_t)rand() % (rand() % 3 ? 300 : 20000), count = 0;
		uint64_t before_end = ring->end, keep = ring->start + (ring->end - ring->start) / 2;
		bool fits;

		/* a position on a frame */
		for (uint64_t at = ring->start; at < keep;)
			at += link_ring_get(ring, at, record), keep = MAX(keep, at);
		fits = len <= link_ring_room(ring, keep);
		for (size_t i = 0; i < len; i++)
			all[total + i] = (uint8_t)rand();
		link_ring_put(ring, STREAM_STDOUT, all + total, len);
		total += len;
		assert_true(ring->end - ring->start <= LINK_RING_BYTES);
		assert_true(ring->end > before_end);
		if (fits)
			assert_true(ring->start <= keep);
		for (uint64_t at = ring->start; at < ring->end;) {
			size_t size = link_ring_get(ring, at, record);

			assert_int_equal(record[0], STREAM_STDOUT);
			memcpy(got + count, record + PROTOCOL_HEAD_SIZE, size - PROTOCOL_HEAD_SIZE);
			count += size - PROTOCOL_HEAD_SIZE;
			at += size;
		}
		assert_memory_equal(got, all + total - count, count);
	}
	free(ring);
}

static void tail_text(const struct link_ring *ring, unsigned int lines, size_t max, char *out)
{
	uint8_t record[LINK_RING_RECORD];
	size_t skip;
	uint64_t at = link_ring_tail(ring, lines, max, &skip);

	*out = '\0';
	while (at < ring->end) {
		size_t size = link_ring_get(ring, at, record);

		strncat(out, (char *)record + PROTOCOL_HEAD_SIZE + skip,
			size - PROTOCOL_HEAD_SIZE - skip);
		skip = 0;
		at += size;
	}
}

static void test_ring_tail_is_a_screenful(void **state)
{
	struct link_ring *ring = calloc(1, sizeof(*ring));
	char out[256];

	(void)state;
	assert_non_null(ring);
	tail_text(ring, 3, 1000, out);
	assert_string_equal(out, "");
	link_ring_put(ring, STREAM_STDOUT, (const uint8_t *)"1\n2\n3\n", 6);
	link_ring_put(ring, STREAM_STDERR, (const uint8_t *)"4\n5\n", 4);
	link_ring_put(ring, STREAM_STDOUT, (const uint8_t *)"$ ", 2);
	tail_text(ring, 24, 1000, out);
	assert_string_equal(out, "1\n2\n3\n4\n5\n$ ");
	tail_text(ring, 3, 1000, out);
	assert_string_equal(out, "3\n4\n5\n$ ");
	tail_text(ring, 2, 1000, out);
	assert_string_equal(out, "4\n5\n$ ");
	tail_text(ring, 1, 1000, out);
	assert_string_equal(out, "5\n$ ");
	tail_text(ring, 24, 12, out); /* by bytes: the last frame alone */
	assert_string_equal(out, "$ ");
	free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_line),
		cmocka_unit_test(test_exec_passes_in_any_pieces),
		cmocka_unit_test(test_exec_order_and_types),
		cmocka_unit_test(test_copy_makes_a_tree),
		cmocka_unit_test(test_ring_keeps_the_newest),
		cmocka_unit_test(test_ring_tail_is_a_screenful),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
