/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a client says first on a TLS connection, before anybody answers: the name it asks for (RFC 6066, section 3) and the
 * protocols it offers (RFC 7301), out of a ClientHello (RFC 8446, sections 4.1.2, 4.2 and 5.1) over as many records as the
 * client likes. The bytes are only looked at; the TLS server, or the upstream of an opaque rule, gets them all.
 *
 * Strict, since whoever reads the bytes after us must not find another name: lengths that don't add up, an extension twice,
 * more than one name, a name that is no host name, records of other types between, anything behind the message in its last
 * record: malformed. Each byte is looked at once however small the pieces. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_MAX	    (16u << 10) /* bytes of the message */
#define CLIENT_HELLO_RECORDS_MAX    64 /* records it may come in */
#define CLIENT_HELLO_EXTENSIONS_MAX 64
#define CLIENT_HELLO_NAME_MAX	    255

enum client_hello_result {
	CLIENT_HELLO_MORE = 0, /* not whole yet */
	CLIENT_HELLO_NAMED = 1, /* with an SNI */
	CLIENT_HELLO_UNNAMED = 2, /* without one */
	CLIENT_HELLO_NOT_TLS = 3, /* does not begin like a handshake of TLS */
	CLIENT_HELLO_MALFORMED = 4,
};

/* Zeroed at first. */
struct client_hello {
	/* Of CLIENT_HELLO_NAMED: as it came, NUL and all. policy_host_parse() judges it. */
	const char *name;
	size_t name_len;
	bool alpn, alpn_h2, alpn_http1; /* some; `h2`; `http/1.1` */
	bool ech; /* an encrypted one came along. It is never opened nor sent on: the outer name decides (E4) */

	/* private: how far it was read */
	size_t at, record_left;
	unsigned int records;
	size_t len;
	enum client_hello_result result;
	uint8_t message[CLIENT_HELLO_MAX];
};

/* bytes: all that came on this connection so far. Once it is not CLIENT_HELLO_MORE it stays what it is. */
enum client_hello_result client_hello_peek(
	struct client_hello *hello, const uint8_t *bytes, size_t len);
