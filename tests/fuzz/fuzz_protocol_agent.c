/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent decodes: the host's control messages and requests. The input is one frame; what is taken must encode to
 * the same bytes again (no message has two forms).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protocol/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t out[PROTOCOL_WELCOME_MAX + PROTOCOL_HEAD_SIZE];

static void check_again(const struct bytes_writer *w, const uint8_t *payload, size_t len)
{
	if (w->failed || w->offset != len || memcmp(w->data, payload, len))
		abort();
}

static void try_control(uint8_t type, const uint8_t *payload, size_t len)
{
	static struct protocol_welcome welcome;
	struct bytes_writer w = bytes_writer(out, sizeof(out));
	enum protocol_shutdown_kind kind;
	uint64_t time_ns;

	if (type == PROTOCOL_WELCOME && protocol_get_welcome(payload, len, &welcome))
		protocol_put_welcome(&w, &welcome);
	else if (type == PROTOCOL_SHUTDOWN && protocol_get_shutdown(payload, len, &kind))
		protocol_put_shutdown(&w, kind);
	else if (type == PROTOCOL_TIME_SET && protocol_get_time_set(payload, len, &time_ns))
		protocol_put_time_set(&w, time_ns);
	else
		return;
	check_again(&w, payload, len);
}

static void try_request(uint8_t type, const uint8_t *payload, size_t len)
{
	static struct protocol_exec exec;
	struct bytes_writer w = bytes_writer(out, sizeof(out));
	struct protocol_copy copy;
	struct protocol_forward forward;

	if (type == PROTOCOL_EXEC && protocol_get_exec(payload, len, &exec))
		protocol_put_exec(&w, &exec);
	else if ((type == PROTOCOL_COPY_IN || type == PROTOCOL_COPY_OUT) &&
		 protocol_get_copy(payload, len, &copy))
		protocol_put_copy(&w, &copy);
	else if (type == PROTOCOL_FORWARD && protocol_get_forward(payload, len, &forward))
		protocol_put_forward(&w, &forward);
	else
		return;
	check_again(&w, payload, len);
}

static void try_stream(uint8_t type, const uint8_t *payload, size_t len)
{
	struct stream_resize resize;
	struct stream_copy_entry entry;
	uint8_t frame[STREAM_FIXED_MAX];
	uint32_t number;
	size_t size;

	if (type == STREAM_RESIZE && stream_resize_decode(payload, len, &resize))
		size = stream_resize_frame(&resize, frame);
	else if (type == STREAM_SIGNAL && stream_signal_decode(payload, len, &number))
		size = stream_signal_frame(number, frame);
	else if (type == STREAM_COPY_ENTRY && stream_copy_entry_decode(payload, len, &entry))
		size = stream_copy_entry_frame(&entry, frame);
	else
		return;
	if (size != PROTOCOL_HEAD_SIZE + len || memcmp(frame + PROTOCOL_HEAD_SIZE, payload, len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum protocol_sender senders[] = { PROTOCOL_CONTROL_HOST, PROTOCOL_REQUESTER,
		PROTOCOL_CLIENT };
	struct protocol_head head;

	for (int i = 0; size >= PROTOCOL_HEAD_SIZE && i < 3; i++) {
		const uint8_t *payload = data + PROTOCOL_HEAD_SIZE;

		if (!protocol_head_decode(data, senders[i], &head) ||
			head.len != size - PROTOCOL_HEAD_SIZE)
			continue;
		try_control(head.type, payload, head.len);
		try_request(head.type, payload, head.len);
		try_stream(head.type, payload, head.len);
	}
	return 0;
}
