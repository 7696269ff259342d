/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Heads of HTTP/1 messages, read strictly (RFC 9112, RFC 9110): what two servers could read in two ways is refused, never
 * repaired (E10). Theory of operation: h1_scan() says where a head ends; then one of these reads it in place (names are put
 * into lower case, ends become NUL) and gives text that borrows from it. A message that passed has one meaning, since it is
 * written anew from what is in these structs.
 *
 * Refused: lines before the first, HTTP/0.9 and 2.x, more than one blank in the start line, a blank before a colon, folded
 * fields, Host or Content-Length twice (a list of lengths too), both Content-Length and Transfer-Encoding, any coding but
 * `chunked` once, any coding in HTTP/1.0, HTTP/1.1 without a Host, names of framing fields with `_` for `-`. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/h1_scan.h"
#include "vsock-proxy/record.h"

/* What the head says of the body; what follows from that is h1_body.h's. */
struct h1_length {
	bool chunked;
	bool known; /* Content-Length: length */
	uint64_t length; /* at most INT64_MAX */
};

enum h1_form { /* RFC 9112, section 3.2 */
	H1_ORIGIN = 1, /* path, and query or NULL; authority NULL: Host says it */
	H1_ABSOLUTE = 2, /* scheme, authority, path (`/` where it is empty), query */
	H1_AUTHORITY = 3, /* CONNECT, and only that: authority */
	H1_ASTERISK = 4, /* OPTIONS, and only that: path is `*` */
};

struct h1_request {
	const char *method; /* a token of at most RECORD_METHOD_MAX bytes */
	enum h1_form form;
	const char *scheme; /* "http" or "https"; NULL but in H1_ABSOLUTE */
	const char *authority, *path,
		*query; /* visible ASCII without `#`; policy_*_parse() judges them */
	const char *
		host; /* Host's value; NULL: HTTP/1.0 without one. It is for the caller to compare with authority (E4) */
	unsigned int minor; /* HTTP/1.minor: 0 or 1 */
	bool persistent; /* HTTP/1.1, and no `close` */
	struct h1_length length;
	struct record_fields fields; /* all of them */
};

struct h1_response {
	uint16_t status; /* 100..599 */
	unsigned int minor;
	bool persistent;
	struct h1_length length;
	struct record_fields fields;
};

/* head: len bytes, as h1_scan() ended them. H1_OK, or why not; *ret is in no defined state then. */
enum h1_error h1_request_parse(char *head, size_t len, struct h1_request *ret);
enum h1_error h1_response_parse(char *head, size_t len, struct h1_response *ret);
/* Lines of fields up to and with the empty one: a trailer section. Appends to *fields. */
enum h1_error h1_fields_parse(char *lines, size_t len, struct record_fields *fields);
