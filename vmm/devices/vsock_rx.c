/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>

#include "vmm/base/array.h"
#include "vmm/devices/vsock_device.h"

/* Slices of one read: 16 chains of a Linux guest have one or two each. */
#define READ_SLICES_MAX 64

/* How the shut directions look from the host's side; told once each. */
static uint8_t shut_due(const struct vsock_stream *stream)
{
	uint8_t shut = 0;

	if (stream->state == VSOCK_CLOSING)
		shut = VSOCK_SHUT_BOTH;
	if (stream->state == VSOCK_OPEN && stream->host_ended)
		shut |= VSOCK_SHUT_SEND;
	if (stream->state == VSOCK_OPEN && stream->host_gone)
		shut |= VSOCK_SHUT_RECEIVE;
	return shut & (uint8_t)~stream->told_shut;
}

static bool wants_read(const struct vsock_stream *stream)
{
	return stream->state == VSOCK_OPEN && stream->readable && !stream->host_ended;
}

static bool has_credit(const struct vsock_stream *stream)
{
	return vsock_credit_room(&stream->credit, 0) && vsock_credit_packets_free(&stream->credit);
}

static bool has_work(const struct vsock_stream *stream)
{
	return stream->hashed &&
	       (stream->tell || shut_due(stream) || (wants_read(stream) && has_credit(stream)));
}

/* Without credit nothing is read, but the end can be told all the same: the guest may be waiting for just that. */
static void look_for_end(struct vsock_stream *stream)
{
	char byte;
	struct iovec slice = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &slice, .msg_iovlen = 1 };

	if (recvmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_PEEK) == 0)
		vsock_stream_host_ended(stream, false);
}

/* A guest that does not read is asked now and then how far it is, because some tell it late or not at all. */
static void watch_credit(struct vsock_stream *stream)
{
	if (stream->hashed && stream->state == VSOCK_OPEN &&
		vsock_credit_should_ask(&stream->credit)) {
		stream->credit.asked = true;
		stream->tell |= VSOCK_ASK_CREDIT;
	}
	if (!wants_read(stream) || has_credit(stream)) {
		stream->probe_ms = VSOCK_PROBE_MIN_MS;
		if (stream->state == VSOCK_OPEN && stream->deadline_ms)
			vsock_deadline(stream, 0);
	} else if (!stream->deadline_ms) {
		vsock_deadline(stream, stream->probe_ms);
		look_for_end(stream);
	}
}

void vsock_rx_ready(struct vsock_stream *stream)
{
	struct vsock_device *device = stream->device;

	watch_credit(stream);
	if (stream->ready || !has_work(stream))
		return;
	stream->ready = true;
	stream->next_ready = NULL;
	if (device->ready_last)
		device->ready_last->next_ready = stream;
	else
		device->ready_first = stream;
	device->ready_last = stream;
}

static struct vsock_stream *take_ready(struct vsock_device *device)
{
	struct vsock_stream *stream = device->ready_first;

	device->ready_first = stream->next_ready;
	if (!device->ready_first)
		device->ready_last = NULL;
	stream->ready = false;
	return stream;
}

void vsock_rx_forget(struct vsock_stream *stream)
{
	struct vsock_device *device = stream->device;
	struct vsock_stream *before = NULL;

	if (!stream->ready)
		return;
	for (struct vsock_stream *s = device->ready_first; s != stream; s = s->next_ready)
		before = s;
	if (before)
		before->next_ready = stream->next_ready;
	else
		device->ready_first = stream->next_ready;
	if (device->ready_last == stream)
		device->ready_last = before;
	stream->ready = false;
}

void vsock_rx_reset(struct vsock_device *device, const struct vsock_head *head)
{
	if (device->rst_count == VSOCK_RSTS_MAX) {
		device->counters.resets_dropped++;
		return;
	}
	device->rsts[(device->rst_first + device->rst_count++) % VSOCK_RSTS_MAX] =
		(struct vsock_head){
			.src_cid = head->dst_cid,
			.dst_cid = head->src_cid,
			.src_port = head->dst_port,
			.dst_port = head->src_port,
			.type = head->type,
			.op = VSOCK_OP_RST,
		};
}

/* Pops until `want` chains are held or the queue is empty; gives how many are held, or -EPROTO. */
static int hold(struct vsock_device *device, unsigned int want)
{
	struct virtqueue *vq = &device->vdev->queues[VSOCK_QUEUE_RX];

	while (device->held_count < want) {
		struct virtq_chain *chain =
			&device->held[(device->held_first + device->held_count) % VSOCK_RX_BATCH];
		int r = virtqueue_pop(vq, chain);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (chain->writable_bytes < VSOCK_HEAD_SIZE)
			return -EPROTO;
		virtq_chain_skip_writable(chain, VSOCK_HEAD_SIZE);
		device->held_count++;
	}
	return device->held_count;
}

