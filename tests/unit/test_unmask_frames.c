/* SPDX-License-Identifier: Apache-2.0 */
/* E14: a secret in the messages of a WebSocket, however they are cut into frames, and those into reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/redact_oracle.h"
#include "vmm/base/array.h"
#include "vsock-proxy/unmask_frames.h"

#define SECRET	 "token-of-24-bytes-or-so!"
#define BODY_MAX (1u << 20)

static uint8_t in[BODY_MAX], wanted[BODY_MAX], got[BODY_MAX];
static size_t in_len, wanted_len, got_len;
static struct redact *redact;
static struct redact_forms forms;

static int take(void *data, const uint8_t *bytes, size_t len)
{
	(void)data;
	if (len > sizeof(got) - got_len)
		return -E2BIG;
	memcpy(got + got_len, bytes, len);
	got_len += len;
	return 0;
}

static void put(const void *bytes, const void *masked, size_t len)
{
	memcpy(in + in_len, bytes, len);
	memcpy(wanted + wanted_len, masked, len);
	in_len += len;
	wanted_len += len;
}

static void put_frame(
	unsigned int opcode, bool last, const uint8_t *bytes, const uint8_t *masked, size_t len)
{
	uint8_t head[10] = { (uint8_t)(opcode | (last ? 0x80 : 0)), (uint8_t)len };
	size_t size = 2;

	if (len > 125) {
		size = len % 2 ? 10
			       : 4; /* both are heard; RFC 6455 has a peer say the shorter one */
		head[1] = size == 4 ? 126 : 127;
		head[size - 2] = (uint8_t)(len >> 8);
		head[size - 1] = (uint8_t)len;
	}
	put(head, head, size);
	put(bytes, masked, len);
}

static void put_whole(unsigned int opcode, const char *text)
{
	uint8_t masked[256];

	oracle_mask(&forms, (const uint8_t *)text, strlen(text), masked);
	put_frame(opcode, true, (const uint8_t *)text, masked, strlen(text));
}

/* A message of secrets and their beginnings, cut anywhere, with control frames between. */
static void put_message(void)
{
	static uint8_t text[4096], masked[4096];
	size_t len = 0, parts = 1 + (size_t)random() % 20;

	for (size_t i = 0; i < parts; i++) {
		size_t part = random() % 2 ? strlen(SECRET) : (size_t)random() % strlen(SECRET);

		memcpy(text + len, SECRET, part);
		len += part;
	}
	oracle_mask(&forms, text, len, masked);
	for (size_t at = 0, first = 2; at < len || first; first = 0) {
		size_t piece = MIN((size_t)random() % 40, len - at);

		put_frame((unsigned int)first, at + piece == len, text + at, masked + at, piece);
		at += piece;
		if (at < len && random() % 4 == 0)
			put_whole(9, random() % 2 ? "ping " SECRET : "token-of");
		if (at == len)
			break;
	}
}

static int run(size_t step)
{
	struct unmask_frames *f;
	int r = unmask_frames_create(redact, take, NULL, &f);

	got_len = 0;
	for (size_t at = 0; r == 0 && at < in_len; at += step)
		r = unmask_frames_take(f, in + at, MIN(step, in_len - at));
	if (r == 0)
		r = unmask_frames_end(f);
	unmask_frames_destroy(f);
	return r;
}

static void messages_cut_anywhere(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned int i = 0; i < 300; i++) {
		in_len = wanted_len = 0;
		for (unsigned int m = 0; m < 1 + i % 5; m++)
			put_message();
		assert_int_equal(run(1 + (size_t)random() % (i % 3 ? 30 : 5000)), 0);
		assert_int_equal(got_len, wanted_len);
		assert_memory_equal(got, wanted, wanted_len);
	}
}

static void large_frames(void **state)
{
	static uint8_t text[60001], masked[60001];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 4090, SECRET, strlen(SECRET));
	memcpy(text + 59000, SECRET, strlen(SECRET));
	oracle_mask(&forms, text, sizeof(text), masked);
	in_len = wanted_len = 0;
	put_frame(1, true, text, masked, 60000);
	put_frame(1, true, text, masked, 60001);
	assert_int_equal(run(BODY_MAX), 0);
	assert_memory_equal(got, wanted, wanted_len);
}

static void what_is_whole_waits_for_nothing(void **state)
{
	struct unmask_frames *f;

	(void)state;
	in_len = wanted_len = got_len = 0;
	put_whole(1, "token-of-24");
	assert_int_equal(unmask_frames_create(redact, take, NULL, &f), 0);
	assert_int_equal(unmask_frames_take(f, in, in_len), 0);
	assert_int_equal(got_len, in_len);
	unmask_frames_destroy(f);
}

static void what_no_server_says(void **state)
{
	static const struct {
		uint8_t bytes[10];
		size_t len;
		int code;
	} cases[] = {
		{ { 0xc1, 1, 'x' }, 3, -EOPNOTSUPP }, /* compressed */
		{ { 0x81, 0x81, 1, 2, 3, 4, 5 }, 7, -EPROTO }, /* masked */
		{ { 0x83, 0 }, 2, -EPROTO }, /* no such opcode */
		{ { 0x8b, 0 }, 2, -EPROTO },
		{ { 0x09, 0 }, 2, -EPROTO }, /* a ping in parts */
		{ { 0x89, 126, 0, 126 }, 4, -EPROTO }, /* a long one */
		{ { 0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0 }, 10, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(in, cases[i].bytes, cases[i].len);
		in_len = cases[i].len;
		assert_int_equal(run(1), cases[i].code);
		assert_int_equal(got_len, 0);
	}
}

/* E11: frames without end while something is held back. */
static void what_is_held_is_bounded(void **state)
{
	(void)state;
	in_len = wanted_len = 0;
	put_frame(1, false, (const uint8_t *)"token", (const uint8_t *)"token", 5);
	for (unsigned int i = 0; i < 1000; i++)
		put_frame(0, false, in, in, 0);
	assert_int_equal(run(BODY_MAX), -EPROTO);
}

static int make_redact(void **state)
{
	(void)state;
	return redact_forms_init(&forms, (const uint8_t *)SECRET, strlen(SECRET)) ||
	       redact_create((const uint8_t *)SECRET, strlen(SECRET), &redact);
}

static int destroy_redact(void **state)
{
	(void)state;
	redact_forms_finish(&forms);
	redact_destroy(redact);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_cut_anywhere),
		cmocka_unit_test(large_frames),
		cmocka_unit_test(what_is_whole_waits_for_nothing),
		cmocka_unit_test(what_no_server_says),
		cmocka_unit_test(what_is_held_is_bounded),
	};

	return cmocka_run_group_tests(tests, make_redact, destroy_redact);
}
