/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-balloon (virtio 1.2, section 5.5): pages the guest puts into the balloon, or reports as free, go back to the host.
 *
 * Theory of operation. Inflating and free-page reporting end in the same place, guest_memory_discard(): the pages read as
 * zero afterwards and take no host memory until they are written again. A guest that lies about a page loses the page's
 * contents, nothing else. Deflating needs no work on the host. Neighbouring pages are discarded together, and every count
 * is bounded.
 *
 * Statistics and free-page hinting are not offered. Then the reporting queue is the third by the numbering of most drivers,
 * and the fifth by the letter of 5.5.2 (some drivers follow that): so five queues, and all but the first two report.
 *
 * Threads: everything on the device's loop.
 */
#include <stdint.h>

#include "vmm/virtio/device.h"

#define BALLOON_CHAIN_PAGES_MAX                                                                    \
	4096 /* page numbers in one inflate or deflate request; more is a fault */
#define BALLOON_NOTIFY_RUNS_MAX 4096 /* discards before others on the loop have their turn */
#define BALLOON_PAGE_SIZE	4096u

struct balloon {
	struct virtio_device *vdev;
	uint32_t target_pages; /* what the host asks for: num_pages */
	uint32_t actual_pages; /* what the driver says it has given. Guest's word */
	unsigned int runs; /* discards in this notify */
	uint64_t inflated_pages, reported_bytes; /* since the start */
};

extern const struct virtio_device_ops balloon_device_ops; /* state is a struct balloon * */

void balloon_init(struct balloon *balloon);
/* Asks the driver to give up so many pages (cut to what RAM there is). On the loop. */
void balloon_set_target(struct balloon *balloon, uint64_t pages);