static struct virtq_chain *held_at(struct vsock_device *device, unsigned int i)
{
	return &device->held[(device->held_first + i) % VSOCK_RX_BATCH];
}

/* Writes the head in front of len bytes that are in the first held chain already, and gives the chain back. */
static void push_held(struct vsock_device *device, const struct vsock_head *head)
{
	struct virtq_chain *chain = held_at(device, 0);
	uint8_t wire[VSOCK_HEAD_SIZE];

	vsock_head_encode(head, wire);
	chain->write_index = 0;
	chain->write_offset = chain->bytes_written = 0;
	virtq_chain_write(chain, wire, sizeof(wire));
	virtqueue_push(
		&device->vdev->queues[VSOCK_QUEUE_RX], chain->head, VSOCK_HEAD_SIZE + head->len);
	device->held_first = (uint16_t)(device->held_first + 1) % VSOCK_RX_BATCH;
	device->held_count--;
	device->counters.to_guest_packets++;
}

/* Every packet carries our side's credit, so that any of them settles what was to be told. */
static void push_packet(struct vsock_stream *stream, enum vsock_op op, uint32_t len, uint32_t flags)
{
	struct vsock_head head = {
		.src_cid = VSOCK_CID_HOST,
		.dst_cid = stream->device->guest_cid,
		.src_port = stream->host_port,
		.dst_port = stream->guest_port,
		.len = len,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.flags = flags,
		.buf_alloc = stream->credit.buf_alloc,
		.fwd_cnt = stream->credit.fwd_cnt,
	};

	stream->credit.told_fwd_cnt = stream->credit.fwd_cnt;
	stream->tell &= (uint8_t)~VSOCK_TELL_CREDIT;
	push_held(stream->device, &head);
}

static int push_rst(struct vsock_device *device)
{
	int r = hold(device, 1);

	if (r <= 0)
		return r;
	push_held(device, &device->rsts[device->rst_first]);
	device->rst_first = (uint16_t)(device->rst_first + 1) % VSOCK_RSTS_MAX;
	device->rst_count--;
	device->counters.resets_sent++;
	return 1;
}

/* The payload parts of the held chains, up to what credit allows. */
struct read_plan {
	struct iovec slices[READ_SLICES_MAX];
	size_t slice_count;
	uint32_t room[VSOCK_RX_BATCH]; /* in each chain */
	unsigned int chains;
};

static void plan_read(struct vsock_stream *stream, unsigned int held, struct read_plan *plan)
{
	uint32_t planned = 0;
	unsigned int most = MIN(held, vsock_credit_packets_free(&stream->credit));

	plan->slice_count = 0;
	plan->chains = 0;
	while (plan->chains < most && plan->slice_count < READ_SLICES_MAX) {
		uint32_t room = vsock_credit_room(&stream->credit, plan->chains);
		size_t bytes;

		if (room <= planned)
			break;
		plan->slice_count += virtq_chain_peek_writable(
			held_at(stream->device, plan->chains), plan->slices + plan->slice_count,
			READ_SLICES_MAX - plan->slice_count, room - planned, &bytes);
		/* A chain without room for a byte after the head would make an empty packet: it carries news instead. */
		if (!bytes)
			break;
		plan->room[plan->chains++] = (uint32_t)bytes;
		planned += (uint32_t)bytes;
	}
}

/* -EAGAIN: nothing there; 0: the end; -EPIPE: broken. */
static ssize_t read_slices(int fd, struct read_plan *plan)
{
	struct msghdr msg = { .msg_iov = plan->slices, .msg_iovlen = plan->slice_count };
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? -EAGAIN : -EPIPE;
}

static int push_read(struct vsock_stream *stream, const struct read_plan *plan, size_t bytes)
{
	int packets = 0;

	stream->device->counters.to_guest_bytes += bytes;
	for (unsigned int i = 0; i < plan->chains && bytes; i++) {
		uint32_t len = (uint32_t)MIN(bytes, plan->room[i]);

		vsock_credit_sent(&stream->credit, len);
		push_packet(stream, VSOCK_OP_RW, len, 0);
		bytes -= len;
		packets++;
	}
	return packets;
}

