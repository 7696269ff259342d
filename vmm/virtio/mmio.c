/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/mmio.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"
#include "vmm/base/cleanup.h"

/* 4.2.2 MMIO device register layout */
#define REG_MAGIC		0x000
#define REG_VERSION		0x004
#define REG_DEVICE_ID		0x008
#define REG_VENDOR_ID		0x00c
#define REG_DEVICE_FEATURES	0x010
#define REG_DEVICE_FEATURES_SEL 0x014
#define REG_DRIVER_FEATURES	0x020
#define REG_DRIVER_FEATURES_SEL 0x024
#define REG_QUEUE_SEL		0x030
#define REG_QUEUE_NUM_MAX	0x034
#define REG_QUEUE_NUM		0x038
#define REG_QUEUE_READY		0x044
#define REG_QUEUE_NOTIFY	VIRTIO_MMIO_QUEUE_NOTIFY
#define REG_INTERRUPT_STATUS	0x060
#define REG_INTERRUPT_ACK	0x064
#define REG_STATUS		0x070
#define REG_QUEUE_DESC_LOW	0x080
#define REG_QUEUE_DESC_HIGH	0x084
#define REG_QUEUE_DRIVER_LOW	0x090
#define REG_QUEUE_DRIVER_HIGH	0x094
#define REG_QUEUE_DEVICE_LOW	0x0a0
#define REG_QUEUE_DEVICE_HIGH	0x0a4
#define REG_SHM_LEN_LOW		0x0b0
#define REG_SHM_BASE_HIGH	0x0bc
#define REG_CONFIG_GENERATION	0x0fc
#define REG_CONFIG		0x100

#define MAGIC	  0x74726976u /* "virt" */
#define VERSION	  2u
#define VENDOR_ID 0x58424453u

/* 2.1 Device status field */
#define STATUS_FEATURES_OK 8u
#define STATUS_DRIVER_OK   4u
#define STATUS_NEEDS_RESET 64u
#define STATUS_KNOWN	   0x8fu /* what a driver may set */

#define INTERRUPT_USED	 1u
#define INTERRUPT_CONFIG 2u

static void add_to_eventfd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0) {
		/* The counter is full: whoever waits for it is woken all the same. */
	}
}

static void drain_eventfd(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0) {
		/* Somebody else took it. */
	}
}

/* --- on the loop thread --- */

/* One look at the device's configuration; a driver sees it whole or not yet. */
static void refresh_config(struct virtio_mmio *mmio)
{
	struct virtio_device *vdev = mmio->vdev;
	uint8_t fresh[VIRTIO_CONFIG_MAX];
	size_t size = vdev->ops->config_size ? vdev->ops->config_size(vdev->state) : 0;

	size = MIN(size, (size_t)VIRTIO_CONFIG_MAX);
	virtio_device_config_read(vdev, 0, fresh, size);
	pthread_mutex_lock(&mmio->config_lock);
	memcpy(mmio->config, fresh, size);
	mmio->config_size = size;
	pthread_mutex_unlock(&mmio->config_lock);
}

static void signal_interrupt(struct virtio_mmio *mmio, unsigned int reason)
{
	atomic_fetch_or(&mmio->interrupt_status, reason);
	add_to_eventfd(mmio->irq_fd);
}

static void signal_queue(void *transport, uint16_t queue)
{
	(void)queue;
	signal_interrupt(transport, INTERRUPT_USED);
}

static void signal_config(void *transport)
{
	struct virtio_mmio *mmio = transport;

	refresh_config(mmio);
	atomic_fetch_add(&mmio->config_generation, 1);
	signal_interrupt(mmio, INTERRUPT_CONFIG);
}

static const struct virtio_transport_ops mmio_transport_ops = {
	.signal_queue = signal_queue,
	.signal_config = signal_config,
};

static int connect_queue(struct virtio_mmio *mmio, uint16_t index)
{
	const struct virtio_mmio_queue *queue = &mmio->registers.queues[index];
	struct virtio_device *vdev = mmio->vdev;

	if (!queue->ready)
		return 0;
	if (queue->size > vdev->ops->queue_size)
		return -EPROTO;
	return virtqueue_init(&vdev->queues[index], vdev->memory, (uint16_t)queue->size,
		queue->desc_gpa, queue->avail_gpa, queue->used_gpa,
		virtio_device_has(vdev, VIRTIO_F_EVENT_IDX),
		virtio_device_has(vdev, VIRTIO_F_INDIRECT_DESC));
}

