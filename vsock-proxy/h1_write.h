/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writes HTTP/1.1 heads and chunk frames. Nothing is escaped or repaired: a method, target, name or value that could end
 * a line or a word fails the writer (its `failed`), and so does want of room; nothing of that head is to be sent then.
 * What is written, h1_request_parse() and h1_response_parse() read back as the same. Pure.
 */
#include <stdint.h>

#include "vmm/base/bytes.h"
#include "vsock-proxy/record.h"

#define H1_CHUNK_HEAD_MAX 18 /* bytes of h1_write_chunk_head() */

void h1_write_request(struct bytes_writer *w, const char *method, const char *target,
	const struct record_fields *fields);
/* status: 100..599. The reason is left empty: nobody may act on it (RFC 9112, section 4). */
void h1_write_response(
	struct bytes_writer *w, unsigned int status, const struct record_fields *fields);
/* Before len bytes of a chunk, len > 0; after them comes h1_write_chunk_end(). */
void h1_write_chunk_head(struct bytes_writer *w, uint64_t len);
void h1_write_chunk_end(struct bytes_writer *w);
/* The last chunk, with trailers or NULL. */
void h1_write_last_chunk(struct bytes_writer *w, const struct record_fields *trailers);
