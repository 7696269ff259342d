/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/device.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/checked.h"
#include "vmm/base/log.h"

#define TRANSPORT_FEATURES                                                                         \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_EVENT_IDX | 1ull << VIRTIO_F_INDIRECT_DESC)

void virtio_device_init(struct virtio_device *vdev, const struct virtio_device_ops *ops,
	void *state, struct loop *loop, const struct guest_memory *memory)
{
	/* Our own tables, not input. */
	assert(ops->queue_count <= VIRTIO_QUEUES_MAX);
	assert(is_power_of_two(ops->queue_size) && ops->queue_size <= VIRTQUEUE_SIZE_MAX);
	assert(!ops->config_size || ops->config_size(state) <= VIRTIO_CONFIG_MAX);
	*vdev = (struct virtio_device){
		.ops = ops,
		.state = state,
		.loop = loop,
		.memory = memory,
		.offered = TRANSPORT_FEATURES | (ops->features ? ops->features(state) : 0),
	};
}

/* Only once until the driver resets: what a broken driver does after that changes nothing. */
void virtio_device_fault(struct virtio_device *vdev)
{
	if (atomic_exchange(&vdev->needs_reset, true))
		return;
	vdev->faults++;
	log_ratelimited(LOG_WARN,
		"device %u (%s): the guest's driver broke the rules; it needs a reset", vdev->index,
		vdev->ops->name);
	if (vdev->transport_ops)
		vdev->transport_ops->signal_config(vdev->transport);
	if (vdev->on_fault)
		vdev->on_fault(vdev->on_fault_data, vdev);
}

/* What an op gave back. Whatever went wrong, the guest loses this device and nothing else (V7). */
static int check_result(struct virtio_device *vdev, const char *op, int r)
{
	if (r >= 0)
		return 0;
	log_debug("device %u (%s): %s: %d", vdev->index, vdev->ops->name, op, r);
	virtio_device_fault(vdev);
	return r;
}

int virtio_device_activate(struct virtio_device *vdev)
{
	int r;

	assert(!vdev->active);
	log_debug("device %u (%s): activate, features %#llx", vdev->index, vdev->ops->name,
		(unsigned long long)vdev->negotiated);
	/* Before the call: the device may signal or fault from inside. */
	vdev->active = true;
	r = check_result(vdev, "activate", vdev->ops->activate(vdev->state, vdev));
	if (r < 0)
		vdev->active = false;
	return r;
}

void virtio_device_reset(struct virtio_device *vdev)
{
	log_debug("device %u (%s): reset", vdev->index, vdev->ops->name);
	vdev->ops->reset(vdev->state);
	vdev->active = false;
	vdev->negotiated = 0;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		virtqueue_reset(&vdev->queues[i]);
	atomic_store(&vdev->needs_reset, false);
}

bool virtio_device_notify(struct virtio_device *vdev, uint16_t queue)
{
	struct virtqueue *vq;
	uint16_t before;

	assert(queue < vdev->ops->queue_count);
	vq = &vdev->queues[queue];
	if (!virtio_device_is_usable(vdev) || !vq->size)
		return false;
	before = vq->next_avail;
	if (check_result(vdev, "notify", vdev->ops->notify(vdev->state, queue)) < 0)
		return false;
	if (!virtio_device_is_usable(vdev))
		return false;
	/* A device that stopped just before the end has not asked for the next kick. */
	if (!virtqueue_has_more(vq) && vq->wants_kick)
		virtqueue_want_kick(vq, true);
	return vq->next_avail != before && virtqueue_has_more(vq);
}

static size_t config_size(const struct virtio_device *vdev)
{
	size_t size = vdev->ops->config_size ? vdev->ops->config_size(vdev->state) : 0;

	assert(size <= VIRTIO_CONFIG_MAX);
	return size;
}

void virtio_device_config_read(struct virtio_device *vdev, size_t offset, void *data, size_t len)
{
	memset(data, 0xff, len);
	if (vdev->ops->config_read && range_fits(offset, len, config_size(vdev)))
		vdev->ops->config_read(vdev->state, offset, data, len);
}

void virtio_device_config_write(
	struct virtio_device *vdev, size_t offset, const void *data, size_t len)
{
	if (vdev->ops->config_write && range_fits(offset, len, config_size(vdev)))
		vdev->ops->config_write(vdev->state, offset, data, len);
}

void virtio_device_signal(struct virtio_device *vdev, uint16_t queue)
{
	assert(queue < vdev->ops->queue_count);
	if (vdev->active && virtqueue_should_signal(&vdev->queues[queue]))
		vdev->transport_ops->signal_queue(vdev->transport, queue);
}

void virtio_device_config_changed(struct virtio_device *vdev)
{
	if (vdev->transport_ops)
		vdev->transport_ops->signal_config(vdev->transport);
}
