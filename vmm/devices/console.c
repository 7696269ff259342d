/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/console.h"

#include <errno.h>

#include "vmm/base/array.h"

#define DEVICE_ID      3
#define QUEUE_RECEIVE  0
#define QUEUE_TRANSMIT 1
#define COPY_CHUNK     4096

void console_init(struct console *console,
	void (*output)(void *data, const void *bytes, size_t len), void *output_data)
{
	*console = (struct console){ .output = output, .output_data = output_data };
}

static uint64_t console_features(void *state)
{
	(void)state;
	return 0;
}

static int console_activate(void *state, struct virtio_device *vdev)
{
	struct console *console = state;

	console->vdev = vdev;
	return 0;
}

/* No chain is held between calls. */
static void console_reset(void *state)
{
	struct console *console = state;

	console->vdev = NULL;
}

/* The next piece of the ring that lies in one stretch. */
static size_t write_input(struct console *console, struct virtq_chain *chain)
{
	size_t len = MIN(console->input_count, CONSOLE_INPUT_MAX - console->input_first);
	size_t written = virtq_chain_write(chain, console->input + console->input_first, len);

	console->input_first = (console->input_first + written) % CONSOLE_INPUT_MAX;
	console->input_count -= written;
	return written;
}

static int feed_input(struct console *console)
{
	struct virtqueue *vq = &console->vdev->queues[QUEUE_RECEIVE];
	struct virtq_chain chain;
	int r = 0;

	while (console->input_count) {
		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		if (!chain.writable_bytes)
			return -EPROTO;
		while (console->input_count && write_input(console, &chain))
			;
		virtqueue_push(vq, chain.head, (uint32_t)chain.bytes_written);
	}
	virtio_device_signal(console->vdev, QUEUE_RECEIVE);
	return r < 0 ? r : 0;
}

/* Gives how many bytes went out. */
static size_t put_out(struct console *console, struct virtq_chain *chain)
{
	uint8_t chunk[COPY_CHUNK];
	size_t total = 0;

	while (total < CONSOLE_CHAIN_BYTES_MAX) {
		size_t len = virtq_chain_read(
			chain, chunk, MIN(sizeof(chunk), CONSOLE_CHAIN_BYTES_MAX - total));

		if (!len)
			break;
		console->output(console->output_data, chunk, len);
		total += len;
	}
	console->dropped += virtq_chain_readable_left(chain);
	return total;
}

static int drain_output(struct console *console)
{
	struct virtqueue *vq = &console->vdev->queues[QUEUE_TRANSMIT];
	struct virtq_chain chain;
	size_t bytes = 0;
	int r = 0;

	for (unsigned int i = 0; i < VIRTIO_NOTIFY_CHAINS && bytes < CONSOLE_NOTIFY_BYTES_MAX;
		i++) {
		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		bytes += put_out(console, &chain);
		virtqueue_push(vq, chain.head, 0);
	}
	virtio_device_signal(console->vdev, QUEUE_TRANSMIT);
	return r < 0 ? r : 0;
}

static int console_notify(void *state, uint16_t queue)
{
	return queue == QUEUE_RECEIVE ? feed_input(state) : drain_output(state);
}

size_t console_input(struct console *console, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t taken = MIN(len, CONSOLE_INPUT_MAX - console->input_count);

	for (size_t i = 0; i < taken; i++)
		console->input[(console->input_first + console->input_count++) %
			       CONSOLE_INPUT_MAX] = p[i];
	if (console->vdev && virtio_device_is_usable(console->vdev) && feed_input(console) < 0)
		virtio_device_fault(console->vdev);
	return taken;
}

const struct virtio_device_ops console_device_ops = {
	.name = "console",
	.device_id = DEVICE_ID,
	.queue_count = 2,
	.queue_size = 64,
	.features = console_features,
	.activate = console_activate,
	.reset = console_reset,
	.notify = console_notify,
};
