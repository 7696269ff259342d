/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/balloon.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

#define DEVICE_ID     5
#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1
#define QUEUE_COUNT   5

#define F_DEFLATE_ON_OOM 2
#define F_REPORTING	 5

/* 5.5.4: le32 num_pages, le32 actual */
#define CONFIG_SIZE   8
#define CONFIG_ACTUAL 4

#define PAGE_NUMBERS_CHUNK 256 /* copied from the chain at a time */

void balloon_init(struct balloon *balloon)
{
	*balloon = (struct balloon){};
}

static uint64_t balloon_features(void *state)
{
	(void)state;
	return 1ull << F_DEFLATE_ON_OOM | 1ull << F_REPORTING;
}

static int balloon_activate(void *state, struct virtio_device *vdev)
{
	struct balloon *balloon = state;

	balloon->vdev = vdev;
	return 0;
}

/* No chain is held between calls. A new driver begins with an empty balloon. */
static void balloon_reset(void *state)
{
	struct balloon *balloon = state;

	balloon->vdev = NULL;
	balloon->actual_pages = 0;
}

/* A stretch of pages that is growing; count 0: none yet. */
struct run {
	uint64_t first_page;
	uint64_t count;
};

static int discard_run(struct balloon *balloon, struct run *run)
{
	uint64_t gpa = run->first_page * BALLOON_PAGE_SIZE, len = run->count * BALLOON_PAGE_SIZE;

	if (!run->count)
		return 0;
	/* A page number that is no RAM, or no page of it: the driver's fault. */
	if (guest_memory_discard(balloon->vdev->memory, gpa, len) < 0)
		return -EPROTO;
	balloon->inflated_pages += run->count;
	balloon->runs++;
	run->count = 0;
	return 0;
}

static int add_to_run(struct balloon *balloon, struct run *run, uint32_t page)
{
	int r;

	if (run->count && page == run->first_page + run->count) {
		run->count++;
		return 0;
	}
	/* Drivers that take the highest pages first. */
	if (run->count && (uint64_t)page + 1 == run->first_page) {
		run->first_page--;
		run->count++;
		return 0;
	}
	r = discard_run(balloon, run);
	*run = (struct run){ .first_page = page, .count = 1 };
	return r;
}

static int inflate_chain(struct balloon *balloon, struct virtq_chain *chain)
{
	uint8_t numbers[PAGE_NUMBERS_CHUNK * 4];
	struct run run = {};
	size_t len;

	if (chain->readable_bytes % 4 || chain->readable_bytes / 4 > BALLOON_CHAIN_PAGES_MAX)
		return -EPROTO;
	while ((len = virtq_chain_read(chain, numbers, sizeof(numbers))) != 0) {
		for (size_t at = 0; at < len; at += 4) {
			int r = add_to_run(balloon, &run, load_le32(numbers + at));

			if (r < 0)
				return r;
		}
	}
	return discard_run(balloon, &run);
}

static int deflate_chain(struct balloon *balloon, struct virtq_chain *chain)
{
	(void)balloon;
	if (chain->readable_bytes % 4 || chain->readable_bytes / 4 > BALLOON_CHAIN_PAGES_MAX)
		return -EPROTO;
	return 0;
}

/* The contract shows devices slices, not addresses; discarding wants the address back. */
static int discard_host_range(struct balloon *balloon, const uint8_t *host, uint64_t len)
{
	const struct guest_memory *memory = balloon->vdev->memory;

	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct guest_region *region = &memory->regions[i];
		uint64_t start, end;

		if (host < region->host || (uint64_t)(host - region->host) >= region->size_bytes)
			continue;
		/* Whole pages inside the slice only. */
		start = align_up((uint64_t)(host - region->host), BALLOON_PAGE_SIZE);
		end = ((uint64_t)(host - region->host) + len) & ~(uint64_t)(BALLOON_PAGE_SIZE - 1);
		if (start >= end)
			return 0;
		if (guest_memory_discard(memory, region->gpa + start, end - start) < 0)
			return -EPROTO;
		balloon->reported_bytes += end - start;
		balloon->runs++;
		return 0;
	}
	return -EPROTO;
}

/* 5.5.6.9: the buffers themselves are the free pages. */
static int report_chain(struct balloon *balloon, struct virtq_chain *chain)
{
	struct iovec slice;
	size_t bytes;

	while (virtq_chain_peek_writable(chain, &slice, 1, SIZE_MAX, &bytes)) {
		int r = discard_host_range(balloon, slice.iov_base, slice.iov_len);

		if (r < 0)
			return r;
		virtq_chain_skip_writable(chain, slice.iov_len);
	}
	return 0;
}

static int serve(struct balloon *balloon, uint16_t queue, struct virtq_chain *chain)
{
	if (queue == QUEUE_INFLATE)
		return inflate_chain(balloon, chain);
	if (queue == QUEUE_DEFLATE)
		return deflate_chain(balloon, chain);
	if (!virtio_device_has(balloon->vdev, F_REPORTING))
		return -EPROTO;
	return report_chain(balloon, chain);
}

static int balloon_notify(void *state, uint16_t queue)
{
	struct balloon *balloon = state;
	struct virtqueue *vq = &balloon->vdev->queues[queue];
	struct virtq_chain chain;
	int r = 0;

	balloon->runs = 0;
	for (unsigned int i = 0; i < vq->size && balloon->runs < BALLOON_NOTIFY_RUNS_MAX; i++) {
		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		r = serve(balloon, queue, &chain);
		if (r < 0)
			break;
		virtqueue_push(vq, chain.head, 0);
	}
	virtio_device_signal(balloon->vdev, queue);
	return r < 0 ? r : 0;
}

static size_t balloon_config_size(void *state)
{
	(void)state;
	return CONFIG_SIZE;
}

static void encode_config(const struct balloon *balloon, uint8_t config[static CONFIG_SIZE])
{
	store_le32(config, balloon->target_pages);
	store_le32(config + CONFIG_ACTUAL, balloon->actual_pages);
}

static void balloon_config_read(void *state, size_t offset, void *data, size_t len)
{
	uint8_t config[CONFIG_SIZE];

	encode_config(state, config);
	memcpy(data, config + offset, len);
}

/* Only `actual` is the driver's. */
static void balloon_config_write(void *state, size_t offset, const void *data, size_t len)
{
	struct balloon *balloon = state;

	if (offset == CONFIG_ACTUAL && len == 4)
		balloon->actual_pages = load_le32(data);
}

void balloon_set_target(struct balloon *balloon, uint64_t pages)
{
	uint64_t limit = UINT32_MAX;

	if (balloon->vdev)
		limit = MIN(limit, balloon->vdev->memory->size_bytes / BALLOON_PAGE_SIZE);
	balloon->target_pages = (uint32_t)MIN(pages, limit);
	if (balloon->vdev)
		virtio_device_config_changed(balloon->vdev);
}

const struct virtio_device_ops balloon_device_ops = {
	.name = "balloon",
	.device_id = DEVICE_ID,
	.queue_count = QUEUE_COUNT,
	.queue_size = 128,
	.features = balloon_features,
	.activate = balloon_activate,
	.reset = balloon_reset,
	.notify = balloon_notify,
	.config_size = balloon_config_size,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
};
