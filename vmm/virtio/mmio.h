/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio over MMIO, version 2 (virtio 1.2, section 4.2): the register file of one device, and its way onto the loop.
 *
 * Theory of operation. Two kinds of threads meet here.
 *  - vCPU threads read and write registers through the bus. They latch what the driver says under `lock` and run no device
 *    code. What a device must do itself - activate, reset, a write to its configuration - is handed over to the device's
 *    loop thread by an eventfd and waited for, with `lock` held: one such call at a time per device, and a reset is over
 *    when the loop has left the device (V4).
 *  - the loop thread takes kicks (one eventfd per queue, written by KVM), runs the device, and raises interrupts by an
 *    eventfd (irqfd; edge-triggered). It never takes `lock`, so the wait above always ends while the loop runs: loops are
 *    stopped after the vCPU threads have ended, not before.
 *
 * Reads of the configuration are served from a copy (`config`) that the loop keeps fresh. Interrupt status is atomic.
 *
 * States, by the status register:
 *   reset        status 0. Everything may be written.
 *   negotiating  ACKNOWLEDGE, DRIVER: features are written until FEATURES_OK is accepted; accepted only with VERSION_1 and
 *                nothing that was not offered.
 *   set up       FEATURES_OK: queues. A queue's registers are closed while its QueueReady is 1.
 *   live         DRIVER_OK: queues are latched, all their registers and the features are closed; late writes change
 *                nothing (V1). Only a reset leaves.
 *   broken       NEEDS_RESET beside live: the device is not called any more. Only a reset leaves.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vmm/machine/bus.h"
#include "vmm/virtio/device.h"

#define VIRTIO_MMIO_SIZE	 0x200 /* of the register window: 0x100 and the configuration */
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050 /* where the ioeventfds go */
/*
 * And here one that nobody reads may be put, for VIRTIO_MMIO_ACK_USED: that spares an exit to us for each interrupt. "Used
 * buffers" then stays set in the interrupt status from the first one on, until a driver acknowledges it along with a change
 * of configuration, or resets: it looks into its queues at each interrupt. The interrupt is an edge, so nothing is raised twice.
 */
#define VIRTIO_MMIO_INTERRUPT_ACK 0x064
#define VIRTIO_MMIO_ACK_USED	  1

struct virtio_mmio_queue {
	uint32_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool ready;
};

/* What the driver said; plain, can be written down and read back. */
struct virtio_mmio_registers {
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	uint32_t status; /* without NEEDS_RESET, which is the device's */
	struct virtio_mmio_queue queues[VIRTIO_QUEUES_MAX];
};

enum virtio_mmio_call_kind {
	VIRTIO_MMIO_CALL_NONE,
	VIRTIO_MMIO_CALL_ACTIVATE,
	VIRTIO_MMIO_CALL_RESET,
	VIRTIO_MMIO_CALL_CONFIG_WRITE,
};

struct virtio_mmio_call {
	enum virtio_mmio_call_kind kind;
	uint64_t offset;
	uint8_t data[8];
	unsigned int len;
};

struct virtio_mmio;

struct virtio_mmio_kick {
	struct virtio_mmio *mmio;
	uint16_t queue;
	int fd;
	struct loop_source *source;
};

struct virtio_mmio {
	struct virtio_device *vdev; /* borrowed */
	pthread_mutex_t lock; /* guards registers; first in order */
	struct virtio_mmio_registers registers;

	pthread_mutex_t call_lock; /* guards call; after `lock` */
	pthread_cond_t call_done;
	struct virtio_mmio_call call;
	int call_fd;
	struct loop_source *call_source;

	pthread_mutex_t config_lock; /* guards config, config_size; last in order */
	uint8_t config[VIRTIO_CONFIG_MAX];
	size_t config_size;
	atomic_uint config_generation;

	atomic_uint interrupt_status;
	int irq_fd; /* give to machine_add_irqfd() */
	struct virtio_mmio_kick
		kicks[VIRTIO_QUEUES_MAX]; /* their fds: for machine_add_ioeventfd() */
};

extern const struct bus_ops virtio_mmio_bus_ops; /* the handler is the struct virtio_mmio */

/* vdev is initialised with its loop, and its configuration can be read. Before the loop runs. */
int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *vdev, struct err *err);
/* After the loop and all vCPUs have ended. */
void virtio_mmio_finish(struct virtio_mmio *mmio);
