/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the three HTTP/1 targets share. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vsock-proxy/fields.h"
#include "vsock-proxy/h1_body.h"
#include "vsock-proxy/h1_write.h"

/* The head's end, the same in one piece and byte by byte; 0: refused, or not whole. */
static inline size_t message_scan(const char *data, size_t size, size_t max)
{
	struct h1_scan whole, pieces;
	size_t end = 0, end_pieces = 0;
	enum h1_error error, error_pieces = H1_OK;

	h1_scan_init(&whole, max);
	h1_scan_init(&pieces, max);
	error = h1_scan(&whole, data, size, &end);
	for (size_t i = 1; i <= size && !error_pieces && !end_pieces; i++)
		error_pieces = h1_scan(&pieces, data, i, &end_pieces);
	if (error != error_pieces || (!error && end != end_pieces) || end > size)
		abort();
	return error ? 0 : end;
}

/* Fields that were read are ones that may be written; stripped, none of what never passes is left. */
static inline void message_check_fields(const struct record_fields *fields)
{
	static struct record_fields stripped;

	for (size_t i = 0; i < fields->count; i++)
		if (!field_name_valid(fields->list[i].name) ||
			!field_value_valid(fields->list[i].value))
			abort();
	stripped = *fields;
	if (!fields_strip(&stripped))
		return;
	for (size_t i = 0; i < stripped.count; i++)
		if (field_name_is(stripped.list[i].name, "connection") ||
			field_name_is(stripped.list[i].name, "content-length") ||
			field_name_is(stripped.list[i].name, "transfer-encoding") ||
			field_name_is(stripped.list[i].name, "host"))
			abort();
}

static inline void message_check_same(const struct record_fields *a, const struct record_fields *b)
{
	if (a->count != b->count)
		abort();
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i].name, b->list[i].name) != 0 ||
			strcmp(a->list[i].value, b->list[i].value) != 0)
			abort();
}

struct message_taken {
	enum h1_error error;
	size_t used, len; /* of the input; of the body */
	unsigned long sum; /* over the body's bytes in their order */
	bool done;
};

static inline struct message_taken message_take(
	struct h1_body *body, const char *in, size_t len, size_t step)
{
	struct message_taken taken = {};

	while (taken.used < len && !h1_body_done(body)) {
		size_t part = len - taken.used < step ? len - taken.used : step, used, data_len;
		const char *data;

		taken.error = h1_body_take(body, in + taken.used, part, &used, &data, &data_len);
		if (taken.error)
			break;
		if (!used || used > part || data_len > used || (data_len && data < in))
			abort();
		for (size_t i = 0; i < data_len; i++)
			taken.sum = taken.sum * 31 + (unsigned char)data[i];
		taken.len += data_len;
		taken.used += used;
	}
	taken.done = h1_body_done(body);
	return taken;
}

/* A body is the same in one piece and in small ones. body: fresh. */
static inline void message_check_body(const struct h1_body *body, const char *in, size_t len)
{
	static struct h1_body whole, pieces;
	static struct record_fields trailers;
	struct message_taken a, b;

	for (size_t step = 1; step <= 7; step += 3) {
		whole = *body;
		pieces = *body;
		a = message_take(&whole, in, len, len);
		b = message_take(&pieces, in, len, step);
		if (a.error != b.error || a.done != b.done)
			abort();
		if (!a.error && (a.used != b.used || a.len != b.len || a.sum != b.sum))
			abort();
	}
	if (!a.error && a.done && h1_body_trailers(&whole, &trailers) == H1_OK)
		message_check_fields(&trailers);
}
