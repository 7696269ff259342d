/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/virtqueue.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

/* virtio 1.2, 2.7.5: struct virtq_desc, as offsets into its 16 bytes. */
#define DESC_SIZE	16
#define DESC_F_NEXT	1
#define DESC_F_WRITE	2
#define DESC_F_INDIRECT 4
#define DESC_F_KNOWN	(DESC_F_NEXT | DESC_F_WRITE | DESC_F_INDIRECT)

/* 2.7.6 and 2.7.8: flags, idx, ring[size], and the peer's event index after the ring. */
#define AVAIL_F_NO_INTERRUPT 1
#define USED_F_NO_NOTIFY     1
#define RING_FLAGS	     0
#define RING_IDX	     2
#define RING_ENTRIES	     4
#define AVAIL_ENTRY_SIZE     2
#define USED_ENTRY_SIZE	     8

struct descriptor {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* A table of descriptors: the queue's own, or an indirect one. */
struct descriptor_table {
	const uint8_t *host;
	uint32_t count;
	bool indirect;
};

static size_t avail_size(uint16_t size)
{
	return RING_ENTRIES + (size_t)size * AVAIL_ENTRY_SIZE + 2;
}

static size_t used_size(uint16_t size)
{
	return RING_ENTRIES + (size_t)size * USED_ENTRY_SIZE + 2;
}

/*
 * The rings were checked to lie in RAM at init, and RAM does not change, so these can't be NULL. The field's place is even
 * (alignment was checked too), so that 16-bit atomics are right.
 */
static uint8_t *avail_ring(const struct virtqueue *vq)
{
	return guest_slice(vq->memory, vq->avail_gpa, avail_size(vq->size));
}

static uint8_t *used_ring(const struct virtqueue *vq)
{
	return guest_slice(vq->memory, vq->used_gpa, used_size(vq->size));
}

static uint16_t ring_load(const uint8_t *field)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)field, __ATOMIC_ACQUIRE));
}

static void ring_store(uint8_t *field, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)field, htole16(value), __ATOMIC_RELEASE);
}

static uint16_t ring_slot(const struct virtqueue *vq, uint16_t index)
{
	return index & (uint16_t)(vq->size - 1);
}

int virtqueue_init(struct virtqueue *vq, const struct guest_memory *memory, uint16_t size,
	uint64_t desc_gpa, uint64_t avail_gpa, uint64_t used_gpa, bool event_idx, bool indirect)
{
	if (!is_power_of_two(size) || size > VIRTQUEUE_SIZE_MAX)
		return -EPROTO;
	if (desc_gpa % 16 || avail_gpa % 2 || used_gpa % 4)
		return -EPROTO;
	if (!guest_slice(memory, desc_gpa, (uint64_t)size * DESC_SIZE))
		return -EPROTO;
	if (!guest_slice(memory, avail_gpa, avail_size(size)) ||
		!guest_slice(memory, used_gpa, used_size(size)))
		return -EPROTO;
	*vq = (struct virtqueue){
		.memory = memory,
		.size = size,
		.desc_gpa = desc_gpa,
		.avail_gpa = avail_gpa,
		.used_gpa = used_gpa,
		.event_idx = event_idx,
		.indirect = indirect,
		.wants_kick = true,
	};
	return 0;
}

void virtqueue_reset(struct virtqueue *vq)
{
	*vq = (struct virtqueue){};
}

/* Copies the descriptor once; the fence keeps the compiler from looking into guest RAM again later. */
static struct descriptor fetch(const struct descriptor_table *table, uint16_t index)
{
	uint8_t raw[DESC_SIZE];

	memcpy(raw, table->host + (size_t)index * DESC_SIZE, DESC_SIZE);
	atomic_signal_fence(memory_order_seq_cst);
	return (struct descriptor){
		.gpa = load_le64(raw),
		.len = load_le32(raw + 8),
		.flags = load_le16(raw + 12),
		.next = load_le16(raw + 14),
	};
}

