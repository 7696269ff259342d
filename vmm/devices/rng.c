/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/rng.h"

#include <errno.h>
#include <sys/random.h>

#define DEVICE_ID 4
#define CHUNK	  256 /* getrandom(2) is never cut short or interrupted up to this */

void rng_init(struct rng *rng)
{
	*rng = (struct rng){};
}

static uint64_t rng_features(void *state)
{
	(void)state;
	return 0;
}

static int rng_activate(void *state, struct virtio_device *vdev)
{
	struct rng *rng = state;

	rng->vdev = vdev;
	return 0;
}

static void rng_reset(void *state)
{
	struct rng *rng = state;

	rng->vdev = NULL;
}

static int fill(struct virtq_chain *chain)
{
	uint8_t bytes[CHUNK];

	while (chain->bytes_written < RNG_REQUEST_BYTES_MAX && virtq_chain_writable_left(chain)) {
		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			return -EIO;
		virtq_chain_write(chain, bytes, sizeof(bytes));
	}
	return 0;
}

/* The queue is short, so one notify is bounded by its size. */
static int rng_notify(void *state, uint16_t queue)
{
	struct rng *rng = state;
	struct virtqueue *vq = &rng->vdev->queues[queue];
	struct virtq_chain chain;
	int r = 0;

	for (unsigned int i = 0; i < vq->size; i++) {
		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		r = chain.writable_bytes ? fill(&chain) : -EPROTO;
		if (r < 0)
			break;
		rng->bytes_given += chain.bytes_written;
		virtqueue_push(vq, chain.head, (uint32_t)chain.bytes_written);
	}
	virtio_device_signal(rng->vdev, queue);
	return r < 0 ? r : 0;
}

const struct virtio_device_ops rng_device_ops = {
	.name = "rng",
	.device_id = DEVICE_ID,
	.queue_count = 1,
	.queue_size = 16,
	.features = rng_features,
	.activate = rng_activate,
	.reset = rng_reset,
	.notify = rng_notify,
};
