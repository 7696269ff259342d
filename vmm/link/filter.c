/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/filter.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/array.h"

#define TYPE_BIT(type) (1ull << (type))

/* Which frames a direction knows at all; protocol_head_decode() has checked their length. */
static const struct {
	enum protocol_sender sender;
	uint64_t types;
} kinds[] = {
	[LINK_FILTER_EXEC_CLIENT] = { PROTOCOL_CLIENT,
		TYPE_BIT(STREAM_STDIN) | TYPE_BIT(STREAM_STDIN_EOF) | TYPE_BIT(STREAM_RESIZE) |
			TYPE_BIT(STREAM_SIGNAL) },
	[LINK_FILTER_EXEC_GUEST] = { PROTOCOL_GUEST,
		TYPE_BIT(STREAM_STARTED) | TYPE_BIT(STREAM_STDOUT) | TYPE_BIT(STREAM_STDERR) |
			TYPE_BIT(STREAM_EXIT) | TYPE_BIT(STREAM_ERROR) },
	[LINK_FILTER_COPY_OUT_CLIENT] = { PROTOCOL_CLIENT, 0 },
	[LINK_FILTER_COPY_OUT_GUEST] = { PROTOCOL_GUEST,
		TYPE_BIT(STREAM_STARTED) | TYPE_BIT(STREAM_COPY_ENTRY) |
			TYPE_BIT(STREAM_COPY_DATA) | TYPE_BIT(STREAM_EXIT) |
			TYPE_BIT(STREAM_ERROR) },
	[LINK_FILTER_COPY_IN_CLIENT] = { PROTOCOL_CLIENT,
		TYPE_BIT(STREAM_COPY_ENTRY) | TYPE_BIT(STREAM_COPY_DATA) },
	[LINK_FILTER_COPY_IN_GUEST] = { PROTOCOL_GUEST,
		TYPE_BIT(STREAM_STARTED) | TYPE_BIT(STREAM_EXIT) | TYPE_BIT(STREAM_ERROR) },
	[LINK_FILTER_FORWARD_GUEST] = { PROTOCOL_GUEST,
		TYPE_BIT(STREAM_STARTED) | TYPE_BIT(STREAM_ERROR) },
};
static_assert(ARRAY_SIZE(kinds) == LINK_FILTER_KINDS, "every kind has its frames");

void link_filter_init(struct link_filter *filter, enum link_filter_kind kind)
{
	*filter = (struct link_filter){ .kind = kind };
}

/* Frames of a guest come after STARTED, but for an ERROR in its place; a client sends no STDIN after its end. */
static bool in_order(const struct link_filter *filter, uint8_t type)
{
	if (type == STREAM_STDIN || type == STREAM_STDIN_EOF)
		return !filter->input_ended;
	/* A command that could not be invoked ends without having begun: payload_valid() looks at the kind. */
	if (kinds[filter->kind].sender != PROTOCOL_GUEST || type == STREAM_ERROR ||
		type == STREAM_EXIT)
		return true;
	return type == STREAM_STARTED ? !filter->started : filter->started;
}

static int take_head(struct link_filter *filter)
{
	struct protocol_head head;

	if (!protocol_head_decode(filter->stash, kinds[filter->kind].sender, &head) ||
		head.type >= 64 || !(kinds[filter->kind].types & TYPE_BIT(head.type)) ||
		!in_order(filter, head.type))
		return -EPROTO;
	filter->head = head;
	filter->left = head.len;
	filter->stash_len = 0;
	filter->in_payload = true;
	/* A link's target travels in one frame; the order has its size. */
	if (head.type == STREAM_COPY_DATA && !stream_copy_order_data(&filter->order, head.len))
		return -EPROTO;
	return 0;
}

static bool carries_bytes(const struct link_filter *filter)
{
	uint8_t type = filter->head.type;

	return type == STREAM_STDIN || type == STREAM_STDOUT || type == STREAM_STDERR ||
	       (type == STREAM_COPY_DATA && !filter->order.link);
}

