/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/h1_body.h"

#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"
#include "vsock-proxy/fields.h"

/* RFC 9112, section 7.1: where in a chunked body the next byte stands. */
enum { SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, DONE };

static void body_init(struct h1_body *ret, enum h1_body_kind kind, uint64_t left)
{
	ret->kind = kind;
	ret->left = left;
	ret->state = SIZE;
	ret->digits = 0;
	ret->trailer_len = 0;
	h1_scan_init(&ret->scan, H1_TRAILER_MAX);
}

static void body_by_length(
	struct h1_body *ret, const struct h1_length *length, enum h1_body_kind otherwise)
{
	if (length->chunked)
		body_init(ret, H1_BODY_CHUNKED, 0);
	else if (length->known)
		body_init(ret, H1_BODY_LENGTH, length->length);
	else
		body_init(ret, otherwise, 0);
}

static bool says_body(const struct h1_length *length)
{
	return length->chunked || (length->known && length->length > 0);
}

enum h1_error h1_body_of_request(const struct h1_request *request, struct h1_body *ret)
{
	if (request->form == H1_AUTHORITY) {
		if (says_body(&request->length))
			return H1_FRAMING;
		body_init(ret, H1_BODY_NONE, 0);
		return H1_OK;
	}
	body_by_length(ret, &request->length, H1_BODY_NONE);
	return H1_OK;
}

enum h1_error h1_body_of_response(
	const struct h1_response *response, const char *method, struct h1_body *ret)
{
	bool connected = strcmp(method, "CONNECT") == 0 && response->status / 100 == 2;
	bool bodiless = response->status / 100 == 1 || response->status == 204 || connected;

	if (bodiless && says_body(&response->length))
		return H1_FRAMING;
	if (connected || response->status == 101)
		body_init(ret, H1_BODY_TUNNEL, 0);
	else if (bodiless || response->status == 304 || strcmp(method, "HEAD") == 0)
		body_init(ret, H1_BODY_NONE, 0);
	else
		body_by_length(ret, &response->length, H1_BODY_UNTIL_CLOSE);
	return H1_OK;
}

bool h1_body_done(const struct h1_body *body)
{
	switch (body->kind) {
	case H1_BODY_NONE:
		return true;
	case H1_BODY_LENGTH:
		return body->left == 0;
	case H1_BODY_CHUNKED:
		return body->state == DONE;
	case H1_BODY_UNTIL_CLOSE:
	case H1_BODY_TUNNEL:
		break;
	}
	return false;
}

static enum h1_error take_size(struct h1_body *body, char c)
{
	int value = parse_hex_digit(c);

	if (value < 0) {
		if (c != '\r' || !body->digits)
			return H1_CHUNK;
		body->state = SIZE_LF;
		return H1_OK;
	}
	if (++body->digits > H1_CHUNK_DIGITS_MAX || body->left > INT64_MAX >> 4)
		return H1_CHUNK;
	body->left = body->left << 4 | (uint64_t)value;
	return H1_OK;
}

/* A byte that has to be this one; then the next state. */
static enum h1_error take_one(struct h1_body *body, char c, char wanted, int next)
{
	if (c != wanted)
		return H1_CHUNK;
	body->state = next;
	return H1_OK;
}

/* The bytes between chunks, one by one. */
static enum h1_error take_frame(struct h1_body *body, char c)
{
	switch (body->state) {
	case SIZE:
		return take_size(body, c);
	case SIZE_LF:
		return take_one(body, c, '\n', body->left ? DATA : TRAILERS);
	case DATA_CR:
		return take_one(body, c, '\r', DATA_LF);
	case DATA_LF:
		body->digits = 0;
		return take_one(body, c, '\n', SIZE);
	default:
		return H1_CHUNK;
	}
}

static enum h1_error take_trailers(struct h1_body *body, const char *in, size_t len, size_t *used)
{
	size_t old = body->trailer_len, end;
	size_t part = MIN(len, sizeof(body->trailer) - old);
	enum h1_error error;

	memcpy(body->trailer + old, in, part);
	error = h1_scan(&body->scan, body->trailer, old + part, &end);
	if (error)
		return error;
	if (!end && part < len)
		return H1_TOO_LARGE;
	if (end)
		body->state = DONE;
	body->trailer_len = end ? end : old + part;
	*used += body->trailer_len - old;
	return H1_OK;
}

/* Bytes of the body itself, at the front of the input. */
static size_t take_data(struct h1_body *body, size_t len)
{
	size_t part = (size_t)MIN((uint64_t)len, body->left);

	body->left -= part;
	if (body->kind == H1_BODY_CHUNKED && !body->left)
		body->state = DATA_CR;
	return part;
}

static enum h1_error take_chunked(struct h1_body *body, const char *in, size_t len, size_t *used,
	const char **ret_data, size_t *ret_data_len)
{
	while (*used < len && body->state != DONE) {
		enum h1_error error;

		if (body->state == DATA) {
			*ret_data = in + *used;
			*ret_data_len = take_data(body, len - *used);
			*used += *ret_data_len;
			return H1_OK;
		}
		if (body->state == TRAILERS)
			return take_trailers(body, in + *used, len - *used, used);
		error = take_frame(body, in[*used]);
		if (error)
			return error;
		++*used;
	}
	return H1_OK;
}

enum h1_error h1_body_take(struct h1_body *body, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_data_len)
{
	*ret_used = 0;
	*ret_data = in;
	*ret_data_len = 0;
	switch (body->kind) {
	case H1_BODY_NONE:
		return H1_OK;
	case H1_BODY_LENGTH:
		*ret_used = *ret_data_len = take_data(body, len);
		return H1_OK;
	case H1_BODY_CHUNKED:
		return take_chunked(body, in, len, ret_used, ret_data, ret_data_len);
	case H1_BODY_UNTIL_CLOSE:
	case H1_BODY_TUNNEL:
		*ret_used = *ret_data_len = len;
		return H1_OK;
	}
	return H1_FRAMING;
}

enum h1_error h1_body_trailers(struct h1_body *body, struct record_fields *ret)
{
	enum h1_error error;

	ret->count = 0;
	if (body->kind != H1_BODY_CHUNKED || body->state != DONE)
		return H1_OK;
	error = h1_fields_parse(body->trailer, body->trailer_len, ret);
	for (size_t i = 0; !error && i < ret->count; i++)
		if (!field_name_in_trailers(ret->list[i].name))
			error = H1_TRAILER;
	return error;
}
