/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/devices/vsock_device.h"

void vsock_stream_free(struct vsock_stream *stream)
{
	vsock_rx_forget(stream);
	loop_remove(stream->source);
	stream->source = NULL;
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	vsock_table_put(&stream->device->table, stream);
}

bool vsock_stream_event(struct vsock_stream *stream, enum vsock_event event)
{
	enum vsock_state next;

	/* Every caller asks only where the event is legal; one that does not costs its stream, no more. */
	if (!vsock_state_next(stream->state, event, &next))
		next = VSOCK_FREE;
	stream->state = next;
	if (next != VSOCK_FREE)
		return true;
	vsock_stream_free(stream);
	return false;
}

/* A packet of the guest's, as if it had sent one on this stream: what an RST answers. */
static struct vsock_head head_from_guest(const struct vsock_stream *stream)
{
	return (struct vsock_head){
		.src_cid = stream->device->guest_cid,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = stream->guest_port,
		.dst_port = stream->host_port,
		.type = VSOCK_TYPE_STREAM,
	};
}

void vsock_stream_drop(struct vsock_stream *stream)
{
	struct vsock_head head = head_from_guest(stream);

	/* A hidden stream's ports may belong to another one by now. */
	if (stream->hashed)
		vsock_rx_reset(stream->device, &head);
	if (stream->state == VSOCK_ASKED_BY_HOST)
		vsock_broker_tell(stream->device, VSOCK_BROKER_FAILED, stream->link_id, 0);
	vsock_stream_event(stream, VSOCK_DROPPED);
}

static uint32_t wanted_events(const struct vsock_stream *stream)
{
	uint32_t events = 0;

	if (stream->state == VSOCK_OPEN && !stream->readable && !stream->host_ended)
		events |= EPOLLIN;
	if (stream->buffer_used)
		events |= EPOLLOUT;
	return events;
}

void vsock_stream_poll(struct vsock_stream *stream)
{
	uint32_t events = wanted_events(stream);

	if (!stream->source || events == stream->armed)
		return;
	if (loop_modify(stream->source, events) == 0)
		stream->armed = events;
}

static void consumed(struct vsock_stream *stream, uint32_t len)
{
	vsock_credit_consumed(&stream->credit, len);
	if (stream->hashed && vsock_credit_should_tell(&stream->credit))
		stream->tell |= VSOCK_TELL_CREDIT;
}

/* The host takes no more: what waits for it, and whatever the guest still sends, counts as consumed. */
static void mark_host_gone(struct vsock_stream *stream)
{
	stream->host_gone = true;
	consumed(stream, stream->buffer_used);
	vsock_stream_buffer_skip(stream, stream->buffer_used);
}

/* The guest takes no more. */
static void stop_reading(struct vsock_stream *stream)
{
	shutdown(stream->fd, SHUT_RD);
	stream->host_ended = true;
	stream->readable = false;
}

/* sendmsg: the count, 0 where the host is full, or -EPIPE for any way in which it is gone. */
static ssize_t send_slices(int fd, struct iovec *slices, size_t count)
{
	struct msghdr msg = { .msg_iov = slices, .msg_iovlen = count };
	ssize_t n;

	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == ENOBUFS ? 0 : -EPIPE;
}

static void flush(struct vsock_stream *stream)
{
	struct iovec slices[2];
	ssize_t n;

	if (stream->fd < 0 || !stream->buffer_used)
		return;
	n = send_slices(stream->fd, slices, (size_t)vsock_stream_buffer_peek(stream, slices));
	if (n < 0) {
		mark_host_gone(stream);
		return;
	}
	vsock_stream_buffer_skip(stream, (uint32_t)n);
	consumed(stream, (uint32_t)n);
}

/* The fd has ended both ways, and the guest has or gets all of it: the rest is with the guest. */
static bool host_done(struct vsock_stream *stream)
{
	loop_remove(stream->source);
	stream->source = NULL;
	close(stream->fd);
	stream->fd = -1;
	vsock_deadline(stream, VSOCK_CLOSING_TIMEOUT_MS);
	if (!vsock_stream_event(stream, VSOCK_HOST_DONE))
		return false;
	vsock_rx_ready(stream); /* SHUTDOWN of both directions */
	return true;
}

bool vsock_stream_settle(struct vsock_stream *stream)
{
	flush(stream);
	if (stream->state == VSOCK_DRAINING && !stream->buffer_used)
		return vsock_stream_event(stream, VSOCK_DRAINED);
	if (stream->state == VSOCK_OPEN && !stream->buffer_used && !stream->write_shut &&
		stream->guest_shut & VSOCK_SHUT_SEND) {
		shutdown(stream->fd, SHUT_WR);
		stream->write_shut = true;
	}
	if (stream->state == VSOCK_OPEN && stream->host_ended && !stream->buffer_used &&
		(stream->host_gone || stream->write_shut))
		return host_done(stream);
	vsock_rx_ready(stream);
	vsock_stream_poll(stream);
	return true;
}

