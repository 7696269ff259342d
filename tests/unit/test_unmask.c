/* SPDX-License-Identifier: Apache-2.0 */
/* E14, E11: a secret in a body of any coding, cut anywhere; bodies that are not what they say, or that are bombs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "vmm/base/array.h"
#include "vsock-proxy/unmask.h"

#define SECRET	 "token-of-24-bytes-or-so!"
#define BODY_MAX (1u << 20)

static uint8_t packed[BODY_MAX], plain[BODY_MAX], got[BODY_MAX + 64];
static size_t got_len, counted;
static struct redact *redact;

static size_t pack_zlib(const uint8_t *text, size_t len, uint8_t *out, int bits)
{
	z_stream z = {};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (uint8_t *)(size_t)text;
	z.avail_in = (unsigned int)len;
	z.next_out = out;
	z.avail_out = BODY_MAX;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	len = BODY_MAX - z.avail_out;
	deflateEnd(&z);
	return len;
}

static size_t pack_gzip(const uint8_t *text, size_t len, uint8_t *out)
{
	return pack_zlib(text, len, out, 15 + 16);
}

static size_t pack_deflate(const uint8_t *text, size_t len, uint8_t *out)
{
	return pack_zlib(text, len, out, 15);
}

static size_t pack_zstd(const uint8_t *text, size_t len, uint8_t *out)
{
	len = ZSTD_compress(out, BODY_MAX, text, len, 3);
	assert_false(ZSTD_isError(len));
	return len;
}

static size_t pack_br(const uint8_t *text, size_t len, uint8_t *out)
{
	size_t size = BODY_MAX;

	assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, len, text, &size, out));
	return size;
}

static const struct coding {
	const char *name;
	size_t (*pack)(const uint8_t *text, size_t len, uint8_t *out);
} codings[] = {
	{ "gzip", pack_gzip },
	{ "deflate", pack_deflate },
	{ "zstd", pack_zstd },
	{ "br", pack_br },
};

static int take(void *data, const uint8_t *bytes, size_t len)
{
	(void)data;
	counted += len;
	if (got_len + len > sizeof(got))
		return 0;
	memcpy(got + got_len, bytes, len);
	got_len += len;
	return 0;
}

/* The whole body in pieces of this length. */
static int unmask(const char *coding, const uint8_t *body, size_t len, size_t step)
{
	struct unmask *u = NULL;
	bool decodes = false;
	int r = unmask_create(redact, coding, take, NULL, &decodes, &u);

	got_len = counted = 0;
	assert_int_equal(r, 0);
	assert_true(decodes);
	for (size_t at = 0; r == 0 && at < len; at += step)
		r = unmask_take(u, body + at, MIN(step, len - at));
	if (r == 0)
		r = unmask_end(u);
	unmask_destroy(u);
	return r;
}

static void a_secret_in_any_coding(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 7, 100, BODY_MAX };
	size_t len = 0;

	(void)state;
	for (unsigned int i = 1; i <= 400; i++)
		len += (size_t)snprintf((char *)plain + len, sizeof(plain) - len, "%u %s\n",
			i * 2654435761u, i % 7 ? "nothing of note" : SECRET);
	for (size_t c = 0; c < ARRAY_SIZE(codings); c++) {
		size_t size = codings[c].pack(plain, len, packed);

		assert_true(size < len);
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			assert_int_equal(unmask(codings[c].name, packed, size, steps[s]), 0);
			assert_int_equal(got_len, len);
			assert_null(memmem(got, got_len, SECRET, strlen(SECRET)));
			assert_memory_equal(got, plain, 10);
			assert_memory_equal(got + len - 8, plain + len - 8, 8);
		}
	}
}

