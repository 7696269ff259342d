/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/java_store.h"

#include <stdio.h>
#include <string.h>

#include "guest-agent/egress/network_order.h"
#include "guest-agent/sha1.h"

#define MAGIC	0xfeedfeedu
#define VERSION 2
#define TRUSTED 2 /* kind of entry */
#define BEGIN	"-----BEGIN CERTIFICATE-----"
#define END	"-----END CERTIFICATE-----"

static void put_utf(struct bytes_writer *w, const char *text)
{
	put_be16(w, (uint16_t)strlen(text));
	bytes_put(w, text, strlen(text));
}

/* -1: no digit, and nothing that stands between them. */
static int digit_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Base64 (RFC 4648) with line ends. False where it is none. */
static bool put_decoded(struct bytes_writer *w, const char *text, size_t len)
{
	uint32_t bits = 0;
	unsigned int digits = 0, fill = 0;

	for (size_t i = 0; i < len; i++) {
		int digit = digit_of(text[i]);

		if (text[i] == '\n' || text[i] == '\r' || text[i] == ' ')
			continue;
		if (text[i] == '=') {
			fill++;
			continue;
		}
		if (digit < 0 || fill)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		if (++digits % 4 == 0)
			bytes_put(w,
				(const uint8_t[]){ (uint8_t)(bits >> 16), (uint8_t)(bits >> 8),
					(uint8_t)bits },
				3);
	}
	if (digits % 4 == 2)
		bytes_put_u8(w, (uint8_t)(bits >> 4));
	if (digits % 4 == 3)
		bytes_put(w, (const uint8_t[]){ (uint8_t)(bits >> 10), (uint8_t)(bits >> 2) }, 2);
	return digits && digits % 4 != 1 && (digits + fill) % 4 == 0;
}

/* False, and nothing written, where the text is no certificate's. */
static bool put_entry(struct bytes_writer *w, unsigned int number, const char *text, size_t len)
{
	size_t start = w->offset, size_at, size;
	struct bytes_writer at_size;
	char alias[32];

	snprintf(alias, sizeof(alias), "sandbox-%u", number);
	put_be32(w, TRUSTED);
	put_utf(w, alias);
	put_be32(w, 0); /* the time it was added: 1970 */
	put_be32(w, 0);
	put_utf(w, "X.509");
	size_at = w->offset;
	put_be32(w, 0);
	if (!put_decoded(w, text, len)) {
		w->offset = start;
		return false;
	}
	size = w->offset - size_at - 4;
	at_size = bytes_writer(w->data + size_at, 4);
	if (!w->failed)
		put_be32(&at_size, (uint32_t)size);
	return true;
}

static unsigned int put_entries(struct bytes_writer *w, const char *pem, size_t pem_len)
{
	const char *end = pem + pem_len, *at = pem;
	unsigned int count = 0;

	for (;;) {
		const char *from = memmem(at, (size_t)(end - at), BEGIN, strlen(BEGIN)), *to;

		if (!from)
			return count;
		from += strlen(BEGIN);
		to = memmem(from, (size_t)(end - from), END, strlen(END));
		if (!to)
			return count;
		count += put_entry(w, count, from, (size_t)(to - from));
		at = to + strlen(END);
		if (count > JAVA_STORE_CERTIFICATES_MAX)
			w->failed = true;
		if (w->failed)
			return 0;
	}
}

/* Over the password in UTF-16, words that the format has, and all that stands before. */
static void put_digest(struct bytes_writer *w)
{
	static const char password[] = "\0c\0h\0a\0n\0g\0e\0i\0t", words[] = "Mighty Aphrodite";
	uint8_t digest[SHA1_SIZE];
	struct sha1 sha1;

	sha1_init(&sha1);
	sha1_add(&sha1, password, sizeof(password) - 1);
	sha1_add(&sha1, words, sizeof(words) - 1);
	sha1_add(&sha1, w->data, w->offset);
	sha1_finish(&sha1, digest);
	bytes_put(w, digest, sizeof(digest));
}

size_t java_store_make(const char *pem, size_t pem_len, void *out, size_t size)
{
	struct bytes_writer w = bytes_writer(out, size), at_count;
	unsigned int count;

	put_be32(&w, MAGIC);
	put_be32(&w, VERSION);
	at_count = w;
	put_be32(&w, 0);
	count = w.failed ? 0 : put_entries(&w, pem, pem_len);
	if (!count || w.failed)
		return 0;
	put_be32(&at_count, count);
	put_digest(&w);
	return w.failed ? 0 : w.offset;
}