/* The copy's end must have been sent before an orderly EXIT of a COPY_OUT. */
static bool exit_fits(const struct link_filter *filter, const struct stream_exit *end)
{
	if (!filter->started)
		return filter->kind == LINK_FILTER_EXEC_GUEST && end->kind == STREAM_FAILED;
	return filter->kind != LINK_FILTER_COPY_OUT_GUEST || filter->order.done;
}

static bool payload_valid(struct link_filter *filter)
{
	const uint8_t *payload = filter->stash;
	size_t len = filter->stash_len;
	struct stream_copy_entry entry;
	struct stream_resize resize;
	struct stream_error error;
	struct stream_exit end;
	uint32_t number;

	switch (filter->head.type) {
	case STREAM_RESIZE:
		return stream_resize_decode(payload, len, &resize);
	case STREAM_SIGNAL:
		return stream_signal_decode(payload, len, &number);
	case STREAM_STARTED:
		return stream_started_decode(payload, len, &number);
	case STREAM_EXIT:
		return stream_exit_decode(payload, len, &end) && exit_fits(filter, &end);
	case STREAM_ERROR:
		return stream_error_decode(payload, len, &error);
	case STREAM_COPY_ENTRY:
		return stream_copy_entry_decode(payload, len, &entry) &&
		       stream_copy_order_entry(&filter->order, &entry);
	case STREAM_COPY_DATA:
		return !memchr(payload, '\0', len); /* a link's target */
	default:
		return len == 0;
	}
}

static void take_effect(struct link_filter *filter)
{
	uint8_t type = filter->head.type;

	filter->started |= type == STREAM_STARTED;
	filter->input_ended |= type == STREAM_STDIN_EOF;
	filter->done = type == STREAM_EXIT || type == STREAM_ERROR ||
		       (filter->kind == LINK_FILTER_FORWARD_GUEST && type == STREAM_STARTED);
	filter->last = type;
	filter->in_payload = false;
	filter->stash_len = 0;
}

static int end_payload(struct link_filter *filter, link_filter_sink *sink, void *data)
{
	if (!carries_bytes(filter)) {
		if (!payload_valid(filter))
			return -EPROTO;
		sink(data, filter->head.type, filter->stash, (uint32_t)filter->stash_len);
	}
	take_effect(filter);
	return 0;
}

static size_t stash(struct link_filter *filter, const uint8_t *bytes, size_t len, size_t want)
{
	size_t part = MIN(len, want);

	memcpy(filter->stash + filter->stash_len, bytes, part);
	filter->stash_len += part;
	return part;
}

static int push_head(struct link_filter *filter, const uint8_t *bytes, size_t len,
	size_t *ret_taken, link_filter_sink *sink, void *data)
{
	int r;

	*ret_taken = stash(filter, bytes, len, PROTOCOL_HEAD_SIZE - filter->stash_len);
	if (filter->stash_len < PROTOCOL_HEAD_SIZE)
		return 0;
	r = take_head(filter);
	return r < 0 || filter->left ? r : end_payload(filter, sink, data);
}

static int push_payload(struct link_filter *filter, const uint8_t *bytes, size_t len,
	size_t *ret_taken, link_filter_sink *sink, void *data)
{
	size_t part = MIN(len, filter->left);

	if (carries_bytes(filter))
		sink(data, filter->head.type, bytes, (uint32_t)part);
	else
		/* Lengths of what is told whole were bounded with the head: the stash holds the longest. */
		part = stash(filter, bytes, part, sizeof(filter->stash) - filter->stash_len);
	if (part == 0)
		return -EPROTO;
	filter->left -= (uint32_t)part;
	*ret_taken = part;
	return filter->left ? 0 : end_payload(filter, sink, data);
}

int link_filter_push(struct link_filter *filter, const uint8_t *bytes, size_t len,
	size_t *ret_taken, link_filter_sink *sink, void *data)
{
	size_t taken = 0;

	while (taken < len && !filter->done) {
		size_t part = 0;
		int r = filter->in_payload
				? push_payload(
					  filter, bytes + taken, len - taken, &part, sink, data)
				: push_head(filter, bytes + taken, len - taken, &part, sink, data);

		if (r < 0)
			return r;
		taken += part;
	}
	*ret_taken = taken;
	return 0;
}
