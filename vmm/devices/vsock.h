/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-vsock in user space (virtio 1.2, section 5.10): stream sockets between the guest and whoever the link passes a
 * stream fd for. Its sockets come by the broker (vsock_broker.h): this device makes none.
 *
 * Theory of operation. Three small machines and the queues between them:
 *   vsock_tx.c      takes the guest's packets, finds their stream, drives the one transition function (vsock_state.h)
 *   vsock_rx.c      gives the guest packets while there are both something to say and rx buffers to say it in: streams with
 *                   work stand in one ready list, served in turn, at most VSOCK_RX_BATCH packets each
 *   vsock_stream.c  the host side: the fd of a stream, its buffer of bytes not yet written, half-closes
 * Bytes go straight between guest RAM and the fd (recvmsg into the rx chains behind the 44 bytes of head; sendmsg from
 * the tx chain); only what the host does not take at once is copied to the stream's buffer, which is what the guest was
 * promised as buf_alloc. A stream that is blocked (no credit, no rx buffer) is not polled for reading: no busy loop.
 * RST to packets of no stream wait in a small ring; over its end they are dropped (the guest times out).
 *
 * Threads: everything on the device's loop. Limits: vsock_table.h, vsock_credit.h, and those below.
 * After vsock_create(): epoll, recvmsg, sendmsg, shutdown, close, madvise, timerfd_settime, eventfd reads and writes; no
 * file is opened, no socket made, no memory allocated but the loop's sources.
 */
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vmm/virtio/device.h"

#define VSOCK_QUEUE_RX	  0
#define VSOCK_QUEUE_TX	  1
#define VSOCK_QUEUE_EVENT 2
#define VSOCK_RX_BATCH	  16 /* rx chains filled by one read */
#define VSOCK_RX_TURN	  128 /* packets to the guest before other sources of the loop get their turn */
#define VSOCK_TX_TURN	  128 /* packets from the guest, likewise */
#define VSOCK_RSTS_MAX	  256 /* RST to nobody's packets, waiting for rx buffers */

struct vsock_device;

/* state is a struct vsock_device *. */
extern const struct virtio_device_ops vsock_device_ops;

/* broker_fd: the VMM's end, borrowed, or -1 (every connection is refused). Before the loop runs; may allocate. */
int vsock_create(struct loop *loop, int broker_fd, uint64_t guest_cid, struct vsock_device **ret,
	struct err *err);
void vsock_destroy(struct vsock_device *device);

struct vsock_counters {
	uint64_t streams_now, streams_total;
	uint64_t to_guest_bytes, from_guest_bytes;
	uint64_t to_guest_packets, from_guest_packets;
	uint64_t resets_sent, resets_dropped;
	uint64_t credit_asked;
};

void vsock_counters(const struct vsock_device *device, struct vsock_counters *ret);
