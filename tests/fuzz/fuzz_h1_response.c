/* SPDX-License-Identifier: Apache-2.0 */
/* Responses, to each of the methods that change where one ends: as fuzz_h1_request. */
#include <stdint.h>

#include "tests/fuzz/h1_message.h"
#include "vmm/base/array.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char head[H1_HEAD_MAX], written[2 * H1_HEAD_MAX];

static void check_again(const struct h1_response *r)
{
	static struct h1_response again;
	struct bytes_writer w = bytes_writer(written, sizeof(written));
	size_t end;

	h1_write_response(&w, r->status, &r->fields);
	if (w.failed)
		abort();
	end = message_scan(written, w.offset, 2 * H1_HEAD_MAX);
	if (!end && w.offset + RECORD_FIELDS_MAX < H1_LINE_MAX)
		abort();
	if (!end || r->minor == 0)
		return;
	if (end != w.offset || h1_response_parse(written, end, &again) != H1_OK ||
		again.status != r->status || again.length.length != r->length.length)
		abort();
	message_check_same(&r->fields, &again.fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = { "GET", "HEAD", "CONNECT" };
	static struct h1_response response;
	static struct h1_body body;
	size_t end = message_scan((const char *)data, size, H1_HEAD_MAX);

	if (!end)
		return 0;
	memcpy(head, data, end);
	if (h1_response_parse(head, end, &response) != H1_OK)
		return 0;
	message_check_fields(&response.fields);
	check_again(&response);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (h1_body_of_response(&response, methods[i], &body) == H1_OK)
			message_check_body(&body, (const char *)data + end, size - end);
	return 0;
}
