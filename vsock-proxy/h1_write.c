/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h1_write.h"

#include <string.h>

#include "vsock-proxy/fields.h"

static void put(struct bytes_writer *w, const char *text)
{
	bytes_put(w, text, strlen(text));
}

static bool target_valid(const char *target)
{
	for (const char *p = target; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return false;
	return *target != '\0';
}

/* And the empty line. */
static void put_fields(struct bytes_writer *w, const struct record_fields *fields)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct record_field *field = &fields->list[i];

		if (!field_name_valid(field->name) || !field_value_valid(field->value)) {
			w->failed = true;
			return;
		}
		put(w, field->name);
		put(w, ": ");
		put(w, field->value);
		put(w, "\r\n");
	}
	put(w, "\r\n");
}

void h1_write_request(struct bytes_writer *w, const char *method, const char *target,
	const struct record_fields *fields)
{
	if (!field_token_valid(method, RECORD_METHOD_MAX) || !target_valid(target)) {
		w->failed = true;
		return;
	}
	put(w, method);
	put(w, " ");
	put(w, target);
	put(w, " HTTP/1.1\r\n");
	put_fields(w, fields);
}

void h1_write_response(
	struct bytes_writer *w, unsigned int status, const struct record_fields *fields)
{
	const char digits[] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
		(char)('0' + status % 10), '\0' };

	if (status < 100 || status > 599) {
		w->failed = true;
		return;
	}
	put(w, "HTTP/1.1 ");
	put(w, digits);
	put(w, " \r\n");
	put_fields(w, fields);
}

void h1_write_chunk_head(struct bytes_writer *w, uint64_t len)
{
	char digits[17];
	size_t at = sizeof(digits) - 1;

	if (!len) {
		w->failed = true; /* that would be the last one */
		return;
	}
	digits[at] = '\0';
	for (; len; len >>= 4)
		digits[--at] = "0123456789abcdef"[len & 15];
	put(w, digits + at);
	put(w, "\r\n");
}

void h1_write_chunk_end(struct bytes_writer *w)
{
	put(w, "\r\n");
}

void h1_write_last_chunk(struct bytes_writer *w, const struct record_fields *trailers)
{
	static const struct record_fields none;

	put(w, "0\r\n");
	put_fields(w, trailers ? trailers : &none);
}
