/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The device contract: what a virtio device is to its transport (virtio-mmio now, vhost-user later), and the other way
 * round. A device sees virtqueues and validated slices, never a guest address and never the transport.
 *
 * Theory of operation. `struct virtio_device` is the transport-neutral half: negotiated features, queues, faults. The
 * transport owns registers, kicks and interrupts. A device implements `struct virtio_device_ops`, is listed in
 * devices/device_table.c, and is called only through the virtio_device_*() wrappers below, which assert our side, check
 * what the device gave back, and trace at debug.
 *
 * Threads. Every op of a device runs on its one loop thread (`loop`), also activate and reset: the transport hands them
 * over and waits. vCPU threads run no device code. config_write too runs on the loop. config_read runs there or, before
 * the loop runs, on the thread that builds the machine: the transport keeps a copy for the driver's reads, taken at the
 * start and after activate, reset, config_write and virtio_device_config_changed(). So config_read depends on nothing but
 * the device's state, and a device whose configuration changes says so.
 *
 * Faults. An op that meets a guest's fault returns -EPROTO; the wrapper marks NEEDS_RESET (2.1.2), raises the
 * configuration interrupt, counts it, logs once per interval and tells the `on_fault` hook. The device is not called
 * again until the driver resets it. (V7)
 *
 * Life: reset -> features negotiated -> activate (DRIVER_OK; queues latched, V1) -> notify* -> reset. In reset the device
 * drops every chain it holds before it returns: requests own what they use, nothing of a request outlives it. (V4)
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX    8
#define VIRTIO_CONFIG_MAX    256 /* bytes of a device's configuration space */
#define VIRTIO_NOTIFY_CHAINS VIRTQUEUE_SIZE_MAX /* taken at most in one notify */

/* Feature bits (virtio 1.2, section 6) that the transport negotiates for everybody. */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32

struct virtio_device;

struct virtio_device_ops {
	const char *name; /* as in docs and logs: "blk" */
	uint32_t device_id; /* virtio 1.2, section 5 */
	uint16_t queue_count; /* at most VIRTIO_QUEUES_MAX */
	uint16_t queue_size; /* a power of two, at most VIRTQUEUE_SIZE_MAX */
	/* Device feature bits offered beside the transport's own; constant for the life of the device. */
	uint64_t (*features)(void *state);
	/* The driver is there: vdev's queues may be used from now on. -EPROTO or another -errno refuses it. */
	int (*activate)(void *state, struct virtio_device *vdev);
	/* The driver is gone. Must give up every chain. Called also without an activate before. */
	void (*reset)(void *state);
	/*
	 * The driver kicked `queue`. Drains it as far as it can, but takes at most VIRTIO_NOTIFY_CHAINS chains: a
	 * guest that feeds while we drain must not keep the loop (V7). What is left brings another call at once.
	 */
	int (*notify)(void *state, uint16_t queue);
	/* len bytes of configuration at offset, inside the size that config_size told; NULL: no configuration. */
	size_t (*config_size)(void *state);
	void (*config_read)(void *state, size_t offset, void *data, size_t len);
	/* NULL: writes are ignored. */
	void (*config_write)(void *state, size_t offset, const void *data, size_t len);
};

/* What the transport gives. */
struct virtio_transport_ops {
	void (*signal_queue)(
		void *transport, uint16_t queue); /* used buffer notification; any thread */
	void (*signal_config)(void *transport); /* configuration change notification; on the loop */
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	void *state; /* the device's own */
	struct loop *loop; /* the loop that runs every op; borrowed */
	const struct guest_memory *memory; /* borrowed */
	unsigned int index; /* which device this is, in construction order; for events and logs */
	const struct virtio_transport_ops *transport_ops;
	void *transport;
	uint64_t offered; /* set once, before the first negotiation */
	uint64_t negotiated;
	bool active;
	atomic_bool needs_reset; /* written on the loop, read by vCPU threads */
	uint64_t faults;
	void (*on_fault)(void *data, struct virtio_device *vdev);
	void *on_fault_data;
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
};

void virtio_device_init(struct virtio_device *vdev, const struct virtio_device_ops *ops,
	void *state, struct loop *loop, const struct guest_memory *memory);

/*
 * For transports. activate: queues are initialised already; a refusal is a fault like any other.
 * notify: true where the device did some and left some: to be called again soon, after other sources had their turn.
 * config_read: bytes outside the configuration read as all ones; config_write: those writes are dropped.
 */
int virtio_device_activate(struct virtio_device *vdev);
void virtio_device_reset(struct virtio_device *vdev);
bool virtio_device_notify(struct virtio_device *vdev, uint16_t queue);
void virtio_device_config_read(struct virtio_device *vdev, size_t offset, void *data, size_t len);
void virtio_device_config_write(
	struct virtio_device *vdev, size_t offset, const void *data, size_t len);

/* For devices. */
static inline bool virtio_device_has(const struct virtio_device *vdev, unsigned int feature_bit)
{
	return vdev->negotiated >> feature_bit & 1;
}
/* For a device's own fd callbacks: whether its queues may be used now. */
static inline bool virtio_device_is_usable(const struct virtio_device *vdev)
{
	return vdev->active && !atomic_load(&vdev->needs_reset);
}
/* Interrupts the driver if it wants to hear of what was pushed on `queue` (V8, EVENT_IDX). */
void virtio_device_signal(struct virtio_device *vdev, uint16_t queue);
void virtio_device_config_changed(struct virtio_device *vdev);
/* For faults found outside an op (a device's own fd callback): as if an op had returned -EPROTO. */
void virtio_device_fault(struct virtio_device *vdev);
