/* SPDX-License-Identifier: Apache-2.0 */
/* The first message of a TLS client: one name, none, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/client_hello.h"

#define NAMED	  CLIENT_HELLO_NAMED
#define UNNAMED	  CLIENT_HELLO_UNNAMED
#define MALFORMED CLIENT_HELLO_MALFORMED

struct text {
	uint8_t bytes[2 * CLIENT_HELLO_MAX];
	size_t len;
};

static struct client_hello hello;

static void put(struct text *t, const void *bytes, size_t len)
{
	assert_true(len <= sizeof(t->bytes) - t->len);
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void put_number(struct text *t, size_t value, size_t size)
{
	for (; size; size--)
		put(t, &(uint8_t){ (uint8_t)(value >> (8 * (size - 1))) }, 1);
}

/* A ClientHello with these bytes as its extensions, without record heads. */
static struct text message_of(const void *extensions, size_t len)
{
	static const uint8_t random[32] = { 1, 2, 3 };
	struct text t = {};
	size_t size;

	put(&t, "\x01\0\0\0\x03\x03", 6);
	put(&t, random, sizeof(random));
	put(&t, "\0\0\x02\x13\x01\x01\0", 7);
	put_number(&t, len, 2);
	put(&t, extensions, len);
	size = t.len - 4;
	t.bytes[1] = (uint8_t)(size >> 16);
	t.bytes[2] = (uint8_t)(size >> 8);
	t.bytes[3] = (uint8_t)size;
	return t;
}

/* In records of step bytes. */
static struct text records_of(const struct text *message, size_t step)
{
	struct text t = {};

	for (size_t at = 0; at < message->len; at += step) {
		size_t part = MIN(step, message->len - at);

		put(&t, "\x16\x03\x01", 3);
		put_number(&t, part, 2);
		put(&t, message->bytes + at, part);
	}
	return t;
}

static enum client_hello_result peek(const struct text *t, size_t step)
{
	enum client_hello_result r = CLIENT_HELLO_MORE;

	memset(&hello, 0, sizeof(hello));
	for (size_t len = 0; len < t->len;) {
		len += MIN(step, t->len - len);
		r = client_hello_peek(&hello, t->bytes, len);
	}
	return r;
}

#define A_EXAMPLE                                                                                  \
	"\0\0\0\x0e\0\x0c\0\0\x09"                                                                 \
	"a.example"

static void test_extensions(void **state)
{
#define CASE(text, result)                                                                         \
	{                                                                                          \
		text, sizeof(text) - 1, result                                                     \
	}
	static const struct {
		const char *extensions;
		size_t len;
		enum client_hello_result result;
	} cases[] = {
		CASE("", UNNAMED),
		CASE(A_EXAMPLE, NAMED),
		CASE(A_EXAMPLE "\0\x17\0\0", NAMED),
		CASE("\0\x17\0\0" A_EXAMPLE, NAMED),
		CASE("\0\x17\0\0", UNNAMED),
		CASE(A_EXAMPLE A_EXAMPLE, MALFORMED),
		CASE(A_EXAMPLE "\0\x17\0\0\0\x17\0\0", MALFORMED),
		CASE("\0\0\0\0", MALFORMED), /* an empty extension is a server's */
		CASE("\0\0\0\x02\0\0", MALFORMED), /* an empty list */
		CASE("\0\0\0\x05\0\x03\0\0\0", MALFORMED), /* an empty name */
		CASE("\0\0\0\x06\0\x04\x01\0\x01"
		     "a",
			MALFORMED), /* another type of name */
		CASE("\0\0\0\x0a\0\x08\0\0\x01"
		     "a\0\0\x01"
		     "b",
			MALFORMED), /* two */
		CASE("\0\0\0\x07\0\x04\0\0\x01"
		     "a\0",
			MALFORMED), /* something behind the list */
		CASE("\0\0\0\x06\0\x05\0\0\x01"
		     "a",
			MALFORMED), /* a list that is longer than the extension */
		CASE("\0\0\0\x06\0\x04\0\0\x02"
		     "a",
			MALFORMED),
		CASE("\0\0\0\x07\0\x04\0\0\x01"
		     "a",
			MALFORMED),
		CASE("\0\0\0", MALFORMED),
		CASE("\0", MALFORMED),
		/* ALPN */
		CASE(A_EXAMPLE "\0\x10\0\x05\0\x03\x02h2", NAMED),
		CASE(A_EXAMPLE "\0\x10\0\x02\0\0", MALFORMED),
		CASE(A_EXAMPLE "\0\x10\0\0", MALFORMED),
		CASE(A_EXAMPLE "\0\x10\0\x03\0\x01\0", MALFORMED),
		CASE(A_EXAMPLE "\0\x10\0\x05\0\x03\x03h2", MALFORMED),
		CASE(A_EXAMPLE "\0\x10\0\x06\0\x03\x02h2\0", MALFORMED),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text message = message_of(cases[i].extensions, cases[i].len);
		struct text t = records_of(&message, 1 << 14);

		for (size_t step = 1; step <= t.len; step += 1 + step / 4)
			if (peek(&t, step) != cases[i].result)
				fail_msg(
					"case %zu in steps of %zu: %d", i, step, (int)hello.result);
		if (cases[i].result == NAMED) {
			assert_int_equal(hello.name_len, 9);
			assert_memory_equal(hello.name, "a.example", 9);
		}
	}
}