static void what_is_cut_or_wrong_is_an_error(void **state)
{
	size_t len = strlen(SECRET SECRET SECRET);

	(void)state;
	memcpy(plain, SECRET SECRET SECRET, len);
	for (size_t c = 0; c < ARRAY_SIZE(codings); c++) {
		size_t size = codings[c].pack(plain, len, packed);

		for (size_t cut = 1; cut < size; cut++)
			assert_int_equal(unmask(codings[c].name, packed, cut, 5), -EPROTO);
		/* What follows an end is no part of it, in one piece or in its own. */
		memcpy(packed + size, "what follows", 12);
		assert_int_equal(unmask(codings[c].name, packed, size + 12, BODY_MAX), -EPROTO);
		assert_int_equal(unmask(codings[c].name, packed, size + 12, size), -EPROTO);
		memset(packed, 0xff, 100);
		assert_int_equal(unmask(codings[c].name, packed, 100, 100), -EPROTO);
		assert_int_equal(unmask(codings[c].name, packed, 0, 1), 0);
		assert_int_equal(got_len, 0);
	}
	assert_int_equal(unmask_create(redact, "compress", take, NULL, &(bool){ false },
				 &(struct unmask *){ NULL }),
		-EOPNOTSUPP);
}

/* E11: 64 MiB of nothing. */
static void bombs_are_left_alone(void **state)
{
	BrotliEncoderState *e = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	size_t left = 64u << 20, room = sizeof(packed), in;
	uint8_t *out = packed;
	const uint8_t *next;

	(void)state;
	memset(plain, 0, sizeof(plain));
	BrotliEncoderSetParameter(e, BROTLI_PARAM_QUALITY, 5);
	for (; left; left -= sizeof(plain)) {
		in = sizeof(plain);
		next = plain;
		assert_true(BrotliEncoderCompressStream(
			e, BROTLI_OPERATION_PROCESS, &in, &next, &room, &out, NULL));
		assert_int_equal(in, 0);
	}
	assert_true(BrotliEncoderCompressStream(
		e, BROTLI_OPERATION_FINISH, &in, &next, &room, &out, NULL));
	BrotliEncoderDestroyInstance(e);
	assert_int_equal(unmask("br", packed, sizeof(packed) - room, 100), -E2BIG);
	assert_true(counted < 1u << 20);
}

/* len bytes that no coding makes smaller, by a window of so many bits. */
static int through_window(uint32_t bits, bool large, size_t len)
{
	BrotliEncoderState *e = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	uint8_t *text = malloc(len), *body = malloc(len + 65536), *out = body;
	const uint8_t *next = text;
	size_t in = len, room = len + 65536;
	int r;

	assert_true(text && body);
	srandom(1);
	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)(random() >> 7);
	BrotliEncoderSetParameter(e, BROTLI_PARAM_QUALITY, large ? 5 : 2);
	BrotliEncoderSetParameter(e, BROTLI_PARAM_LARGE_WINDOW, large);
	BrotliEncoderSetParameter(e, BROTLI_PARAM_LGWIN, bits);
	assert_true(BrotliEncoderCompressStream(
		e, BROTLI_OPERATION_FINISH, &in, &next, &room, &out, NULL));
	assert_true(BrotliEncoderIsFinished(e));
	r = unmask("br", body, len + 65536 - room, 16384);
	BrotliEncoderDestroyInstance(e);
	free(text);
	free(body);
	return r;
}

static void windows_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(through_window(23, false, 20u << 20), 0);
	assert_int_equal(counted, 20u << 20);
	/* 16 MiB, said and needed; and said alone. */
	assert_int_equal(through_window(24, false, 20u << 20), -EPROTO);
	assert_int_equal(through_window(24, false, 1u << 20), 0);
	assert_int_equal(through_window(28, true, 1u << 20), -EPROTO);
}

static int make_redact(void **state)
{
	(void)state;
	return redact_create((const uint8_t *)SECRET, strlen(SECRET), &redact);
}

static int destroy_redact(void **state)
{
	(void)state;
	redact_destroy(redact);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_in_any_coding),
		cmocka_unit_test(what_is_cut_or_wrong_is_an_error),
		cmocka_unit_test(bombs_are_left_alone),
		cmocka_unit_test(windows_are_bounded),
	};

	return cmocka_run_group_tests(tests, make_redact, destroy_redact);
}