/* V1: here, and only here, queue registers become queues. The vCPU thread that asked holds `lock` and waits. */
static void activate(struct virtio_mmio *mmio)
{
	struct virtio_device *vdev = mmio->vdev;

	vdev->negotiated = mmio->registers.driver_features;
	for (uint16_t i = 0; i < vdev->ops->queue_count; i++) {
		if (connect_queue(mmio, i) < 0) {
			virtio_device_fault(vdev);
			return;
		}
	}
	if (virtio_device_activate(vdev) < 0)
		return;
	/* What was made available before DRIVER_OK may have had its kick already. */
	for (uint16_t i = 0; i < vdev->ops->queue_count; i++)
		add_to_eventfd(mmio->kicks[i].fd);
}

static void run_call(struct virtio_mmio *mmio, const struct virtio_mmio_call *call)
{
	switch (call->kind) {
	case VIRTIO_MMIO_CALL_NONE:
		return;
	case VIRTIO_MMIO_CALL_ACTIVATE:
		activate(mmio);
		break;
	case VIRTIO_MMIO_CALL_RESET:
		virtio_device_reset(mmio->vdev);
		break;
	case VIRTIO_MMIO_CALL_CONFIG_WRITE:
		virtio_device_config_write(mmio->vdev, call->offset, call->data, call->len);
		break;
	}
	refresh_config(mmio);
}

static void on_call(void *data, uint32_t events)
{
	struct virtio_mmio *mmio = data;
	struct virtio_mmio_call call;

	(void)events;
	drain_eventfd(mmio->call_fd);
	pthread_mutex_lock(&mmio->call_lock);
	call = mmio->call;
	pthread_mutex_unlock(&mmio->call_lock);
	run_call(mmio, &call);
	pthread_mutex_lock(&mmio->call_lock);
	mmio->call.kind = VIRTIO_MMIO_CALL_NONE;
	pthread_cond_signal(&mmio->call_done);
	pthread_mutex_unlock(&mmio->call_lock);
}

static void on_kick(void *data, uint32_t events)
{
	struct virtio_mmio_kick *kick = data;

	/* By edges: each write counts, and nobody has to read it away. */
	(void)events;
	/* Through the eventfd, so that the loop's other sources have their turn. */
	if (virtio_device_notify(kick->mmio->vdev, kick->queue))
		add_to_eventfd(kick->fd);
}

/* --- on vCPU threads, with `lock` held --- */

static void hand_over(struct virtio_mmio *mmio, const struct virtio_mmio_call *call)
{
	pthread_mutex_lock(&mmio->call_lock);
	mmio->call = *call;
	add_to_eventfd(mmio->call_fd);
	while (mmio->call.kind != VIRTIO_MMIO_CALL_NONE)
		pthread_cond_wait(&mmio->call_done, &mmio->call_lock);
	pthread_mutex_unlock(&mmio->call_lock);
}

static void reset(struct virtio_mmio *mmio)
{
	/* A device that was never activated has nothing to give up. */
	if (mmio->registers.status & STATUS_DRIVER_OK)
		hand_over(mmio, &(struct virtio_mmio_call){ .kind = VIRTIO_MMIO_CALL_RESET });
	mmio->registers = (struct virtio_mmio_registers){};
	atomic_store(&mmio->interrupt_status, 0);
}

static bool features_acceptable(const struct virtio_mmio *mmio)
{
	uint64_t wanted = mmio->registers.driver_features;

	return !(wanted & ~mmio->vdev->offered) && (wanted >> VIRTIO_F_VERSION_1 & 1);
}

/* 2.1.1: a driver only sets bits, and clears them all by a reset. */
static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	uint32_t before = mmio->registers.status, fresh = value & STATUS_KNOWN & ~before;

	if (!value) {
		reset(mmio);
		return;
	}
	if ((fresh & STATUS_FEATURES_OK) && !features_acceptable(mmio))
		fresh &= ~STATUS_FEATURES_OK;
	if (!((before | fresh) & STATUS_FEATURES_OK))
		fresh &= ~STATUS_DRIVER_OK;
	mmio->registers.status |= fresh;
	if (fresh & STATUS_DRIVER_OK)
		hand_over(mmio, &(struct virtio_mmio_call){ .kind = VIRTIO_MMIO_CALL_ACTIVATE });
}

static uint32_t read_status(const struct virtio_mmio *mmio)
{
	return mmio->registers.status |
	       (atomic_load(&mmio->vdev->needs_reset) ? STATUS_NEEDS_RESET : 0);
}

