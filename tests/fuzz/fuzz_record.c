/* SPDX-License-Identifier: Apache-2.0 */
/* Records from a rogue at either end: what is taken, an honest one could have written, byte for byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vsock-proxy/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[RECORD_HEAD_SIZE + RECORD_PAYLOAD_MAX];

static void expect(
	const struct bytes_writer *w, const uint8_t *data, const struct record_head *head)
{
	if (w->failed || w->offset != RECORD_HEAD_SIZE + head->len ||
		memcmp(again, data, w->offset) != 0)
		abort();
}

static void check(const struct record_head *head, const uint8_t *data)
{
	static struct record_request request;
	static struct record_response response;
	static struct record_fields fields;
	const uint8_t *payload = data + RECORD_HEAD_SIZE;
	struct bytes_writer w = bytes_writer(again, sizeof(again));
	struct record_denied denied;
	enum record_reason reason;
	uint32_t bytes;

	switch ((enum record_type)head->type) {
	case RECORD_REQUEST:
	case RECORD_TUNNEL:
		if (!record_get_request(head, payload, &request))
			return;
		record_put_request(&w, head->stream, &request);
		break;
	case RECORD_RESPONSE:
		if (!record_get_response(head, payload, &response))
			return;
		record_put_response(&w, head->stream, &response);
		break;
	case RECORD_DENIED:
		if (!record_get_denied(head, payload, &denied))
			return;
		record_put_denied(&w, head->stream, &denied);
		break;
	case RECORD_END:
		if (!record_get_end(head, payload, &fields))
			return;
		record_put_end(&w, head->stream, &fields);
		break;
	case RECORD_CREDIT:
		if (!record_get_credit(head, payload, &bytes))
			return;
		record_put_credit(&w, head->stream, bytes);
		break;
	case RECORD_RESET:
		if (!record_get_reset(head, payload, &reason))
			return;
		record_put_reset(&w, head->stream, reason);
		break;
	case RECORD_OPENED:
	case RECORD_DATA:
		return;
	}
	expect(&w, data, head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_head head;

	while (size >= RECORD_HEAD_SIZE) {
		if (!record_head_decode(data, RECORD_FROM_PROXY, &head) &&
			!record_head_decode(data, RECORD_FROM_INJECTOR, &head))
			return 0;
		if (size - RECORD_HEAD_SIZE < head.len)
			return 0;
		check(&head, data);
		data += RECORD_HEAD_SIZE + head.len;
		size -= RECORD_HEAD_SIZE + head.len;
	}
	return 0;
}
