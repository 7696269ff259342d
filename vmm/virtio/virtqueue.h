/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A split virtqueue, device side (virtio 1.2, section 2.7), with EVENT_IDX (2.7.10) and indirect descriptors (2.7.5.3).
 * Pure: no fd, no thread, no log; memory is reached by guest_slice() only.
 *
 * Everything in the rings is the driver's and hostile. Each descriptor is fetched once into private memory, `addr + len`
 * is overflow-checked, a chain has at most `size` descriptors (indirect ones counted), indirect tables do not nest, a
 * readable descriptor after a writable one is a fault, a zero-length descriptor is allowed and skipped. (V1, V2, V3, V7)
 *
 * A chain is a byte stream: a first part the device reads, then a part it writes, split over any number of descriptors.
 *
 * The struct is plain state that can be written down and read back.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/machine/memory.h"

#define VIRTQUEUE_SIZE_MAX 256 /* what the device offers as QueueNumMax; a power of two */
/* All descriptors of one chain together. Free-page reporting has the longest: 32 blocks of 4 MiB. */
#define VIRTQUEUE_CHAIN_BYTES_MAX (256ull << 20)

struct virtqueue {
	const struct guest_memory *memory; /* borrowed */
	uint16_t size; /* latched at DRIVER_OK, as are the three addresses (V1); 0: not ready */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool event_idx; /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect; /* VIRTIO_F_INDIRECT_DESC was negotiated */
	uint16_t next_avail; /* free-running index of the next entry to take */
	uint16_t next_used; /* free-running index of the next entry to write */
	uint16_t signalled_used; /* next_used when the driver was last interrupted */
	bool signalled_valid;
	uint16_t in_flight; /* popped, not pushed; never above size */
	bool wants_kick; /* as virtqueue_want_kick() left it; true at first */
};

/* One popped chain. Slices point into guest RAM. Popped chains must be pushed in the end, or the queue be reset. */
struct virtq_chain {
	uint16_t head;
	uint16_t readable_count, writable_count;
	struct iovec
		slices[VIRTQUEUE_SIZE_MAX]; /* first the readable ones, then the writable ones */
	size_t readable_bytes, writable_bytes; /* in all, as popped */
	bool writable_seen; /* the walk has left the readable part */
	/* cursors */
	uint16_t read_index, write_index;
	size_t read_offset, write_offset;
	size_t bytes_read, bytes_written;
};

/*
 * Validates size (a power of two up to VIRTQUEUE_SIZE_MAX), alignment (16, 2, 4) and that the three rings lie in RAM.
 * -EPROTO where they do not; the queue is untouched then.
 */
int virtqueue_init(struct virtqueue *vq, const struct guest_memory *memory, uint16_t size,
	uint64_t desc_gpa, uint64_t avail_gpa, uint64_t used_gpa, bool event_idx, bool indirect);
void virtqueue_reset(struct virtqueue *vq); /* back to not ready */

/*
 * 1: *ret holds the next chain; 0: nothing there, and the driver's next kick is asked for (so whoever drains until 0 needs
 * no virtqueue_want_kick()); -EPROTO: the driver broke the rules (the caller reports it; *ret is undefined then).
 */
int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *ret);
/* Puts the last popped chain back as if it had not been taken. Only directly after its pop. */
void virtqueue_unpop(struct virtqueue *vq);
/* Gives a chain back with `written` bytes valid in its writable part. */
void virtqueue_push(struct virtqueue *vq, uint16_t head, uint32_t written);
/* Whether the driver wants an interrupt for what was pushed since the last call (2.7.7, 2.7.10). */
bool virtqueue_should_signal(struct virtqueue *vq);
/*
 * Asks the driver for kicks (true, as at first) or asks it to be quiet (false). After true, look at the queue once more.
 * Not needed by a device that pops until 0.
 */
void virtqueue_want_kick(struct virtqueue *vq, bool want);
/* Whether pop would find something now. */
bool virtqueue_has_more(const struct virtqueue *vq);

/* Copies up to len bytes from (to) the chain at its cursor; gives how many there were. */
size_t virtq_chain_read(struct virtq_chain *chain, void *data, size_t len);
size_t virtq_chain_write(struct virtq_chain *chain, const void *data, size_t len);
static inline size_t virtq_chain_readable_left(const struct virtq_chain *chain)
{
	return chain->readable_bytes - chain->bytes_read;
}
static inline size_t virtq_chain_writable_left(const struct virtq_chain *chain)
{
	return chain->writable_bytes - chain->bytes_written;
}
/*
 * The next bytes at the cursor as slices for readv/writev, at most len bytes and max_slices; gives the number of
 * slices and, in *ret_bytes, their bytes. The cursor does not move: virtq_chain_skip_* does, by what was really done.
 */
size_t virtq_chain_peek_readable(const struct virtq_chain *chain, struct iovec *slices,
	size_t max_slices, size_t len, size_t *ret_bytes);
size_t virtq_chain_peek_writable(const struct virtq_chain *chain, struct iovec *slices,
	size_t max_slices, size_t len, size_t *ret_bytes);
void virtq_chain_skip_readable(struct virtq_chain *chain, size_t len);
void virtq_chain_skip_writable(struct virtq_chain *chain, size_t len);
