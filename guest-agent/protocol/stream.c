/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/protocol/stream.h"

#include <string.h>

#include "vmm/base/array.h"

#define ERRNO_MAX     4095
#define COPY_PADDING  40
#define COPY_NAME_END (STREAM_COPY_NAME_MAX + 1)

static const struct {
	uint32_t stage;
	const char *text;
} stage_texts[] = {
	{ PROTOCOL_STAGE_NONE, "nowhere in particular" },
	{ PROTOCOL_STAGE_EARLY, "first mounts" },
	{ PROTOCOL_STAGE_MODULES, "kernel modules" },
	{ PROTOCOL_STAGE_WELCOME, "the host's welcome" },
	{ PROTOCOL_STAGE_ROOT, "building the root" },
	{ PROTOCOL_STAGE_MOUNT, "mounting a share" },
	{ PROTOCOL_STAGE_USERS, "users" },
	{ PROTOCOL_STAGE_FILES, "files" },
	{ PROTOCOL_STAGE_LISTEN, "taking operations" },
	{ PROTOCOL_STAGE_REQUEST, "the request" },
	{ PROTOCOL_STAGE_LIMIT, "too many operations at once" },
	{ PROTOCOL_STAGE_USER, "the user" },
	{ PROTOCOL_STAGE_FOLDER, "the working folder" },
	{ PROTOCOL_STAGE_TERMINAL, "the terminal" },
	{ PROTOCOL_STAGE_START, "starting a process" },
	{ PROTOCOL_STAGE_COPY_PATH, "the path to copy" },
	{ PROTOCOL_STAGE_COPY_READ, "reading what to copy" },
	{ PROTOCOL_STAGE_COPY_WRITE, "writing the copy" },
	{ PROTOCOL_STAGE_COPY_ORDER, "the order of the copy" },
	{ PROTOCOL_STAGE_CONNECT, "connecting to the port" },
	{ PROTOCOL_STAGE_LINK, "reaching the guest's agent" },
};

const char *protocol_stage_text(uint32_t stage)
{
	for (size_t i = 0; i < ARRAY_SIZE(stage_texts); i++)
		if (stage_texts[i].stage == stage)
			return stage_texts[i].text;
	return "an unknown stage";
}

bool stream_resize_decode(const void *payload, size_t len, struct stream_resize *ret)
{
	if (len != STREAM_RESIZE_SIZE)
		return false;
	ret->rows = load_le16(payload);
	ret->cols = load_le16((const uint8_t *)payload + 2);
	return true;
}

bool stream_signal_decode(const void *payload, size_t len, uint32_t *ret_signal)
{
	uint32_t number;

	if (len != STREAM_SIGNAL_SIZE)
		return false;
	number = load_le32(payload);
	if (number < 1 || number > STREAM_SIGNAL_MAX)
		return false;
	*ret_signal = number;
	return true;
}

bool stream_started_decode(const void *payload, size_t len, uint32_t *ret_pid)
{
	if (len != STREAM_STARTED_SIZE)
		return false;
	*ret_pid = load_le32(payload);
	return true;
}

static bool exit_valid(uint32_t kind, uint32_t value)
{
	switch (kind) {
	case STREAM_EXITED:
		/* Copies count what they left out here; an exit code has no more than a byte. */
		return value <= STREAM_COPY_ENTRIES_MAX;
	case STREAM_SIGNALLED:
		return value >= 1 && value <= STREAM_SIGNAL_MAX;
	case STREAM_FAILED:
		return value == 126 || value == 127;
	}
	return false;
}

bool stream_exit_decode(const void *payload, size_t len, struct stream_exit *ret)
{
	uint32_t kind, value;

	if (len != STREAM_EXIT_SIZE)
		return false;
	kind = load_le32(payload);
	value = load_le32((const uint8_t *)payload + 4);
	if (!exit_valid(kind, value))
		return false;
	*ret = (struct stream_exit){ .kind = kind, .value = value };
	return true;
}

bool stream_error_decode(const void *payload, size_t len, struct stream_error *ret)
{
	uint32_t code;

	if (len != STREAM_ERROR_SIZE)
		return false;
	code = load_le32(payload);
	if (code < 1 || code > ERRNO_MAX)
		return false;
	*ret = (struct stream_error){
		.code = code,
		.stage = load_le32((const uint8_t *)payload + 4),
	};
	return true;
}

bool stream_name_valid(const char *name)
{
	size_t len = strnlen(name, STREAM_COPY_NAME_MAX + 1);

	if (len < 1 || len > STREAM_COPY_NAME_MAX)
		return false;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	return !strchr(name, '/');
}