static void test_what_else_is_said(void **state)
{
	static const char alpn[] = A_EXAMPLE "\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1";
	static const char other[] = A_EXAMPLE "\0\x10\0\x05\0\x03\x02h3";
	static const char ech[] = A_EXAMPLE "\xfe\x0d\0\x01x";
	struct text message, t;

	(void)state;
	message = message_of(alpn, sizeof(alpn) - 1);
	t = records_of(&message, 1000);
	assert_int_equal(peek(&t, t.len), NAMED);
	assert_true(hello.alpn && hello.alpn_h2 && hello.alpn_http1 && !hello.ech);
	message = message_of(other, sizeof(other) - 1);
	t = records_of(&message, 1000);
	assert_int_equal(peek(&t, t.len), NAMED);
	assert_true(hello.alpn && !hello.alpn_h2 && !hello.alpn_http1);
	message = message_of(ech, sizeof(ech) - 1);
	t = records_of(&message, 1000);
	assert_int_equal(peek(&t, t.len), NAMED);
	assert_true(hello.ech && !hello.alpn);
	/* no extensions at all, as before TLS 1.2 */
	message = message_of("", 0);
	message.len -= 2;
	message.bytes[3] = (uint8_t)(message.bytes[3] - 2);
	t = records_of(&message, 1000);
	assert_int_equal(peek(&t, t.len), UNNAMED);
}

/* In any records, and the bytes behind the last one are nobody's business. */
static void test_records(void **state)
{
	struct text message = message_of(A_EXAMPLE, sizeof(A_EXAMPLE) - 1), t;

	(void)state;
	for (size_t step = 1; step < message.len; step++) {
		t = records_of(&message, step);
		assert_int_equal(peek(&t, t.len),
			(message.len + step - 1) / step > CLIENT_HELLO_RECORDS_MAX ? MALFORMED
										   : NAMED);
		assert_int_equal(peek(&t, 1), hello.result);
	}
	t = records_of(&message, 1000);
	for (size_t len = 0; len < t.len; len++) {
		memset(&hello, 0, sizeof(hello));
		assert_int_equal(client_hello_peek(&hello, t.bytes, len), CLIENT_HELLO_MORE);
	}
	put(&t, "\x14\x03\x03", 3);
	assert_int_equal(peek(&t, t.len), NAMED);
	assert_int_equal(peek(&t, 1), NAMED);
	/* the same record goes on behind the message */
	put_number(&message, 0, 1);
	t = records_of(&message, 1000);
	assert_int_equal(peek(&t, t.len), MALFORMED);
	assert_int_equal(peek(&t, 1), MALFORMED);
	/* an alert, and an empty record, between two of them */
	message.len--;
	t = records_of(&message, 30);
	t.bytes[35] = 21;
	assert_int_equal(peek(&t, t.len), MALFORMED);
	t = (struct text){};
	put(&t, "\x16\x03\x01\0\0", 5);
	assert_int_equal(peek(&t, t.len), MALFORMED);
}

