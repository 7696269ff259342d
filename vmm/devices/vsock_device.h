/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside the vsock device only: what vsock.c, vsock_tx.c, vsock_rx.c and vsock_stream.c share. The contract is vsock.h's.
 */
#include "vmm/devices/vsock.h"
#include "vmm/devices/vsock_broker.h"
#include "vmm/devices/vsock_packet.h"
#include "vmm/devices/vsock_table.h"

#define VSOCK_CLOSING_TIMEOUT_MS 10000 /* for the guest's RST after SHUTDOWN of both directions */
#define VSOCK_PROBE_MIN_MS                                                                         \
	10u /* between two CREDIT_REQUESTs to a guest that does not read: doubling */
#define VSOCK_PROBE_MAX_MS    500u
#define VSOCK_HOST_PORT_FIRST (1u << 30) /* source ports of streams that the host opens */

struct vsock_device {
	struct loop *loop;
	uint64_t guest_cid;
	struct virtio_device *vdev; /* NULL: no driver */
	struct vsock_table table;
	struct vsock_counters counters;
	int broker_fd;
	struct loop_source *broker_source;
	int again_fd; /* an eventfd: work is left over for the loop's next round */
	struct loop_source *again_source;
	struct loop_source *timer;
	uint64_t timer_ms; /* when it fires; 0: disarmed */
	uint32_t next_host_port;
	/* streams with something to say, first in first out */
	struct vsock_stream *ready_first, *ready_last;
	/* heads of RST packets to nobody's streams */
	struct vsock_head rsts[VSOCK_RSTS_MAX];
	uint16_t rst_first, rst_count;
	/* rx chains popped and not used yet; a ring. Dropped at reset (V4). */
	struct virtq_chain held[VSOCK_RX_BATCH];
	uint16_t held_first, held_count;
	struct virtq_chain tx_chain; /* the one being read */
};

/* vsock.c */
bool vsock_driver_there(const struct vsock_device *device);
void vsock_again(struct vsock_device *device);
void vsock_deadline(struct vsock_stream *stream, uint64_t after_ms);
int vsock_broker_tell(
	struct vsock_device *device, enum vsock_broker_op op, uint32_t id, uint32_t port);

/* vsock_rx.c: sends what can be sent. Call it after anything that may have made a stream ready. */
void vsock_rx_run(struct vsock_device *device);
void vsock_rx_ready(
	struct vsock_stream *stream); /* puts it on the ready list if it has something to say */
void vsock_rx_forget(struct vsock_stream *stream); /* takes it off */
void vsock_rx_reset(struct vsock_device *device,
	const struct vsock_head *head); /* queues RST in answer to head */

/* vsock_tx.c */
int vsock_tx_run(struct vsock_device *device);

/* vsock_stream.c. Those that give a bool: false means that the stream is free now and must not be touched. */
void vsock_stream_free(struct vsock_stream *stream);
bool vsock_stream_event(struct vsock_stream *stream, enum vsock_event event);
/* Sends RST and frees: a rule was broken, or nobody wants the stream. */
void vsock_stream_drop(struct vsock_stream *stream);
/* Takes fd. */
bool vsock_stream_attach(struct vsock_stream *stream, int fd);
/* len bytes of the tx chain at its cursor go to the host, or to the buffer. */
bool vsock_stream_take(struct vsock_stream *stream, struct virtq_chain *chain, uint32_t len);
/* SHUTDOWN came: flags of VSOCK_SHUT_*. */
bool vsock_stream_guest_shut(struct vsock_stream *stream, uint32_t flags);
/* RST came, or both directions are shut. */
bool vsock_stream_guest_done(struct vsock_stream *stream);
/* Reading gave the end (or an error). */
bool vsock_stream_host_ended(struct vsock_stream *stream, bool gone);
/* Moves what is buffered, half-closes where due, and ends the stream where both sides are done. */
bool vsock_stream_settle(struct vsock_stream *stream);
void vsock_stream_poll(struct vsock_stream *stream); /* arms the fd for what is waited for */
