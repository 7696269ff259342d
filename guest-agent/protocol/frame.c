/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/protocol/frame.h"

#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"

struct frame_rule {
	uint8_t type;
	uint8_t senders; /* enum protocol_sender */
	uint32_t min, max;
};

#define BYTES_RULE(type, senders)                                                                  \
	{                                                                                          \
		type, senders, 1, PROTOCOL_PAYLOAD_MAX                                             \
	}
#define FIXED_RULE(type, senders, size)                                                            \
	{                                                                                          \
		type, senders, size, size                                                          \
	}

static const struct frame_rule frame_rules[] = {
	BYTES_RULE(STREAM_STDIN, PROTOCOL_CLIENT),
	FIXED_RULE(STREAM_STDIN_EOF, PROTOCOL_CLIENT, 0),
	FIXED_RULE(STREAM_RESIZE, PROTOCOL_CLIENT, STREAM_RESIZE_SIZE),
	FIXED_RULE(STREAM_SIGNAL, PROTOCOL_CLIENT, STREAM_SIGNAL_SIZE),
	BYTES_RULE(STREAM_STDOUT, PROTOCOL_GUEST),
	BYTES_RULE(STREAM_STDERR, PROTOCOL_GUEST),
	FIXED_RULE(STREAM_STARTED, PROTOCOL_GUEST, STREAM_STARTED_SIZE),
	FIXED_RULE(STREAM_EXIT, PROTOCOL_GUEST, STREAM_EXIT_SIZE),
	FIXED_RULE(STREAM_ERROR, PROTOCOL_GUEST, STREAM_ERROR_SIZE),
	FIXED_RULE(STREAM_COPY_ENTRY, PROTOCOL_CLIENT | PROTOCOL_GUEST, STREAM_COPY_ENTRY_SIZE),
	BYTES_RULE(STREAM_COPY_DATA, PROTOCOL_CLIENT | PROTOCOL_GUEST),
	{ PROTOCOL_EXEC, PROTOCOL_REQUESTER, 1, PROTOCOL_EXEC_MAX },
	BYTES_RULE(PROTOCOL_COPY_OUT, PROTOCOL_REQUESTER),
	BYTES_RULE(PROTOCOL_COPY_IN, PROTOCOL_REQUESTER),
	BYTES_RULE(PROTOCOL_FORWARD, PROTOCOL_REQUESTER),
	BYTES_RULE(PROTOCOL_HELLO, PROTOCOL_CONTROL_GUEST),
	BYTES_RULE(PROTOCOL_READY, PROTOCOL_CONTROL_GUEST),
	BYTES_RULE(PROTOCOL_REFUSED, PROTOCOL_CONTROL_GUEST),
	BYTES_RULE(PROTOCOL_HEALTH, PROTOCOL_CONTROL_GUEST),
	BYTES_RULE(PROTOCOL_AUDIT, PROTOCOL_CONTROL_GUEST),
	{ PROTOCOL_WELCOME, PROTOCOL_CONTROL_HOST, 1, PROTOCOL_WELCOME_MAX },
	BYTES_RULE(PROTOCOL_SHUTDOWN, PROTOCOL_CONTROL_HOST),
	BYTES_RULE(PROTOCOL_TIME_SET, PROTOCOL_CONTROL_HOST),
	FIXED_RULE(PROTOCOL_HEALTH_REQUEST, PROTOCOL_CONTROL_HOST, 0),
};

static const struct frame_rule *find_rule(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(frame_rules); i++)
		if (frame_rules[i].type == type)
			return &frame_rules[i];
	return NULL;
}

bool protocol_head_decode(const uint8_t in[static PROTOCOL_HEAD_SIZE], enum protocol_sender sender,
	struct protocol_head *ret)
{
	const struct frame_rule *rule = find_rule(in[0]);
	uint32_t len = load_le32(in + 4);

	if (!rule || !(rule->senders & sender) || in[1] || load_le16(in + 2))
		return false;
	if (len < rule->min || len > rule->max)
		return false;
	*ret = (struct protocol_head){ .type = in[0], .len = len };
	return true;
}

void protocol_head_encode(const struct protocol_head *head, uint8_t out[static PROTOCOL_HEAD_SIZE])
{
	out[0] = head->type;
	out[1] = 0;
	store_le16(out + 2, 0);
	store_le32(out + 4, head->len);
}

size_t protocol_frame_begin(struct bytes_writer *w)
{
	static const uint8_t room[PROTOCOL_HEAD_SIZE];
	size_t at = w->offset;

	bytes_put(w, room, sizeof(room));
	return at;
}

void protocol_frame_end(struct bytes_writer *w, size_t at, enum protocol_type type)
{
	const struct frame_rule *rule = find_rule((uint8_t)type);
	size_t len;

	if (w->failed)
		return;
	len = w->offset - at - PROTOCOL_HEAD_SIZE;
	if (!rule || len < rule->min || len > rule->max) {
		w->failed = true;
		return;
	}
	protocol_head_encode(&(struct protocol_head){ .type = (uint8_t)type, .len = (uint32_t)len },
		w->data + at);
}
