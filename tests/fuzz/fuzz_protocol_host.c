/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host decodes: a hostile agent's control stream and operation streams. The input is a run of frames, as the link
 * meets them; copies go through the order that every receiver keeps, whose promises are checked at each step.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protocol/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct bytes_writer *w, const uint8_t *payload, size_t len)
{
	if (w->failed || w->offset != len || memcmp(w->data, payload, len))
		abort();
}

static void try_control(uint8_t type, const uint8_t *payload, size_t len)
{
	uint8_t out[256];
	struct bytes_writer w = bytes_writer(out, sizeof(out));
	struct protocol_hello hello;
	struct protocol_ready ready;
	struct protocol_refused refused;
	struct protocol_health health;
	struct protocol_audit audit;

	if (type == PROTOCOL_HELLO && protocol_get_hello(payload, len, &hello))
		protocol_put_hello(&w, &hello);
	else if (type == PROTOCOL_READY && protocol_get_ready(payload, len, &ready))
		protocol_put_ready(&w, &ready);
	else if (type == PROTOCOL_REFUSED && protocol_get_refused(payload, len, &refused))
		protocol_put_refused(&w, &refused);
	else if (type == PROTOCOL_HEALTH && protocol_get_health(payload, len, &health))
		protocol_put_health(&w, &health);
	else if (type == PROTOCOL_AUDIT && protocol_get_audit(payload, len, &audit))
		protocol_put_audit(&w, &audit);
	else
		return;
	check_again(&w, payload, len);
}

static void try_fixed(uint8_t type, const uint8_t *payload, size_t len)
{
	struct stream_exit gone;
	struct stream_error error;
	uint32_t pid;

	if (type == STREAM_EXIT && stream_exit_decode(payload, len, &gone) && !gone.kind)
		abort();
	if (type == STREAM_ERROR && stream_error_decode(payload, len, &error) && !error.code)
		abort();
	if (type == STREAM_STARTED && !stream_started_decode(payload, len, &pid))
		abort();
}

static void try_copy(
	struct stream_copy_order *order, uint8_t type, const uint8_t *payload, size_t len)
{
	struct stream_copy_entry entry;

	if (type == STREAM_COPY_DATA && stream_copy_order_data(order, len) && order->done)
		abort();
	if (type != STREAM_COPY_ENTRY || !stream_copy_entry_decode(payload, len, &entry))
		return;
	if (strchr(entry.name, '/') || !strcmp(entry.name, ".."))
		abort();
	if (stream_copy_order_entry(order, &entry) && order->depth > STREAM_COPY_DEPTH_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream_copy_order order = {};
	struct protocol_head head;

	while (size >= PROTOCOL_HEAD_SIZE) {
		if (!protocol_head_decode(data, PROTOCOL_CONTROL_GUEST, &head) &&
			!protocol_head_decode(data, PROTOCOL_GUEST, &head))
			break;
		data += PROTOCOL_HEAD_SIZE;
		size -= PROTOCOL_HEAD_SIZE;
		if (head.len > size)
			break;
		try_control(head.type, data, head.len);
		try_fixed(head.type, data, head.len);
		try_copy(&order, head.type, data, head.len);
		data += head.len;
		size -= head.len;
	}
	return 0;
}
