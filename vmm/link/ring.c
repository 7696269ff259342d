/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/ring.h"

#include <string.h>

#include "vmm/base/array.h"

static void copy_in(struct link_ring *ring, const uint8_t *data, size_t len)
{
	size_t at = ring->end % LINK_RING_BYTES;
	size_t first = MIN(len, LINK_RING_BYTES - at);

	memcpy(ring->bytes + at, data, first);
	memcpy(ring->bytes, data + first, len - first);
	ring->end += len;
}

static void copy_out(const struct link_ring *ring, uint64_t position, uint8_t *out, size_t len)
{
	size_t at = position % LINK_RING_BYTES;
	size_t first = MIN(len, LINK_RING_BYTES - at);

	memcpy(out, ring->bytes + at, first);
	memcpy(out + first, ring->bytes, len - first);
}

static size_t record_size(const struct link_ring *ring, uint64_t position)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	copy_out(ring, position, head, sizeof(head));
	return PROTOCOL_HEAD_SIZE + load_le32(head + 4);
}

static void put_record(struct link_ring *ring, uint8_t type, const uint8_t *payload, size_t len)
{
	uint8_t head[PROTOCOL_HEAD_SIZE];

	while (LINK_RING_BYTES - (ring->end - ring->start) < sizeof(head) + len)
		ring->start += record_size(ring, ring->start);
	protocol_head_encode(&(struct protocol_head){ .type = type, .len = (uint32_t)len }, head);
	copy_in(ring, head, sizeof(head));
	copy_in(ring, payload, len);
}

void link_ring_put(struct link_ring *ring, uint8_t type, const uint8_t *payload, size_t len)
{
	while (len) {
		size_t part = MIN(len, LINK_RING_PAYLOAD);

		put_record(ring, type, payload, part);
		payload += part;
		len -= part;
	}
}

size_t link_ring_room(const struct link_ring *ring, uint64_t position)
{
	uint64_t left = LINK_RING_BYTES - (ring->end - MAX(position, ring->start));
	uint64_t frames = left / LINK_RING_RECORD + 1;

	return left > frames * PROTOCOL_HEAD_SIZE ? (size_t)(left - frames * PROTOCOL_HEAD_SIZE)
						  : 0;
}

size_t link_ring_get(
	const struct link_ring *ring, uint64_t position, uint8_t out[static LINK_RING_RECORD])
{
	size_t size = MIN(record_size(ring, position), LINK_RING_RECORD);

	copy_out(ring, position, out, size);
	return size;
}

static unsigned int count_lines(const uint8_t *bytes, size_t len)
{
	unsigned int lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines;
}

/* The payload offset after the first n newlines. */
static size_t skip_lines(const uint8_t *bytes, size_t len, unsigned int n)
{
	size_t i = 0;

	for (; i < len && n; i++)
		n -= bytes[i] == '\n';
	return i;
}

uint64_t link_ring_tail(
	const struct link_ring *ring, unsigned int lines, size_t max_bytes, size_t *ret_skip)
{
	uint8_t record[LINK_RING_RECORD];
	unsigned int after = 0;
	uint64_t position;
	size_t size;

	for (position = ring->start; position < ring->end; position += size) {
		size = link_ring_get(ring, position, record);
		after += count_lines(record + PROTOCOL_HEAD_SIZE, size - PROTOCOL_HEAD_SIZE);
	}
	for (position = ring->start; position < ring->end; position += size) {
		unsigned int here;

		size = link_ring_get(ring, position, record);
		here = count_lines(record + PROTOCOL_HEAD_SIZE, size - PROTOCOL_HEAD_SIZE);
		if (after - here < lines && ring->end - position <= max_bytes) {
			*ret_skip = after > lines
					    ? skip_lines(record + PROTOCOL_HEAD_SIZE,
						      size - PROTOCOL_HEAD_SIZE, after - lines)
					    : 0;
			return position;
		}
		after -= here;
	}
	*ret_skip = 0;
	return ring->end;
}