static uint32_t feature_half(uint64_t features, uint32_t sel)
{
	return sel == 0 ? (uint32_t)features : sel == 1 ? (uint32_t)(features >> 32) : 0;
}

static void set_half(uint64_t *field, bool high, uint32_t value)
{
	if (high)
		*field = (uint32_t)*field | (uint64_t)value << 32;
	else
		*field = (*field >> 32 << 32) | value;
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
	if ((mmio->registers.status & STATUS_FEATURES_OK) ||
		mmio->registers.driver_features_sel > 1)
		return;
	set_half(&mmio->registers.driver_features, mmio->registers.driver_features_sel == 1, value);
}

/* NULL where the driver selected none that exists. */
static struct virtio_mmio_queue *selected_queue(struct virtio_mmio *mmio)
{
	uint32_t sel = mmio->registers.queue_sel;

	return sel < mmio->vdev->ops->queue_count ? &mmio->registers.queues[sel] : NULL;
}

static void write_open_queue(struct virtio_mmio_queue *queue, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_QUEUE_NUM:
		queue->size = value;
		break;
	case REG_QUEUE_DESC_LOW:
	case REG_QUEUE_DESC_HIGH:
		set_half(&queue->desc_gpa, offset == REG_QUEUE_DESC_HIGH, value);
		break;
	case REG_QUEUE_DRIVER_LOW:
	case REG_QUEUE_DRIVER_HIGH:
		set_half(&queue->avail_gpa, offset == REG_QUEUE_DRIVER_HIGH, value);
		break;
	case REG_QUEUE_DEVICE_LOW:
	case REG_QUEUE_DEVICE_HIGH:
		set_half(&queue->used_gpa, offset == REG_QUEUE_DEVICE_HIGH, value);
		break;
	default:
		break;
	}
}

static void write_queue_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtio_mmio_queue *queue = selected_queue(mmio);

	/* V1: closed for good at DRIVER_OK. */
	if (!queue || (mmio->registers.status & STATUS_DRIVER_OK))
		return;
	if (offset == REG_QUEUE_READY)
		queue->ready = value & 1;
	else if (!queue->ready)
		write_open_queue(queue, offset, value);
}

/* Only where no ioeventfd took the write: an unknown queue, or a bus without KVM. */
static void write_queue_notify(struct virtio_mmio *mmio, uint32_t value)
{
	if (value < mmio->vdev->ops->queue_count)
		add_to_eventfd(mmio->kicks[value].fd);
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_DEVICE_FEATURES_SEL:
		mmio->registers.device_features_sel = value;
		break;
	case REG_DRIVER_FEATURES_SEL:
		mmio->registers.driver_features_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		write_driver_features(mmio, value);
		break;
	case REG_QUEUE_SEL:
		mmio->registers.queue_sel = value;
		break;
	case REG_STATUS:
		write_status(mmio, value);
		break;
	default:
		write_queue_register(mmio, offset, value);
		break;
	}
}

static uint32_t read_queue_ready(struct virtio_mmio *mmio)
{
	const struct virtio_mmio_queue *queue = selected_queue(mmio);

	return queue && queue->ready;
}

static uint32_t read_register(struct virtio_mmio *mmio, uint64_t offset)
{
	switch (offset) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return VERSION;
	case REG_DEVICE_ID:
		return mmio->vdev->ops->device_id;
	case REG_VENDOR_ID:
		return VENDOR_ID;
	case REG_DEVICE_FEATURES:
		return feature_half(mmio->vdev->offered, mmio->registers.device_features_sel);
	case REG_QUEUE_NUM_MAX:
		return selected_queue(mmio) ? mmio->vdev->ops->queue_size : 0;
	case REG_QUEUE_READY:
		return read_queue_ready(mmio);
	case REG_STATUS:
		return read_status(mmio);
	case REG_SHM_LEN_LOW ... REG_SHM_BASE_HIGH:
		return UINT32_MAX; /* 4.2.2: no shared memory region has this id */
	case REG_CONFIG_GENERATION:
		return atomic_load(&mmio->config_generation);
	default:
		return 0;
	}
}

/* --- the bus, on vCPU threads --- */

static void read_config(struct virtio_mmio *mmio, uint64_t offset, uint8_t *data, unsigned int len)
{
	memset(data, 0xff, len);
	pthread_mutex_lock(&mmio->config_lock);
	if (range_fits(offset, len, mmio->config_size))
		memcpy(data, mmio->config + offset, len);
	pthread_mutex_unlock(&mmio->config_lock);
}