/* What each kind of entry must look like. The name is known to end. */
static bool entry_valid(const struct stream_copy_entry *entry)
{
	switch (entry->kind) {
	case STREAM_COPY_UP:
	case STREAM_COPY_END:
		return !entry->name[0] && !entry->mode && !entry->size && !entry->mtime_ns;
	case STREAM_COPY_DIR:
		if (entry->size)
			return false;
		break;
	case STREAM_COPY_FILE:
		if (entry->size > INT64_MAX)
			return false;
		break;
	case STREAM_COPY_SYMLINK:
		if (entry->size < 1 || entry->size > STREAM_COPY_TARGET_MAX)
			return false;
		break;
	default:
		return false;
	}
	return !(entry->mode & ~(uint32_t)STREAM_COPY_MODE_MASK) && stream_name_valid(entry->name);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* NUL-filled to the end, so that one entry has one form. */
static bool copy_name(const uint8_t *from, char *to)
{
	size_t len = strnlen((const char *)from, COPY_NAME_END);

	if (len == COPY_NAME_END || !all_zero(from + len, COPY_NAME_END - len))
		return false;
	memcpy(to, from, COPY_NAME_END);
	return true;
}

bool stream_copy_entry_decode(const void *payload, size_t len, struct stream_copy_entry *ret)
{
	struct bytes_reader r = bytes_reader(payload, len);
	struct stream_copy_entry entry = {};
	const uint8_t *padding, *name;
	uint8_t zero8;
	uint16_t zero16;

	if (len != STREAM_COPY_ENTRY_SIZE)
		return false;
	entry.kind = bytes_get_u8(&r);
	zero8 = bytes_get_u8(&r);
	zero16 = bytes_get_u16(&r);
	entry.mode = bytes_get_u32(&r);
	entry.size = bytes_get_u64(&r);
	entry.mtime_ns = (int64_t)bytes_get_u64(&r);
	padding = bytes_get(&r, COPY_PADDING);
	name = bytes_get(&r, COPY_NAME_END);
	if (!bytes_done(&r) || zero8 || zero16 || !all_zero(padding, COPY_PADDING))
		return false;
	if (!copy_name(name, entry.name) || !entry_valid(&entry))
		return false;
	*ret = entry;
	return true;
}

/* A frame whose payload the caller has put after the head. */
static size_t finish_frame(uint8_t *out, enum protocol_type type, size_t len)
{
	protocol_head_encode(
		&(struct protocol_head){ .type = (uint8_t)type, .len = (uint32_t)len }, out);
	return PROTOCOL_HEAD_SIZE + len;
}

size_t stream_resize_frame(const struct stream_resize *resize, uint8_t out[static STREAM_FIXED_MAX])
{
	store_le16(out + PROTOCOL_HEAD_SIZE, resize->rows);
	store_le16(out + PROTOCOL_HEAD_SIZE + 2, resize->cols);
	return finish_frame(out, STREAM_RESIZE, STREAM_RESIZE_SIZE);
}

size_t stream_signal_frame(uint32_t signal, uint8_t out[static STREAM_FIXED_MAX])
{
	store_le32(out + PROTOCOL_HEAD_SIZE, signal);
	return finish_frame(out, STREAM_SIGNAL, STREAM_SIGNAL_SIZE);
}

size_t stream_started_frame(uint32_t pid, uint8_t out[static STREAM_FIXED_MAX])
{
	store_le32(out + PROTOCOL_HEAD_SIZE, pid);
	return finish_frame(out, STREAM_STARTED, STREAM_STARTED_SIZE);
}

size_t stream_exit_frame(const struct stream_exit *exit, uint8_t out[static STREAM_FIXED_MAX])
{
	store_le32(out + PROTOCOL_HEAD_SIZE, exit->kind);
	store_le32(out + PROTOCOL_HEAD_SIZE + 4, exit->value);
	return finish_frame(out, STREAM_EXIT, STREAM_EXIT_SIZE);
}

size_t stream_error_frame(const struct stream_error *error, uint8_t out[static STREAM_FIXED_MAX])
{
	store_le32(out + PROTOCOL_HEAD_SIZE, error->code);
	store_le32(out + PROTOCOL_HEAD_SIZE + 4, error->stage);
	return finish_frame(out, STREAM_ERROR, STREAM_ERROR_SIZE);
}

size_t stream_copy_entry_frame(
	const struct stream_copy_entry *entry, uint8_t out[static STREAM_FIXED_MAX])
{
	struct bytes_writer w = bytes_writer(out + PROTOCOL_HEAD_SIZE, STREAM_COPY_ENTRY_SIZE);

	if (!entry_valid(entry))
		return 0;
	memset(w.data, 0, w.size);
	bytes_put_u8(&w, entry->kind);
	bytes_put_u8(&w, 0);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, entry->mode);
	bytes_put_u64(&w, entry->size);
	bytes_put_u64(&w, (uint64_t)entry->mtime_ns);
	memcpy(w.data + w.offset + COPY_PADDING, entry->name, strlen(entry->name));
	return finish_frame(out, STREAM_COPY_ENTRY, STREAM_COPY_ENTRY_SIZE);
}

bool stream_copy_order_entry(struct stream_copy_order *order, const struct stream_copy_entry *entry)
{
	if (order->done || order->bytes_left || order->entries >= STREAM_COPY_ENTRIES_MAX)
		return false;
	switch ((enum stream_copy_kind)entry->kind) {
	case STREAM_COPY_DIR:
		if (order->depth >= STREAM_COPY_DEPTH_MAX)
			return false;
		order->depth++;
		break;
	case STREAM_COPY_FILE:
	case STREAM_COPY_SYMLINK:
		order->bytes_left = entry->size;
		order->link = entry->kind == STREAM_COPY_SYMLINK;
		break;
	case STREAM_COPY_UP:
		if (!order->depth)
			return false;
		order->depth--;
		break;
	case STREAM_COPY_END:
		if (order->depth)
			return false;
		order->done = true;
		break;
	}
	order->entries++;
	return true;
}

bool stream_copy_order_data(struct stream_copy_order *order, size_t len)
{
	if (order->done || !len || len > order->bytes_left)
		return false;
	if (order->link && len != order->bytes_left)
		return false;
	order->bytes_left -= len;
	return true;
}
