/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: cut anywhere they are the same, and what was taken is taken again, as the same, when it is written anew. */
#include <stdint.h>
#include <stdio.h>

#include "tests/fuzz/h1_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char head[H1_HEAD_MAX], written[2 * H1_HEAD_MAX], target[H1_HEAD_MAX];

static void put_target(const struct h1_request *r)
{
	snprintf(target, sizeof(target), "%s%s%s%s%s%s", r->scheme ? r->scheme : "",
		r->scheme ? "://" : "", r->authority ? r->authority : "", r->path ? r->path : "",
		r->query ? "?" : "", r->query ? r->query : "");
}

static void check_again(const struct h1_request *r)
{
	static struct h1_request again;
	static char copy[2 * H1_HEAD_MAX];
	struct bytes_writer w = bytes_writer(written, sizeof(written));
	size_t end;

	put_target(r);
	h1_write_request(&w, r->method, target, &r->fields);
	if (w.failed)
		abort();
	/* Its lines may have grown by a blank. */
	end = message_scan(written, w.offset, 2 * H1_HEAD_MAX);
	if (!end && w.offset + RECORD_FIELDS_MAX < H1_LINE_MAX)
		abort();
	if (!end || r->minor == 0)
		return;
	memcpy(copy, written, end);
	if (end != w.offset || h1_request_parse(copy, end, &again) != H1_OK ||
		again.form != r->form || again.length.chunked != r->length.chunked ||
		again.length.known != r->length.known || again.length.length != r->length.length ||
		strcmp(again.method, r->method) != 0)
		abort();
	message_check_same(&r->fields, &again.fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct h1_request request;
	static struct h1_body body;
	size_t end = message_scan((const char *)data, size, H1_HEAD_MAX);

	if (!end)
		return 0;
	memcpy(head, data, end);
	if (h1_request_parse(head, end, &request) != H1_OK)
		return 0;
	if ((request.length.chunked && request.length.known) || !request.method ||
		(!request.path && !request.authority) || (request.minor == 1 && !request.host))
		abort();
	message_check_fields(&request.fields);
	check_again(&request);
	if (h1_body_of_request(&request, &body) == H1_OK)
		message_check_body(&body, (const char *)data + end, size - end);
	return 0;
}