/* 2.7.5.3: an indirect descriptor ends the direct chain; its WRITE flag is ignored; tables do not nest. */
static int enter_indirect(
	const struct virtqueue *vq, const struct descriptor *desc, struct descriptor_table *table)
{
	const uint8_t *host;

	if (!vq->indirect || table->indirect || (desc->flags & DESC_F_NEXT))
		return -EPROTO;
	if (!desc->len || desc->len % DESC_SIZE)
		return -EPROTO;
	host = guest_slice(vq->memory, desc->gpa, desc->len);
	if (!host)
		return -EPROTO;
	*table = (struct descriptor_table){
		.host = host, .count = desc->len / DESC_SIZE, .indirect = true
	};
	return 0;
}

static int add_slice(
	const struct virtqueue *vq, struct virtq_chain *chain, const struct descriptor *desc)
{
	bool writable = desc->flags & DESC_F_WRITE;
	void *host;

	/* 2.7.4.2: all the driver's bytes come first. */
	if (!writable && chain->writable_seen)
		return -EPROTO;
	chain->writable_seen = writable;
	if (!desc->len)
		return 0;
	host = guest_slice(vq->memory, desc->gpa, desc->len);
	if (!host)
		return -EPROTO;
	if (desc->len > VIRTQUEUE_CHAIN_BYTES_MAX - chain->readable_bytes - chain->writable_bytes)
		return -EPROTO;
	chain->slices[chain->readable_count + chain->writable_count] =
		(struct iovec){ .iov_base = host, .iov_len = desc->len };
	if (writable) {
		chain->writable_count++;
		chain->writable_bytes += desc->len;
	} else {
		chain->readable_count++;
		chain->readable_bytes += desc->len;
	}
	return 0;
}

