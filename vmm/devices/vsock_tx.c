/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/base/array.h"
#include "vmm/devices/vsock_device.h"

/* 5.10.6.5: a REQUEST to a port of ours. What it means is the link's to say. */
static void on_request(struct vsock_device *device, const struct vsock_head *head)
{
	struct vsock_stream *stream = vsock_table_take(&device->table);

	if (!stream) {
		vsock_rx_reset(device, head);
		return;
	}
	device->counters.streams_total++;
	stream->device = device;
	stream->host_port = head->dst_port;
	stream->guest_port = head->src_port;
	vsock_credit_heard(&stream->credit, head->buf_alloc, head->fwd_cnt);
	vsock_table_enter(&device->table, stream);
	if (!vsock_stream_event(stream, VSOCK_GUEST_REQUEST))
		return;
	vsock_deadline(stream, VSOCK_CONNECT_TIMEOUT_MS);
	if (vsock_broker_tell(device, VSOCK_BROKER_CONNECT, stream->id, stream->host_port) < 0)
		vsock_stream_drop(stream);
}

static void on_response(struct vsock_stream *stream)
{
	if (stream->state != VSOCK_ASKED_BY_HOST) {
		vsock_stream_drop(stream);
		return;
	}
	if (!vsock_stream_event(stream, VSOCK_GUEST_ACCEPTED))
		return;
	vsock_deadline(stream, VSOCK_CONNECT_TIMEOUT_MS);
	if (vsock_broker_tell(stream->device, VSOCK_BROKER_OPENED, stream->link_id, 0) < 0) {
		vsock_stream_drop(stream);
		return;
	}
	if (stream->fd >= 0 && vsock_stream_event(stream, VSOCK_HOST_STREAM))
		vsock_stream_attach(stream, stream->fd);
}

static bool is_established(const struct vsock_stream *stream)
{
	return stream->state == VSOCK_HELD || stream->state == VSOCK_OPEN ||
	       stream->state == VSOCK_CLOSING;
}

static void on_data(struct vsock_stream *stream, const struct vsock_head *head)
{
	if (!is_established(stream) || stream->guest_shut & VSOCK_SHUT_SEND)
		vsock_stream_drop(stream);
	else
		vsock_stream_take(stream, &stream->device->tx_chain, head->len);
}

static void on_shutdown(struct vsock_stream *stream, const struct vsock_head *head)
{
	if (is_established(stream))
		vsock_stream_guest_shut(stream, head->flags);
	else
		vsock_stream_drop(stream);
}

static void on_credit(struct vsock_stream *stream, const struct vsock_head *head)
{
	if (head->op == VSOCK_OP_CREDIT_REQUEST)
		stream->tell |= VSOCK_TELL_CREDIT;
	vsock_stream_settle(stream);
}

/* A packet of a stream that is known. Rules broken cost the stream (RST), not the device. */
static void dispatch(struct vsock_stream *stream, const struct vsock_head *head)
{
	vsock_credit_heard(&stream->credit, head->buf_alloc, head->fwd_cnt);
	switch (head->op) {
	case VSOCK_OP_RESPONSE:
		on_response(stream);
		break;
	case VSOCK_OP_RST:
		vsock_stream_guest_done(stream);
		break;
	case VSOCK_OP_SHUTDOWN:
		on_shutdown(stream, head);
		break;
	case VSOCK_OP_RW:
		on_data(stream, head);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
	case VSOCK_OP_CREDIT_REQUEST:
		on_credit(stream, head);
		break;
	default:
		/* Unknown, or a second REQUEST. */
		vsock_stream_drop(stream);
		break;
	}
}

/* 5.10.6.4: what nobody here is meant by is answered with RST, but for RST itself. */
static void dispatch_unknown(struct vsock_device *device, const struct vsock_head *head)
{
	if (head->op == VSOCK_OP_RST)
		return;
	if (head->op == VSOCK_OP_REQUEST && head->type == VSOCK_TYPE_STREAM &&
		head->dst_cid == VSOCK_CID_HOST)
		on_request(device, head);
	else
		vsock_rx_reset(device, head);
}

static int on_packet(struct vsock_device *device, struct virtq_chain *chain)
{
	uint8_t wire[VSOCK_HEAD_SIZE];
	struct vsock_head head;
	struct vsock_stream *stream = NULL;

	if (virtq_chain_read(chain, wire, sizeof(wire)) != sizeof(wire))
		return -EPROTO;
	vsock_head_decode(wire, &head);
	if (head.len > virtq_chain_readable_left(chain))
		return -EPROTO;
	device->counters.from_guest_packets++;
	/* 5.10.4.1: the source is the guest's own CID; anything else is nobody's. */
	if (head.src_cid != device->guest_cid)
		return 0;
	if (head.type == VSOCK_TYPE_STREAM && head.dst_cid == VSOCK_CID_HOST)
		stream = vsock_table_find(&device->table, head.dst_port, head.src_port);
	if (stream)
		dispatch(stream, &head);
	else
		dispatch_unknown(device, &head);
	return 0;
}

/* 1: a packet was taken; 0: there is none; -EPROTO. */
static int take_packet(struct vsock_device *device)
{
	struct virtqueue *vq = &device->vdev->queues[VSOCK_QUEUE_TX];
	int r = virtqueue_pop(vq, &device->tx_chain);

	if (r <= 0)
		return r;
	r = on_packet(device, &device->tx_chain);
	if (r < 0)
		return r;
	virtqueue_push(vq, device->tx_chain.head, 0);
	return 1;
}

int vsock_tx_run(struct vsock_device *device)
{
	struct virtqueue *vq = &device->vdev->queues[VSOCK_QUEUE_TX];
	int taken = 0, r = 0;

	virtqueue_want_kick(vq, false);
	while (taken < VSOCK_TX_TURN && (r = take_packet(device)) > 0)
		taken++;
	if (taken)
		virtio_device_signal(device->vdev, VSOCK_QUEUE_TX);
	if (r < 0)
		return r;
	virtqueue_want_kick(vq, true);
	if (virtqueue_has_more(vq))
		vsock_again(device);
	vsock_rx_run(device);
	return 0;
}
