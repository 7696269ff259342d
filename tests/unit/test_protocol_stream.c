/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, the payloads of operation streams, and the order of a copy (H14). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"

static void test_heads(void **state)
{
	static const struct {
		uint8_t bytes[PROTOCOL_HEAD_SIZE];
		enum protocol_sender sender;
		bool good;
	} cases[] = {
		{ { 1, 0, 0, 0, 0, 0, 1, 0 }, PROTOCOL_CLIENT, true }, /* STDIN of 64 KiB */
		{ { 1, 0, 0, 0, 1, 0, 1, 0 }, PROTOCOL_CLIENT, false }, /* a byte more */
		{ { 1, 0, 0, 0, 0, 0, 0, 0 }, PROTOCOL_CLIENT, false }, /* empty */
		{ { 1, 0, 0, 0, 1, 0, 0, 0 }, PROTOCOL_GUEST, false }, /* not the guest's */
		{ { 1, 1, 0, 0, 1, 0, 0, 0 }, PROTOCOL_CLIENT, false }, /* reserved */
		{ { 1, 0, 0, 1, 1, 0, 0, 0 }, PROTOCOL_CLIENT, false },
		{ { 2, 0, 0, 0, 0, 0, 0, 0 }, PROTOCOL_CLIENT, true },
		{ { 2, 0, 0, 0, 1, 0, 0, 0 }, PROTOCOL_CLIENT, false },
		{ { 16, 0, 0, 0, 1, 0, 0, 0 }, PROTOCOL_GUEST, true },
		{ { 16, 0, 0, 0, 1, 0, 0, 0 }, PROTOCOL_CLIENT, false },
		{ { 19, 0, 0, 0, 8, 0, 0, 0 }, PROTOCOL_GUEST, true },
		{ { 19, 0, 0, 0, 9, 0, 0, 0 }, PROTOCOL_GUEST, false },
		{ { 32, 0, 0, 0, 0x40, 1, 0, 0 }, PROTOCOL_GUEST, true },
		{ { 32, 0, 0, 0, 0x40, 1, 0, 0 }, PROTOCOL_CLIENT, true },
		{ { 48, 0, 0, 0, 0, 0, 3, 0 }, PROTOCOL_REQUESTER, true }, /* EXEC of 192 KiB */
		{ { 48, 0, 0, 0, 1, 0, 3, 0 }, PROTOCOL_REQUESTER, false },
		{ { 80, 0, 0, 0, 0, 0, 4, 0 }, PROTOCOL_CONTROL_HOST,
			true }, /* WELCOME of 256 KiB */
		{ { 80, 0, 0, 0, 0, 0, 4, 0 }, PROTOCOL_CONTROL_GUEST, false },
		{ { 0, 0, 0, 0, 0, 0, 0, 0 }, PROTOCOL_CLIENT, false },
		{ { 255, 0, 0, 0, 1, 0, 0, 0 }, PROTOCOL_GUEST, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct protocol_head head = {};
		uint8_t again[PROTOCOL_HEAD_SIZE];

		assert_int_equal(protocol_head_decode(cases[i].bytes, cases[i].sender, &head),
			cases[i].good);
		if (!cases[i].good)
			continue;
		protocol_head_encode(&head, again);
		assert_memory_equal(again, cases[i].bytes, sizeof(again));
	}
}

static void test_frame_writer(void **state)
{
	uint8_t buffer[64];
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	size_t at = protocol_frame_begin(&w);

	(void)state;
	bytes_put_u64(&w, 5);
	protocol_frame_end(&w, at, STREAM_EXIT);
	assert_false(w.failed);
	assert_int_equal(w.offset, 16);
	assert_memory_equal(buffer, "\x13\0\0\0\x8\0\0\0", 8);
	at = protocol_frame_begin(&w);
	bytes_put_u8(&w, 5);
	protocol_frame_end(&w, at, STREAM_EXIT);
	assert_true(w.failed);
}

static void test_fixed_golden(void **state)
{
	uint8_t out[STREAM_FIXED_MAX];
	struct stream_resize resize = { 50, 132 };
	struct stream_exit gone = { STREAM_SIGNALLED, 9 };
	struct stream_error error = { 2, PROTOCOL_STAGE_COPY_PATH };
	uint32_t number = 0;

	(void)state;
	assert_int_equal(stream_resize_frame(&resize, out), 12);
	assert_memory_equal(out, "\x3\0\0\0\x4\0\0\0\x32\0\x84\0", 12);
	assert_true(stream_resize_decode(out + 8, 4, &resize));
	assert_int_equal(resize.cols, 132);
	assert_int_equal(stream_signal_frame(15, out), 12);
	assert_memory_equal(out, "\x4\0\0\0\x4\0\0\0\xf\0\0\0", 12);
	assert_true(stream_signal_decode(out + 8, 4, &number));
	assert_int_equal(number, 15);
	assert_false(stream_signal_decode("\0\0\0\0", 4, &number));
	assert_false(stream_signal_decode("\x41\0\0\0", 4, &number));
	assert_int_equal(stream_started_frame(0x01020304, out), 12);
	assert_memory_equal(out, "\x12\0\0\0\x4\0\0\0\x4\x3\x2\x1", 12);
	assert_int_equal(stream_exit_frame(&gone, out), 16);
	assert_memory_equal(out, "\x13\0\0\0\x8\0\0\0\x2\0\0\0\x9\0\0\0", 16);
	assert_true(stream_exit_decode(out + 8, 8, &gone));
	assert_false(stream_exit_decode("\x3\0\0\0\x1\0\0\0", 8, &gone));
	assert_false(stream_exit_decode("\x4\0\0\0\x0\0\0\0", 8, &gone));
	assert_int_equal(stream_error_frame(&error, out), 16);
	assert_memory_equal(out, "\x14\0\0\0\x8\0\0\0\x2\0\0\0\x26\0\0\0", 16);
	assert_true(stream_error_decode(out + 8, 8, &error));
	assert_false(stream_error_decode("\0\0\0\0\0\0\0\0", 8, &error));
	assert_string_equal(protocol_stage_text(PROTOCOL_STAGE_COPY_PATH), "the path to copy");
	assert_non_null(protocol_stage_text(12345));
}

static void test_entry_golden(void **state)
{
	struct stream_copy_entry entry = { STREAM_COPY_FILE, 0644, 5, -1, "a.c" }, got;
	uint8_t out[STREAM_FIXED_MAX], golden[STREAM_FIXED_MAX] = {
		32, 0, 0, 0, 0x40, 1, 0, 0, /* head */
		2, 0, 0, 0, 0xa4, 1, 0, 0, /* kind, mode */
		5, 0, 0, 0, 0, 0, 0, 0, /* size */
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* mtime */
	};

	(void)state;
	memcpy(golden + 8 + 64, "a.c", 3);
	assert_int_equal(stream_copy_entry_frame(&entry, out), STREAM_FIXED_MAX);
	assert_memory_equal(out, golden, sizeof(golden));
	assert_true(stream_copy_entry_decode(out + 8, STREAM_COPY_ENTRY_SIZE, &got));
	assert_int_equal(got.size, 5);
	assert_true(got.mtime_ns == -1);
	assert_string_equal(got.name, "a.c");
	out[STREAM_FIXED_MAX - 1] = 'x'; /* after the name's end */
	assert_false(stream_copy_entry_decode(out + 8, STREAM_COPY_ENTRY_SIZE, &got));
	memset(out + 8 + 64, 'x', 256); /* no end */
	assert_false(stream_copy_entry_decode(out + 8, STREAM_COPY_ENTRY_SIZE, &got));
}

/* H14: what a lying agent or a lying client may not say. */
static void test_entry_refused(void **state)
{
	static const struct stream_copy_entry bad[] = {
		{ STREAM_COPY_FILE, 0644, 0, 0, ".." },
		{ STREAM_COPY_FILE, 0644, 0, 0, "." },
		{ STREAM_COPY_FILE, 0644, 0, 0, "" },
		{ STREAM_COPY_FILE, 0644, 0, 0, "a/b" },
		{ STREAM_COPY_FILE, 0644, 0, 0, "/etc" },
		{ STREAM_COPY_FILE, 04755, 0, 0, "suid" },
		{ STREAM_COPY_FILE, 0644, 1ull << 63, 0, "endless" },
		{ STREAM_COPY_DIR, 0755, 1, 0, "d" },
		{ STREAM_COPY_SYMLINK, 0777, 0, 0, "l" },
		{ STREAM_COPY_SYMLINK, 0777, 4096, 0, "l" },
		{ STREAM_COPY_UP, 0, 0, 0, "x" },
		{ STREAM_COPY_END, 0, 1, 0, "" },
		{ 0, 0, 0, 0, "x" },
		{ 6, 0, 0, 0, "x" },
	};
	uint8_t out[STREAM_FIXED_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(stream_copy_entry_frame(&bad[i], out), 0);
}

static bool step(struct stream_copy_order *order, uint8_t kind, uint64_t size)
{
	struct stream_copy_entry entry = { .kind = kind, .size = size };

	return stream_copy_order_entry(order, &entry);
}

static void test_copy_order(void **state)
{
	struct stream_copy_order order = {};

	(void)state;
	assert_true(step(&order, STREAM_COPY_DIR, 0));
	assert_true(step(&order, STREAM_COPY_FILE, 10));
	assert_false(step(&order, STREAM_COPY_UP, 0)); /* its data is owed */
	assert_false(stream_copy_order_data(&order, 11));
	assert_true(stream_copy_order_data(&order, 4));
	assert_true(stream_copy_order_data(&order, 6));
	assert_false(stream_copy_order_data(&order, 1));
	assert_true(step(&order, STREAM_COPY_SYMLINK, 3));
	assert_false(stream_copy_order_data(&order, 2)); /* a target comes whole */
	assert_true(stream_copy_order_data(&order, 3));
	assert_false(step(&order, STREAM_COPY_END, 0)); /* inside a folder */
	assert_true(step(&order, STREAM_COPY_UP, 0));
	assert_false(step(&order, STREAM_COPY_UP, 0)); /* above the top */
	assert_true(step(&order, STREAM_COPY_END, 0));
	assert_true(order.done);
	assert_false(step(&order, STREAM_COPY_FILE, 0));
	assert_false(stream_copy_order_data(&order, 1));
}

static void test_copy_depth(void **state)
{
	struct stream_copy_order order = {};

	(void)state;
	for (int i = 0; i < STREAM_COPY_DEPTH_MAX; i++)
		assert_true(step(&order, STREAM_COPY_DIR, 0));
	assert_false(step(&order, STREAM_COPY_DIR, 0));
	order.entries = STREAM_COPY_ENTRIES_MAX;
	assert_false(step(&order, STREAM_COPY_UP, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_frame_writer),
		cmocka_unit_test(test_fixed_golden),
		cmocka_unit_test(test_entry_golden),
		cmocka_unit_test(test_entry_refused),
		cmocka_unit_test(test_copy_order),
		cmocka_unit_test(test_copy_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