static void test_what_is_no_hello(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum client_hello_result result;
	} cases[] = {
		CASE("GET / HTTP/1.1\r\n", CLIENT_HELLO_NOT_TLS),
		CASE("SSH-2.0-x\r\n", CLIENT_HELLO_NOT_TLS),
		CASE("\x80\x2e\x01\x03\x01", CLIENT_HELLO_NOT_TLS), /* SSLv2 */
		CASE("\x16\x02", CLIENT_HELLO_NOT_TLS),
		CASE("\x16\x04", CLIENT_HELLO_NOT_TLS),
		CASE("\x17\x03\x03\0\x05hello", CLIENT_HELLO_NOT_TLS),
		CASE("\x16\x03\x05\0\x05hello", MALFORMED),
		CASE("\x16\x03\x01\x40\x01\x01", MALFORMED), /* a record too long */
		CASE("\x16\x03\x01\0\x04\x02\0\0\0", MALFORMED), /* a ServerHello */
		CASE("\x16\x03\x01\0\x04\x01\0\0\0", MALFORMED), /* nothing in it */
		CASE("\x16\x03\x01\0\x04\x01\0\x40\0", MALFORMED), /* more than may be */
		CASE("\x16\x03\x01\0\x04\x01\xff\xff\xff", MALFORMED),
		CASE("\x16\x03\x01\0\x04\x01\0\x3f\xfc", CLIENT_HELLO_MORE),
		CASE("\x16", CLIENT_HELLO_MORE),
		CASE("", CLIENT_HELLO_MORE),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text t = {};

		put(&t, cases[i].bytes, cases[i].len);
		if (peek(&t, t.len) != cases[i].result || peek(&t, 1) != cases[i].result)
			fail_msg("case %zu: %d", i, (int)hello.result);
	}
}

/* Each fixed part, spoilt. */
static void test_spoilt_parts(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {
		{ 4, 2 }, /* version */
		{ 38, 33 }, /* session id */
		{ 40, 0 }, /* no ciphers */
		{ 40, 1 }, /* half a cipher */
		{ 43, 0 }, /* no compression method */
		{ 44, 1 }, /* not the one that does nothing */
		{ 46, 0xff }, /* extensions longer, and shorter, than the message */
		{ 46, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text message = message_of(A_EXAMPLE, sizeof(A_EXAMPLE) - 1), t;

		message.bytes[cases[i].at] = cases[i].value;
		t = records_of(&message, 1000);
		if (peek(&t, t.len) != MALFORMED)
			fail_msg("byte %zu", cases[i].at);
	}
	/* a session id of as many bytes as may be, and of one more */
	for (size_t len = 32; len <= 33; len++) {
		struct text message = message_of("", 0), t;

		memmove(message.bytes + 39 + len, message.bytes + 39, message.len - 39);
		message.bytes[38] = (uint8_t)len;
		message.len += len;
		message.bytes[3] = (uint8_t)(message.len - 4);
		t = records_of(&message, 1000);
		assert_int_equal(peek(&t, t.len), len == 32 ? UNNAMED : MALFORMED);
	}
}

static void test_caps(void **state)
{
	struct text extensions = {}, message, t;

	(void)state;
	for (size_t i = 0; i < CLIENT_HELLO_EXTENSIONS_MAX; i++)
		put_number(&extensions, (i + 100) << 16, 4);
	message = message_of(extensions.bytes, extensions.len);
	t = records_of(&message, 1 << 14);
	assert_int_equal(peek(&t, t.len), UNNAMED);
	put_number(&extensions, 0xff000000, 4);
	message = message_of(extensions.bytes, extensions.len);
	t = records_of(&message, 1 << 14);
	assert_int_equal(peek(&t, t.len), MALFORMED);
	/* as large as may be, and one byte more */
	extensions.len = 0;
	put_number(&extensions, 21, 2);
	put_number(&extensions, CLIENT_HELLO_MAX - 51, 2);
	memset(extensions.bytes + 4, 0, CLIENT_HELLO_MAX);
	for (size_t more = 0; more < 2; more++) {
		extensions.bytes[3] = (uint8_t)(extensions.bytes[3] + more);
		message = message_of(extensions.bytes, CLIENT_HELLO_MAX - 47 + more);
		t = records_of(&message, 1000);
		assert_int_equal(message.len, CLIENT_HELLO_MAX + more);
		assert_int_equal(peek(&t, t.len), more ? MALFORMED : UNNAMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_what_else_is_said),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_what_is_no_hello),
		cmocka_unit_test(test_spoilt_parts),
		cmocka_unit_test(test_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
