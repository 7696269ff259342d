/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/client_hello.h"

#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

#define RECORD_HEAD	 5
#define RECORD_HANDSHAKE 22
#define RECORD_LEN_MAX	 (1u << 14)
#define MESSAGE_HEAD	 4
#define MESSAGE_HELLO	 1
#define RANDOM_LEN	 32
#define SESSION_ID_MAX	 32

enum { EXTENSION_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_ECH = 0xfe0d, EXTENSION_ESNI = 0xffce };

/* A number in network order of size bytes, at most 3. */
static uint32_t get_number(struct bytes_reader *r, size_t size)
{
	const uint8_t *p = bytes_get(r, size);
	uint32_t value = 0;

	for (size_t i = 0; p && i < size; i++)
		value = value << 8 | p[i];
	return value;
}

/* A vector (RFC 8446, section 3.4): its length in size bytes, then that many. */
static struct bytes_reader get_vector(struct bytes_reader *r, size_t size)
{
	uint32_t len = get_number(r, size);
	const uint8_t *data = bytes_get(r, len);

	return data ? bytes_reader(data, len) : (struct bytes_reader){ .failed = true };
}

/* RFC 6066, section 3. One name, of the one type there is. */
static bool read_name(struct client_hello *hello, struct bytes_reader *r)
{
	struct bytes_reader list = get_vector(r, 2);
	uint32_t type = get_number(&list, 1);
	struct bytes_reader name = get_vector(&list, 2);

	if (!bytes_done(r) || !bytes_done(&list) || name.failed || type != 0 || !name.size ||
		name.size > CLIENT_HELLO_NAME_MAX)
		return false;
	hello->name = (const char *)name.data;
	hello->name_len = name.size;
	return true;
}

static bool is_protocol(const struct bytes_reader *name, const char *text)
{
	return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

/* RFC 7301, section 3.1 */
static bool read_alpn(struct client_hello *hello, struct bytes_reader *r)
{
	struct bytes_reader list = get_vector(r, 2);

	if (!bytes_done(r) || !bytes_left(&list))
		return false;
	while (bytes_left(&list)) {
		struct bytes_reader name = get_vector(&list, 1);

		if (name.failed || !name.size)
			return false;
		hello->alpn_h2 |= is_protocol(&name, "h2");
		hello->alpn_http1 |= is_protocol(&name, "http/1.1");
	}
	hello->alpn = true;
	return !list.failed;
}

static bool read_extension(struct client_hello *hello, uint32_t type, struct bytes_reader *body)
{
	if (type == EXTENSION_NAME)
		return read_name(hello, body);
	if (type == EXTENSION_ALPN)
		return read_alpn(hello, body);
	if (type == EXTENSION_ECH || type == EXTENSION_ESNI)
		hello->ech = true;
	return true;
}

/* Section 4.2: no type twice. */
static bool read_extensions(struct client_hello *hello, struct bytes_reader *r)
{
	uint32_t seen[CLIENT_HELLO_EXTENSIONS_MAX];
	size_t count = 0;

	while (bytes_left(r)) {
		uint32_t type = get_number(r, 2);
		struct bytes_reader body = get_vector(r, 2);

		if (body.failed || count == ARRAY_SIZE(seen))
			return false;
		for (size_t i = 0; i < count; i++)
			if (seen[i] == type)
				return false;
		seen[count++] = type;
		if (!read_extension(hello, type, &body))
			return false;
	}
	return !r->failed;
}

/* Section 4.1.2, the message behind its head. Before TLS 1.2 extensions may be missing altogether. */
static bool read_hello(struct client_hello *hello, struct bytes_reader *r)
{
	uint32_t version = get_number(r, 2);
	const uint8_t *random = bytes_get(r, RANDOM_LEN);
	struct bytes_reader session = get_vector(r, 1);
	struct bytes_reader ciphers = get_vector(r, 2);
	struct bytes_reader compressions = get_vector(r, 1);
	struct bytes_reader extensions;

	if (r->failed || !random || version >> 8 != 3 || session.size > SESSION_ID_MAX ||
		!ciphers.size || ciphers.size % 2 || !compressions.size ||
		!memchr(compressions.data, 0, compressions.size))
		return false;
	if (bytes_done(r))
		return true;
	extensions = get_vector(r, 2);
	return bytes_done(r) && read_extensions(hello, &extensions);
}

/* Whether all of the message is here, by its own head. */
static bool is_whole(const struct client_hello *hello, size_t *ret_len)
{
	const uint8_t *m = hello->message;

	if (hello->len < MESSAGE_HEAD)
		return false;
	*ret_len = MESSAGE_HEAD + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
	return hello->len >= *ret_len;
}

/* After each piece of a record: what is to be said of the message so far. */
static enum client_hello_result judge(struct client_hello *hello)
{
	struct bytes_reader r;
	size_t len = 0;

	if (hello->len && hello->message[0] != MESSAGE_HELLO)
		return CLIENT_HELLO_MALFORMED;
	if (!is_whole(hello, &len))
		return len > CLIENT_HELLO_MAX ? CLIENT_HELLO_MALFORMED : CLIENT_HELLO_MORE;
	if (hello->len > len || hello->record_left)
		return CLIENT_HELLO_MALFORMED;
	r = bytes_reader(hello->message + MESSAGE_HEAD, len - MESSAGE_HEAD);
	if (!read_hello(hello, &r))
		return CLIENT_HELLO_MALFORMED;
	return hello->name ? CLIENT_HELLO_NAMED : CLIENT_HELLO_UNNAMED;
}

/* Section 5.1. A client's first bytes are wrong as early as they can be; one that began well is malformed. */
static enum client_hello_result take_record_head(
	struct client_hello *hello, const uint8_t *head, size_t len)
{
	enum client_hello_result wrong =
		hello->records ? CLIENT_HELLO_MALFORMED : CLIENT_HELLO_NOT_TLS;

	if (head[0] != RECORD_HANDSHAKE || (len > 1 && head[1] != 3))
		return wrong;
	if (len < RECORD_HEAD)
		return CLIENT_HELLO_MORE;
	hello->record_left = (size_t)head[3] << 8 | head[4];
	if (head[2] > 4 || !hello->record_left || hello->record_left > RECORD_LEN_MAX ||
		++hello->records > CLIENT_HELLO_RECORDS_MAX)
		return CLIENT_HELLO_MALFORMED;
	hello->at += RECORD_HEAD;
	return CLIENT_HELLO_MORE;
}

static enum client_hello_result take_piece(
	struct client_hello *hello, const uint8_t *bytes, size_t len)
{
	size_t part = MIN(len, hello->record_left);

	if (part > sizeof(hello->message) - hello->len)
		return CLIENT_HELLO_MALFORMED;
	memcpy(hello->message + hello->len, bytes, part);
	hello->len += part;
	hello->record_left -= part;
	hello->at += part;
	return judge(hello);
}

enum client_hello_result client_hello_peek(
	struct client_hello *hello, const uint8_t *bytes, size_t len)
{
	while (hello->result == CLIENT_HELLO_MORE && hello->at < len) {
		size_t before = hello->at;

		if (hello->record_left)
			hello->result = take_piece(hello, bytes + before, len - before);
		else
			hello->result = take_record_head(hello, bytes + before, len - before);
		if (hello->at == before)
			break; /* half a record's head */
	}
	return hello->result;
}
