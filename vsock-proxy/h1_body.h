/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bodies of HTTP/1 messages: where they end (RFC 9112, section 6.3), and their bytes. Strict like the heads: a chunk's size
 * is hexadecimal digits and nothing else (no extensions, no blanks), each line ends in CR LF, a response that cannot have
 * a body may not say that it has one. Streaming: the body's bytes are passed on as they lie in the input; the only memory
 * is this struct's. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/h1_head.h"

#define H1_CHUNK_DIGITS_MAX 16

enum h1_body_kind {
	H1_BODY_NONE = 0,
	H1_BODY_LENGTH = 1,
	H1_BODY_CHUNKED = 2,
	H1_BODY_UNTIL_CLOSE = 3, /* a response only; the connection is good for nothing after it */
	H1_BODY_TUNNEL = 4, /* a 2xx to CONNECT, or a 101: what follows is no HTTP */
};

struct h1_body {
	enum h1_body_kind kind;
	uint64_t left; /* of the body, or of this chunk */
	/* chunked */
	int state;
	unsigned int digits;
	struct h1_scan scan;
	size_t trailer_len;
	char trailer[H1_TRAILER_MAX];
};

/* What comes after this head. A CONNECT may not announce a body: its bytes would be the tunnel's. */
enum h1_error h1_body_of_request(const struct h1_request *request, struct h1_body *ret);
/* method: of the request that this answers. */
enum h1_error h1_body_of_response(
	const struct h1_response *response, const char *method, struct h1_body *ret);

/* Whether all of it was taken; never for H1_BODY_UNTIL_CLOSE and H1_BODY_TUNNEL, which the end of the stream ends. */
bool h1_body_done(const struct h1_body *body);
/*
 * The next piece of input. *ret_used: how much of it was taken, all of it unless the body ended within; *ret_data and
 * *ret_data_len: bytes of the body in it, or none. Call again while input is left and the body is not done.
 */
enum h1_error h1_body_take(struct h1_body *body, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_data_len);
/*
 * The trailers of a chunked body that is done; their text borrows from the body, once. H1_TRAILER: one that may not be there.
 */
enum h1_error h1_body_trailers(struct h1_body *body, struct record_fields *ret);
