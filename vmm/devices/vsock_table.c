/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/array.h"
#include "vmm/base/checked.h"

static_assert((uint64_t)VSOCK_STREAMS_MAX * VSOCK_BUFFER_MIN <= VSOCK_POOL_BYTES,
	"every slot gets its least buffer");

#define BUFFERS_BYTES ((size_t)VSOCK_STREAMS_MAX * VSOCK_BUFFER_MAX)

int vsock_table_init(struct vsock_table *table)
{
	void *buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (buffers == MAP_FAILED)
		return -errno;
	*table = (struct vsock_table){ .buffers = buffers, .pool_left = VSOCK_POOL_BYTES };
	table->slots = calloc(VSOCK_STREAMS_MAX, sizeof(*table->slots));
	if (table->slots)
		return 0;
	vsock_table_finish(table);
	return -ENOMEM;
}

void vsock_table_finish(struct vsock_table *table)
{
	if (table->buffers)
		munmap(table->buffers, BUFFERS_BYTES);
	free(table->slots);
	*table = (struct vsock_table){};
}

static unsigned int index_of(const struct vsock_table *table, const struct vsock_stream *stream)
{
	return (unsigned int)(stream - table->slots);
}

/* As much as leaves the least for everybody who may still come. */
static uint32_t grant(const struct vsock_table *table)
{
	uint32_t others = (VSOCK_STREAMS_MAX - table->count - 1) * VSOCK_BUFFER_MIN;

	return MIN(table->pool_left - others, VSOCK_BUFFER_MAX);
}

static struct vsock_stream *take_slot(struct vsock_table *table)
{
	struct vsock_stream *stream = table->unused;

	if (stream) {
		table->unused = stream->next_live;
		return stream;
	}
	if (table->touched == VSOCK_STREAMS_MAX)
		return NULL;
	return &table->slots[table->touched++];
}

static void clear_slot(
	struct vsock_stream *stream, uint32_t id, uint8_t *buffer, uint32_t buf_alloc)
{
	/* All but the credit's ring of packet ends, which is 1 KiB and needs no clearing. */
	memset(stream, 0, offsetof(struct vsock_stream, credit));
	vsock_credit_init(&stream->credit, buf_alloc);
	stream->id = id;
	stream->fd = -1;
	stream->deadline_ms = 0;
	stream->probe_ms = 0;
	stream->buffer = buffer;
	stream->buffer_first = stream->buffer_used = 0;
	stream->buffer_dirty = false;
	stream->next_hashed = stream->next_ready = stream->next_live = stream->previous_live = NULL;
}

struct vsock_stream *vsock_table_take(struct vsock_table *table)
{
	struct vsock_stream *stream = take_slot(table);
	unsigned int index;
	uint32_t buf_alloc;

	if (!stream)
		return NULL;
	buf_alloc = grant(table);
	index = index_of(table, stream);
	clear_slot(stream, (stream->id / VSOCK_STREAMS_MAX + 1) * VSOCK_STREAMS_MAX + index,
		table->buffers + (size_t)index * VSOCK_BUFFER_MAX, buf_alloc);
	table->pool_left -= buf_alloc;
	table->count++;
	stream->next_live = table->live;
	if (table->live)
		table->live->previous_live = stream;
	table->live = stream;
	return stream;
}

void vsock_table_put(struct vsock_table *table, struct vsock_stream *stream)
{
	vsock_table_hide(table, stream);
	if (stream->buffer_dirty)
		madvise(stream->buffer, VSOCK_BUFFER_MAX, MADV_DONTNEED);
	if (stream->previous_live)
		stream->previous_live->next_live = stream->next_live;
	else
		table->live = stream->next_live;
	if (stream->next_live)
		stream->next_live->previous_live = stream->previous_live;
	table->pool_left += stream->credit.buf_alloc;
	table->count--;
	stream->state = VSOCK_FREE;
	stream->next_live = table->unused;
	table->unused = stream;
}

static struct vsock_stream **bucket(
	const struct vsock_table *table, uint32_t host_port, uint32_t guest_port)
{
	uint32_t h = (host_port * 2654435761u) ^ (guest_port * 2246822519u);

	return (struct vsock_stream **)&table->hash[(h ^ h >> 16) % VSOCK_STREAMS_MAX];
}

void vsock_table_enter(struct vsock_table *table, struct vsock_stream *stream)
{
	struct vsock_stream **head = bucket(table, stream->host_port, stream->guest_port);

	stream->next_hashed = *head;
	*head = stream;
	stream->hashed = true;
}

void vsock_table_hide(struct vsock_table *table, struct vsock_stream *stream)
{
	struct vsock_stream **link = bucket(table, stream->host_port, stream->guest_port);

	if (!stream->hashed)
		return;
	while (*link != stream)
		link = &(*link)->next_hashed;
	*link = stream->next_hashed;
	stream->hashed = false;
}

struct vsock_stream *vsock_table_find(
	const struct vsock_table *table, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_stream *stream = *bucket(table, host_port, guest_port);

	while (stream && (stream->host_port != host_port || stream->guest_port != guest_port))
		stream = stream->next_hashed;
	return stream;
}

struct vsock_stream *vsock_table_find_id(const struct vsock_table *table, uint32_t id)
{
	struct vsock_stream *stream = &table->slots[id % VSOCK_STREAMS_MAX];

	if (id % VSOCK_STREAMS_MAX >= table->touched || stream->state == VSOCK_FREE ||
		stream->id != id)
		return NULL;
	return stream;
}

bool vsock_stream_buffer_put(struct vsock_stream *stream, const void *data, uint32_t len)
{
	uint32_t size = stream->credit.buf_alloc;
	uint32_t at, first_part;

	if (len > size - stream->buffer_used)
		return false;
	at = (stream->buffer_first + stream->buffer_used) % size;
	first_part = MIN(len, size - at);
	memcpy(stream->buffer + at, data, first_part);
	memcpy(stream->buffer, (const uint8_t *)data + first_part, len - first_part);
	stream->buffer_used += len;
	stream->buffer_dirty = true;
	return true;
}

int vsock_stream_buffer_peek(const struct vsock_stream *stream, struct iovec slices[static 2])
{
	uint32_t size = stream->credit.buf_alloc;
	uint32_t first_part = MIN(stream->buffer_used, size - stream->buffer_first);

	slices[0] = (struct iovec){ .iov_base = stream->buffer + stream->buffer_first,
		.iov_len = first_part };
	slices[1] = (struct iovec){ .iov_base = stream->buffer,
		.iov_len = stream->buffer_used - first_part };
	return !!slices[0].iov_len + !!slices[1].iov_len;
}

void vsock_stream_buffer_skip(struct vsock_stream *stream, uint32_t len)
{
	len = MIN(len, stream->buffer_used);
	stream->buffer_used -= len;
	/* An empty ring starts over at its first page, so that a slow trickle dirties no more than that. */
	stream->buffer_first =
		stream->buffer_used ? (stream->buffer_first + len) % stream->credit.buf_alloc : 0;
}
