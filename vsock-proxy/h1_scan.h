/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where a head or a trailer section of HTTP/1 ends: lines that each end in CR LF (RFC 9112, section 2.2; a bare LF or CR is
 * refused), the last one empty. Each byte is looked at once however small the pieces, and what can't become a section is
 * refused at the byte that says so. Pure.
 */
#include <stddef.h>

#define H1_LINE_MAX    (16u << 10) /* bytes of a line, CR LF not counted */
#define H1_HEAD_MAX    (64u << 10) /* bytes of a head, all counted */
#define H1_TRAILER_MAX (8u << 10)
#define H1_LINES_MAX   129 /* the first line and RECORD_FIELDS_MAX fields */

enum h1_error {
	H1_OK = 0,
	H1_LINE_END, /* a CR or LF that is not part of CR LF */
	H1_CONTROL, /* NUL or another control character */
	H1_TOO_LARGE, /* a line, or the whole */
	H1_TOO_MANY, /* fields */
	H1_START_LINE, /* not three parts with one blank between them */
	H1_METHOD,
	H1_TARGET,
	H1_VERSION,
	H1_STATUS,
	H1_FIELD, /* no colon, no token before it, or a blank before it */
	H1_FOLD, /* a field that goes on in the next line */
	H1_HOST, /* none in HTTP/1.1, or two */
	H1_LENGTH, /* Content-Length that is no number, or twice */
	H1_CODING, /* Transfer-Encoding that is not `chunked` once, in HTTP/1.1 */
	H1_BOTH, /* both of them */
	H1_FRAMING, /* a body where there can be none */
	H1_CHUNK, /* a chunk's size or end */
	H1_TRAILER, /* a field that may not stand in trailers */
	H1_ERRORS
};

/* For logs and denials. Never NULL. */
const char *h1_error_text(enum h1_error error);
/* The status that a server answers with (RFC 9110, section 15.5). */
int h1_error_status(enum h1_error error);

struct h1_scan {
	size_t at, line; /* looked at so far; where this line began */
	size_t max;
	unsigned int lines;
};

/* max: H1_HEAD_MAX or H1_TRAILER_MAX. */
void h1_scan_init(struct h1_scan *scan, size_t max);
/*
 * bytes: all of it so far. H1_OK with *ret_end the section's length, its empty line counted, or 0: more is needed.
 */
enum h1_error h1_scan(struct h1_scan *scan, const char *bytes, size_t len, size_t *ret_end);
