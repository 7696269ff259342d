/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The driver's side of a virtqueue, over a fake guest's memory: so that every device (and the 9p server behind one) is
 * driven in unit tests and fuzz targets without a guest.
 *
 * Three layers, each usable alone:
 *  - struct fake_guest: guest RAM between two unreadable pages, with a bump allocator;
 *  - struct virtq_driver: one split queue as a driver sees it: chains of any split, direct or indirect, kicks and
 *    interrupts by EVENT_IDX or flags, used entries collected; raw access to every ring field for hostile tests;
 *  - struct virtio_driver: a whole device with a fake transport: negotiate, start, request, reset.
 *
 * A test's own mistake aborts: this is never linked into the product. Single-threaded.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/machine/memory.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/virtqueue.h"

#define FAKE_GUEST_GPA                                                                             \
	0x10000u /* RAM does not begin at 0, so that a stray zero address is caught */
#define VIRTQ_DRIVER_PARTS_MAX 512

struct fake_guest {
	struct guest_memory memory; /* what the device is given */
	uint8_t *ram;
	uint64_t size_bytes;
	uint64_t next_free; /* offset */
};

/* size_bytes is rounded up to whole pages. */
void fake_guest_init(struct fake_guest *guest, uint64_t size_bytes);
void fake_guest_finish(struct fake_guest *guest);
/* Zeroed guest memory; gives its gpa. Aborts where RAM is used up. */
uint64_t fake_guest_alloc(struct fake_guest *guest, uint64_t len, uint64_t align);
/* Host address of guest memory; aborts where it is none. */
void *fake_guest_at(struct fake_guest *guest, uint64_t gpa, uint64_t len);

/* One descriptor to be. */
struct virtq_driver_part {
	uint64_t gpa;
	uint32_t len;
	bool writable;
};

struct virtq_driver {
	struct fake_guest *guest;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool event_idx;
	uint16_t avail_idx; /* what was made available */
	uint16_t kicked_idx; /* avail_idx at the last virtq_driver_needs_kick() */
	uint16_t last_used; /* what was collected */
	uint16_t free_head, free_count;
	uint16_t next_free[VIRTQUEUE_SIZE_MAX];
	uint16_t chain_length
		[VIRTQUEUE_SIZE_MAX]; /* by head: descriptors taken; 0: not outstanding */
	uint64_t in_gpa
		[VIRTQUEUE_SIZE_MAX]; /* by head, for virtq_driver_request(): the parts' own memory */
	uint32_t in_len[VIRTQUEUE_SIZE_MAX];
	uint16_t outstanding;
};

void virtq_driver_init(
	struct virtq_driver *driver, struct fake_guest *guest, uint16_t size, bool event_idx);
/* The device's side of the same rings. */
int virtq_driver_connect(const struct virtq_driver *driver, struct virtqueue *vq, bool indirect);

/*
 * Makes one chain available; readable parts first is the caller's business (hostile tests get it wrong on purpose).
 * Gives the head, or -ENOSPC where descriptors are used up. indirect: one descriptor and a table in fresh memory.
 */
int virtq_driver_add(struct virtq_driver *driver, const struct virtq_driver_part *parts,
	size_t count, bool indirect);

/*
 * The usual request: out_len bytes to be read by the device and room for in_len bytes, in fresh guest memory, each of the
 * two cut into parts of `split` bytes (0: one part each; the last part is what is left). Gives the head, or -ENOSPC.
 */
int virtq_driver_request(struct virtq_driver *driver, const void *out, size_t out_len,
	size_t in_len, size_t split, bool indirect);

/* True where the device asked to be kicked for what was made available since the last call. */
bool virtq_driver_needs_kick(struct virtq_driver *driver);
/* Asks for an interrupt at the next used entry (EVENT_IDX: used_event), or for none. */
void virtq_driver_want_interrupt(struct virtq_driver *driver, bool want);

/*
 * Takes the next used entry: its head and length. False where there is none. Aborts where the device returned what was
 * not outstanding. What virtq_driver_request() made room for is copied to `in` (at most in_size; NULL: nothing).
 */
bool virtq_driver_collect(struct virtq_driver *driver, uint16_t *ret_head, uint32_t *ret_written,
	void *in, size_t in_size);

/* Raw ring access for hostile tests. */
void virtq_driver_write_desc(struct virtq_driver *driver, uint64_t table_gpa, uint16_t index,
	uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next);
void virtq_driver_offer_head(
	struct virtq_driver *driver, uint16_t head); /* puts it into avail and moves idx */
void virtq_driver_write_avail_idx(struct virtq_driver *driver, uint16_t idx);
uint16_t virtq_driver_used_idx(const struct virtq_driver *driver);

/* A device under test, with a transport that counts. */
struct virtio_driver {
	struct fake_guest *guest;
	struct virtio_device *vdev;
	struct virtq_driver queues[VIRTIO_QUEUES_MAX];
	unsigned int queue_signals[VIRTIO_QUEUES_MAX];
	unsigned int config_signals;
};

/* Gives vdev its transport. vdev is initialised; its loop may be NULL if the device needs none. */
void virtio_driver_init(
	struct virtio_driver *driver, struct fake_guest *guest, struct virtio_device *vdev);
/* Negotiates `features` (cut to what is offered, VERSION_1 added), makes the queues, activates. */
int virtio_driver_start(struct virtio_driver *driver, uint64_t features);
/* Resets the device; what was outstanding is forgotten. */
void virtio_driver_reset(struct virtio_driver *driver);
/* A kick, if the device wants one. True if it did. */
bool virtio_driver_kick(struct virtio_driver *driver, uint16_t queue);
/*
 * One request there and back: adds, kicks, runs the loop (if there is one, for at most timeout 1 s) until it is used.
 * Gives the number of bytes the device says it wrote, or -ETIMEDOUT, or -EIO where the device needs a reset.
 */
int64_t virtio_driver_call(struct virtio_driver *driver, uint16_t queue, const void *out,
	size_t out_len, void *in, size_t in_size, size_t split, bool indirect);