bool vsock_stream_host_ended(struct vsock_stream *stream, bool gone)
{
	stream->host_ended = true;
	stream->readable = false;
	if (gone)
		mark_host_gone(stream);
	return vsock_stream_settle(stream);
}

/*
 * A hang-up can't be masked: the fd leaves the loop, and from here on reading and writing tell at once what is left.
 * It means that the host's end takes no more, unless it was our own SHUT_WR that completed it.
 */
static void hung_up(struct vsock_stream *stream)
{
	loop_remove(stream->source);
	stream->source = NULL;
	stream->readable = !stream->host_ended;
	if (!stream->write_shut)
		mark_host_gone(stream);
}

static void on_stream(void *data, uint32_t events)
{
	struct vsock_stream *stream = data;
	struct vsock_device *device = stream->device;

	if (events & EPOLLIN)
		stream->readable = !stream->host_ended;
	if (events & (EPOLLHUP | EPOLLERR))
		hung_up(stream);
	if (events == EPOLLIN)
		vsock_rx_ready(stream);
	else if (!vsock_stream_settle(stream))
		return;
	vsock_rx_run(device);
	/*
	 * Only now: most reads leave the fd empty, and it need not be disarmed for the meantime. What could not be
	 * read is disarmed here. A stream that ended on the way has no source (slots outlive their streams).
	 */
	vsock_stream_poll(stream);
}

bool vsock_stream_attach(struct vsock_stream *stream, int fd)
{
	stream->fd = fd;
	vsock_deadline(stream, 0);
	stream->armed = wanted_events(stream);
	if (loop_add_fd(stream->device->loop, fd, stream->armed, on_stream, stream,
		    &stream->source) < 0) {
		stream->source = NULL;
		vsock_stream_drop(stream);
		return false;
	}
	if (stream->guest_shut & VSOCK_SHUT_RECEIVE)
		stop_reading(stream);
	return vsock_stream_settle(stream);
}

/* Writes straight from the guest's RAM; gives how much the host took. */
static uint32_t write_through(struct vsock_stream *stream, struct virtq_chain *chain, uint32_t len)
{
	struct iovec slices[VIRTQUEUE_SIZE_MAX];
	size_t bytes,
		count = virtq_chain_peek_readable(chain, slices, ARRAY_SIZE(slices), len, &bytes);
	ssize_t n = count ? send_slices(stream->fd, slices, count) : 0;

	if (n < 0) {
		mark_host_gone(stream);
		return 0;
	}
	virtq_chain_skip_readable(chain, (size_t)n);
	consumed(stream, (uint32_t)n);
	return (uint32_t)n;
}

static bool keep(struct vsock_stream *stream, struct virtq_chain *chain, uint32_t len)
{
	while (len) {
		struct iovec slice;
		size_t bytes;

		if (virtq_chain_peek_readable(chain, &slice, 1, len, &bytes) == 0 ||
			!vsock_stream_buffer_put(stream, slice.iov_base, (uint32_t)bytes))
			return false;
		virtq_chain_skip_readable(chain, bytes);
		len -= (uint32_t)bytes;
	}
	return true;
}

bool vsock_stream_take(struct vsock_stream *stream, struct virtq_chain *chain, uint32_t len)
{
	if (!vsock_credit_received(&stream->credit, len)) {
		vsock_stream_drop(stream);
		return false;
	}
	stream->device->counters.from_guest_bytes += len;
	if (stream->state == VSOCK_OPEN && !stream->host_gone && !stream->buffer_used)
		len -= write_through(stream, chain, len);
	if (stream->host_gone || stream->state == VSOCK_CLOSING) {
		consumed(stream, len);
		len = 0;
	}
	if (!keep(stream, chain, len)) {
		vsock_stream_drop(stream);
		return false;
	}
	return vsock_stream_settle(stream);
}

bool vsock_stream_guest_shut(struct vsock_stream *stream, uint32_t flags)
{
	stream->guest_shut |= flags & VSOCK_SHUT_BOTH;
	if (stream->guest_shut == VSOCK_SHUT_BOTH) {
		struct vsock_head head = head_from_guest(stream);

		/* 5.10.6.5: the RST tells the guest that it may use the ports again. */
		vsock_rx_reset(stream->device, &head);
		return vsock_stream_guest_done(stream);
	}
	if (stream->guest_shut & VSOCK_SHUT_RECEIVE && stream->fd >= 0)
		stop_reading(stream);
	return vsock_stream_settle(stream);
}

bool vsock_stream_guest_done(struct vsock_stream *stream)
{
	vsock_table_hide(&stream->device->table, stream);
	vsock_rx_forget(stream);
	stream->readable = false;
	if (stream->state == VSOCK_ASKED_BY_HOST)
		vsock_broker_tell(stream->device, VSOCK_BROKER_FAILED, stream->link_id, 0);
	if (!vsock_stream_event(stream, VSOCK_GUEST_DONE))
		return false;
	if (stream->state == VSOCK_DRAINING)
		vsock_deadline(stream, 0);
	return vsock_stream_settle(stream);
}