static void write_config(
	struct virtio_mmio *mmio, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct virtio_mmio_call call = {
		.kind = VIRTIO_MMIO_CALL_CONFIG_WRITE, .offset = offset, .len = len
	};

	if (!mmio->vdev->ops->config_write)
		return;
	memcpy(call.data, data, len);
	pthread_mutex_lock(&mmio->lock);
	hand_over(mmio, &call);
	pthread_mutex_unlock(&mmio->lock);
}

/* 4.2.2.2: registers are 32 bits wide and aligned; anything else reads as all ones and writes nothing. */
static bool is_register_access(uint64_t offset, unsigned int len)
{
	return len == 4 && offset % 4 == 0;
}

static void mmio_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	struct virtio_mmio *mmio = handler;
	uint32_t value;

	if (offset >= REG_CONFIG) {
		read_config(mmio, offset - REG_CONFIG, data, len);
		return;
	}
	memset(data, 0xff, len);
	if (!is_register_access(offset, len))
		return;
	/* Without the lock: the interrupt handler must not wait for another vCPU's reset. */
	if (offset == REG_INTERRUPT_STATUS) {
		store_le32(data, atomic_load(&mmio->interrupt_status));
		return;
	}
	pthread_mutex_lock(&mmio->lock);
	value = read_register(mmio, offset);
	pthread_mutex_unlock(&mmio->lock);
	store_le32(data, value);
}

static void mmio_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct virtio_mmio *mmio = handler;

	if (offset >= REG_CONFIG) {
		write_config(mmio, offset - REG_CONFIG, data, len);
		return;
	}
	if (!is_register_access(offset, len))
		return;
	if (offset == REG_INTERRUPT_ACK) {
		atomic_fetch_and(&mmio->interrupt_status, ~load_le32(data));
		return;
	}
	if (offset == REG_QUEUE_NOTIFY) {
		write_queue_notify(mmio, load_le32(data));
		return;
	}
	pthread_mutex_lock(&mmio->lock);
	write_register(mmio, offset, load_le32(data));
	pthread_mutex_unlock(&mmio->lock);
}

const struct bus_ops virtio_mmio_bus_ops = {
	.name = "virtio-mmio",
	.read = mmio_read,
	.write = mmio_write,
};

static int make_source(struct virtio_mmio *mmio, uint32_t events, loop_fd_fn *fn, void *data,
	int *ret_fd, struct loop_source **ret)
{
	*ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*ret_fd < 0)
		return -errno;
	return loop_add_fd(mmio->vdev->loop, *ret_fd, events, fn, data, ret);
}

static int make_fds(struct virtio_mmio *mmio)
{
	int r = make_source(mmio, EPOLLIN, on_call, mmio, &mmio->call_fd, &mmio->call_source);

	for (uint16_t i = 0; i < mmio->vdev->ops->queue_count && r >= 0; i++) {
		struct virtio_mmio_kick *kick = &mmio->kicks[i];

		kick->mmio = mmio;
		kick->queue = i;
		r = make_source(mmio, EPOLLIN | EPOLLET, on_kick, kick, &kick->fd, &kick->source);
	}
	if (r < 0)
		return r;
	mmio->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return mmio->irq_fd < 0 ? -errno : 0;
}

int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *vdev, struct err *err)
{
	int r;

	*mmio = (struct virtio_mmio){ .vdev = vdev, .call_fd = -1, .irq_fd = -1 };
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		mmio->kicks[i].fd = -1;
	pthread_mutex_init(&mmio->lock, NULL);
	pthread_mutex_init(&mmio->call_lock, NULL);
	pthread_cond_init(&mmio->call_done, NULL);
	pthread_mutex_init(&mmio->config_lock, NULL);
	r = make_fds(mmio);
	if (r < 0) {
		virtio_mmio_finish(mmio);
		return err_set(err, r, "virtio-mmio: %s: cannot make its event fds: %s",
			vdev->ops->name, strerror(-r));
	}
	vdev->transport_ops = &mmio_transport_ops;
	vdev->transport = mmio;
	refresh_config(mmio);
	return 0;
}

void virtio_mmio_finish(struct virtio_mmio *mmio)
{
	loop_remove(mmio->call_source);
	close_keeping_errno(mmio->call_fd);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		loop_remove(mmio->kicks[i].source);
		close_keeping_errno(mmio->kicks[i].fd);
	}
	close_keeping_errno(mmio->irq_fd);
	pthread_mutex_destroy(&mmio->lock);
	pthread_mutex_destroy(&mmio->call_lock);
	pthread_cond_destroy(&mmio->call_done);
	pthread_mutex_destroy(&mmio->config_lock);
}
