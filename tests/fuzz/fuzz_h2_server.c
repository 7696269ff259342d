/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 frames of a hostile guest: the preface, SETTINGS, then whatever comes, in pieces. Every request is answered with a body and
 * every byte given back, so that all of the connection's machinery runs; what is told is held to the contract.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vsock-proxy/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_head(void *owner, struct h2_stream *stream, const struct h2_head *head)
{
	struct h2_head answer = { .status = 200 };
	static const uint8_t body[3000];

	(void)owner;
	if (!head->method || h2_data(stream) || head->fields.count > RECORD_FIELDS_MAX)
		abort();
	h2_set_data(stream, head->end ? (void *)2 : (void *)1);
	if (h2_respond(stream, &answer) == 0) {
		h2_send(stream, body, MIN(h2_room(stream), sizeof(body)));
		h2_end(stream, NULL);
	}
}

static void on_data(struct h2_stream *stream, const uint8_t *bytes, size_t len)
{
	if (h2_data(stream) != (void *)1 || (len && !bytes))
		abort();
	h2_consumed(stream, len);
}

static void on_end(struct h2_stream *stream, const struct record_fields *trailers)
{
	if (h2_data(stream) != (void *)1 || trailers->count > RECORD_FIELDS_MAX)
		abort();
	h2_set_data(stream, (void *)2);
}

static void on_drained(struct h2_stream *stream)
{
	if (!h2_data(stream))
		abort();
}

static void on_closed(struct h2_stream *stream, bool clean, uint32_t error)
{
	if (!h2_data(stream) || (clean && error))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_ops ops = { on_head, on_data, on_end, on_drained, on_closed };
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	static uint8_t out[256 << 10];
	struct h2 *h2 = NULL;
	int r;

	if (h2_create(H2_SERVER, &ops, NULL, &h2, NULL) < 0)
		return 0;
	r = h2_receive(h2, preface, sizeof(preface), NULL);
	while (size && r == 0) {
		size_t piece = MIN((size_t)data[0] * 8 + 1, size - 1);

		r = h2_receive(h2, data + 1, piece, NULL);
		if (h2_stream_count(h2) > H2_STREAMS_MAX || h2_pull(h2, out, sizeof(out)) < 0)
			break;
		data += piece + 1;
		size -= piece + 1;
	}
	h2_destroy(h2);
	return 0;
}