/* At most vq->size descriptors hold buffers, so a loop in the table ends as a fault (V7). */
static int walk(const struct virtqueue *vq, uint16_t head, struct virtq_chain *chain)
{
	struct descriptor_table table = {
		.host = guest_slice(vq->memory, vq->desc_gpa, (uint64_t)vq->size * DESC_SIZE),
		.count = vq->size,
	};
	uint16_t index = head;
	uint16_t buffers = 0;

	for (;;) {
		struct descriptor desc;
		int r;

		if (index >= table.count)
			return -EPROTO;
		desc = fetch(&table, index);
		if (desc.flags & ~DESC_F_KNOWN)
			return -EPROTO;
		if (desc.flags & DESC_F_INDIRECT) {
			r = enter_indirect(vq, &desc, &table);
			if (r < 0)
				return r;
			index = 0;
			continue;
		}
		if (buffers++ == vq->size)
			return -EPROTO;
		r = add_slice(vq, chain, &desc);
		if (r < 0)
			return r;
		if (!(desc.flags & DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

static uint16_t load_avail_idx(const struct virtqueue *vq)
{
	return ring_load(avail_ring(vq) + RING_IDX);
}

/* 2.7.10.1: where the driver's next kick is wanted. The full fence orders it before the look at avail.idx that follows. */
static void publish_avail_event(struct virtqueue *vq)
{
	ring_store(
		used_ring(vq) + RING_ENTRIES + (size_t)vq->size * USED_ENTRY_SIZE, vq->next_avail);
	atomic_thread_fence(memory_order_seq_cst);
}

/* How many chains wait. An empty queue asks for the next kick before it says so. */
static uint16_t count_waiting(struct virtqueue *vq)
{
	uint16_t waiting = (uint16_t)(load_avail_idx(vq) - vq->next_avail);

	if (waiting || !vq->event_idx || !vq->wants_kick)
		return waiting;
	publish_avail_event(vq);
	return (uint16_t)(load_avail_idx(vq) - vq->next_avail);
}

static void clear_chain(struct virtq_chain *chain, uint16_t head)
{
	/* Not the slices: 4 KiB that the walk fills as far as the counts say. */
	chain->head = head;
	chain->readable_count = chain->writable_count = 0;
	chain->writable_seen = false;
	chain->readable_bytes = chain->writable_bytes = 0;
	chain->read_index = chain->write_index = 0;
	chain->read_offset = chain->write_offset = 0;
	chain->bytes_read = chain->bytes_written = 0;
}

int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *ret)
{
	uint16_t waiting, head;
	int r;

	if (!vq->size)
		return 0;
	waiting = count_waiting(vq);
	if (!waiting)
		return 0;
	/* The driver owns `size` descriptors, and a chain takes at least one. */
	if (waiting > vq->size || vq->in_flight >= vq->size)
		return -EPROTO;
	head = ring_load(avail_ring(vq) + RING_ENTRIES +
			 (size_t)ring_slot(vq, vq->next_avail) * AVAIL_ENTRY_SIZE);
	if (head >= vq->size)
		return -EPROTO;
	clear_chain(ret, head);
	r = walk(vq, head, ret);
	if (r < 0)
		return r;
	vq->next_avail++;
	vq->in_flight++;
	return 1;
}

void virtqueue_unpop(struct virtqueue *vq)
{
	if (!vq->size || !vq->in_flight)
		return;
	vq->next_avail--;
	vq->in_flight--;
}

void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written)
{
	uint8_t *used, *entry;

	if (!vq->size || !vq->in_flight)
		return;
	used = used_ring(vq);
	entry = used + RING_ENTRIES + (size_t)ring_slot(vq, vq->next_used) * USED_ENTRY_SIZE;
	store_le32(entry, head);
	store_le32(entry + 4, written);
	vq->next_used++;
	vq->in_flight--;
	ring_store(used + RING_IDX, vq->next_used);
}

bool virtqueue_should_signal(struct virtqueue *vq)
{
	uint16_t old = vq->signalled_used, fresh = vq->next_used, event;
	const uint8_t *avail;

	if (!vq->size || old == fresh)
		return false;
	/* used.idx must be visible before the driver's wish is read: else both sides sleep. */
	atomic_thread_fence(memory_order_seq_cst);
	avail = avail_ring(vq);
	if (!vq->event_idx) {
		vq->signalled_used = fresh;
		vq->signalled_valid = true;
		return !(ring_load(avail + RING_FLAGS) & AVAIL_F_NO_INTERRUPT);
	}
	event = ring_load(avail + RING_ENTRIES + (size_t)vq->size * AVAIL_ENTRY_SIZE);
	vq->signalled_used = fresh;
	if (!vq->signalled_valid) {
		vq->signalled_valid = true;
		return true;
	}
	/* 2.7.10: yes if used_event lies in [old, fresh), all modulo 2^16. */
	return (uint16_t)(fresh - event - 1) < (uint16_t)(fresh - old);
}

void virtqueue_want_kick(struct virtqueue *vq, bool want)
{
	if (!vq->size)
		return;
	vq->wants_kick = want;
	if (!vq->event_idx) {
		ring_store(used_ring(vq) + RING_FLAGS, want ? 0 : USED_F_NO_NOTIFY);
		atomic_thread_fence(memory_order_seq_cst);
	} else if (want) {
		publish_avail_event(vq);
	}
}

bool virtqueue_has_more(const struct virtqueue *vq)
{
	return vq->size && load_avail_idx(vq) != vq->next_avail;
}

/* One of a chain's two cursors, so that reading and writing share their arithmetic. */
struct cursor {
	const struct iovec *slices;
	uint16_t count;
	uint16_t index;
	size_t offset;
};

static struct cursor read_cursor(const struct virtq_chain *chain)
{
	return (struct cursor){
		.slices = chain->slices,
		.count = chain->readable_count,
		.index = chain->read_index,
		.offset = chain->read_offset,
	};
}

static struct cursor write_cursor(const struct virtq_chain *chain)
{
	return (struct cursor){
		.slices = chain->slices + chain->readable_count,
		.count = chain->writable_count,
		.index = chain->write_index,
		.offset = chain->write_offset,
	};
}

/* The next piece of at most len bytes; moves on. An empty one at the end. */
static struct iovec cursor_take(struct cursor *cursor, size_t len)
{
	const struct iovec *slice;
	struct iovec piece;

	if (cursor->index == cursor->count)
		return (struct iovec){};
	slice = &cursor->slices[cursor->index];
	piece.iov_base = (uint8_t *)slice->iov_base + cursor->offset;
	piece.iov_len = MIN(len, slice->iov_len - cursor->offset);
	cursor->offset += piece.iov_len;
	if (cursor->offset == slice->iov_len) {
		cursor->index++;
		cursor->offset = 0;
	}
	return piece;
}

static size_t cursor_peek(struct cursor cursor, struct iovec *slices, size_t max_slices, size_t len,
	size_t *ret_bytes)
{
	size_t count = 0, bytes = 0;

	while (count < max_slices && bytes < len && cursor.index < cursor.count) {
		slices[count] = cursor_take(&cursor, len - bytes);
		bytes += slices[count++].iov_len;
	}
	*ret_bytes = bytes;
	return count;
}

size_t virtq_chain_read(struct virtq_chain *chain, void *data, size_t len)
{
	struct cursor cursor = read_cursor(chain);
	size_t want = MIN(len, virtq_chain_readable_left(chain)), done = 0;

	while (done < want) {
		struct iovec piece = cursor_take(&cursor, want - done);

		memcpy((uint8_t *)data + done, piece.iov_base, piece.iov_len);
		done += piece.iov_len;
	}
	/* What was copied is what gets used, whatever the driver does to RAM now. */
	atomic_signal_fence(memory_order_seq_cst);
	chain->read_index = cursor.index;
	chain->read_offset = cursor.offset;
	chain->bytes_read += done;
	return done;
}

size_t virtq_chain_write(struct virtq_chain *chain, const void *data, size_t len)
{
	struct cursor cursor = write_cursor(chain);
	size_t want = MIN(len, virtq_chain_writable_left(chain)), done = 0;

	while (done < want) {
		struct iovec piece = cursor_take(&cursor, want - done);

		memcpy(piece.iov_base, (const uint8_t *)data + done, piece.iov_len);
		done += piece.iov_len;
	}
	chain->write_index = cursor.index;
	chain->write_offset = cursor.offset;
	chain->bytes_written += done;
	return done;
}

size_t virtq_chain_peek_readable(const struct virtq_chain *chain, struct iovec *slices,
	size_t max_slices, size_t len, size_t *ret_bytes)
{
	return cursor_peek(read_cursor(chain), slices, max_slices, len, ret_bytes);
}

size_t virtq_chain_peek_writable(const struct virtq_chain *chain, struct iovec *slices,
	size_t max_slices, size_t len, size_t *ret_bytes)
{
	return cursor_peek(write_cursor(chain), slices, max_slices, len, ret_bytes);
}

void virtq_chain_skip_readable(struct virtq_chain *chain, size_t len)
{
	struct cursor cursor = read_cursor(chain);
	size_t want = MIN(len, virtq_chain_readable_left(chain)), done = 0;

	while (done < want)
		done += cursor_take(&cursor, want - done).iov_len;
	chain->read_index = cursor.index;
	chain->read_offset = cursor.offset;
	chain->bytes_read += done;
}

void virtq_chain_skip_writable(struct virtq_chain *chain, size_t len)
{
	struct cursor cursor = write_cursor(chain);
	size_t want = MIN(len, virtq_chain_writable_left(chain)), done = 0;

	while (done < want)
		done += cursor_take(&cursor, want - done).iov_len;
	chain->write_index = cursor.index;
	chain->write_offset = cursor.offset;
	chain->bytes_written += done;
}