/* One read into up to VSOCK_RX_BATCH chains. Packets sent; 0: no rx buffer; the stream may be free after it. */
static int serve_data(struct vsock_stream *stream)
{
	struct read_plan plan;
	size_t room = 0;
	ssize_t n;
	int r = hold(stream->device, VSOCK_RX_BATCH);

	if (r <= 0)
		return r;
	plan_read(stream, (unsigned int)r, &plan);
	if (!plan.chains) {
		push_packet(stream, VSOCK_OP_CREDIT_UPDATE, 0, 0);
		vsock_rx_ready(stream);
		return 1;
	}
	for (unsigned int i = 0; i < plan.chains; i++)
		room += plan.room[i];
	n = read_slices(stream->fd, &plan);
	if (n == -EAGAIN || (n > 0 && (size_t)n < room && stream->source))
		stream->readable = false;
	if (n == 0 || n == -EPIPE) {
		vsock_stream_host_ended(stream, n == -EPIPE);
		return 1;
	}
	r = n > 0 ? push_read(stream, &plan, (size_t)n) : 1;
	vsock_rx_ready(stream);
	/* One that has more is read again in a moment; should that be impossible, its next event disarms it. */
	if (!stream->ready)
		vsock_stream_poll(stream);
	return r;
}

static const struct {
	uint8_t tell;
	enum vsock_op op;
} tellings[] = {
	{ VSOCK_TELL_REQUEST, VSOCK_OP_REQUEST },
	{ VSOCK_TELL_RESPONSE, VSOCK_OP_RESPONSE },
	{ VSOCK_TELL_CREDIT, VSOCK_OP_CREDIT_UPDATE },
	{ VSOCK_ASK_CREDIT, VSOCK_OP_CREDIT_REQUEST },
};

static bool serve_telling(struct vsock_stream *stream)
{
	for (size_t i = 0; i < ARRAY_SIZE(tellings); i++) {
		if (!(stream->tell & tellings[i].tell))
			continue;
		/* Data says it too. */
		if (tellings[i].tell == VSOCK_TELL_CREDIT && wants_read(stream) &&
			has_credit(stream))
			continue;
		stream->tell &= (uint8_t)~tellings[i].tell;
		stream->device->counters.credit_asked += tellings[i].tell == VSOCK_ASK_CREDIT;
		push_packet(stream, tellings[i].op, 0, 0);
		return true;
	}
	return false;
}

/* Packets sent; 0: no rx buffer was there; -EPROTO. The stream comes back to the ready list if it has more to say. */
static int serve(struct vsock_stream *stream)
{
	int r = hold(stream->device, 1);

	if (r <= 0)
		return r;
	if (serve_telling(stream)) {
		vsock_rx_ready(stream);
		return 1;
	}
	if (wants_read(stream) && has_credit(stream))
		return serve_data(stream);
	if (shut_due(stream)) {
		/* The flags are those of both directions so far, as Linux tells them. */
		stream->told_shut |= shut_due(stream);
		push_packet(stream, VSOCK_OP_SHUTDOWN, 0, stream->told_shut);
		vsock_rx_ready(stream);
	}
	return 1;
}

static void put_back(struct vsock_device *device, struct vsock_stream *stream)
{
	stream->ready = true;
	stream->next_ready = device->ready_first;
	device->ready_first = stream;
	if (!device->ready_last)
		device->ready_last = stream;
}

/* One step. 1 or more: packets sent; 0: nothing to say, or no buffer to say it in; -EPROTO. */
static int step(struct vsock_device *device)
{
	struct vsock_stream *stream;
	int r;

	if (device->rst_count)
		return push_rst(device);
	if (!device->ready_first)
		return 0;
	stream = take_ready(device);
	r = serve(stream);
	if (r == 0 && !stream->ready)
		put_back(device, stream);
	return r;
}

/* Kicks only while something waits for buffers: a guest refills far more often than we need to hear. */
static void ask_for_buffers(struct vsock_device *device)
{
	struct virtqueue *vq = &device->vdev->queues[VSOCK_QUEUE_RX];
	bool starved = device->rst_count || device->ready_first;

	virtqueue_want_kick(vq, starved);
	if (starved && virtqueue_has_more(vq))
		vsock_again(device);
}

void vsock_rx_run(struct vsock_device *device)
{
	int sent = 0, r = 0;

	if (!vsock_driver_there(device))
		return;
	while (sent < VSOCK_RX_TURN && (r = step(device)) > 0)
		sent += r;
	if (sent)
		virtio_device_signal(device->vdev, VSOCK_QUEUE_RX);
	if (r < 0) {
		virtio_device_fault(device->vdev);
		return;
	}
	if (sent >= VSOCK_RX_TURN)
		vsock_again(device);
	else
		ask_for_buffers(device);
}
