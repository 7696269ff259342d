/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/devices/vsock_device.h"

#define VIRTIO_ID_VSOCK	      19
#define VIRTIO_VSOCK_F_STREAM 0
#define CONFIG_SIZE	      8 /* le64 guest_cid */
#define BROKER_TURN	      64 /* messages before other sources of the loop get their turn */

bool vsock_driver_there(const struct vsock_device *device)
{
	return device->vdev && virtio_device_is_usable(device->vdev);
}

/* The loop is level-triggered, so that one count in the eventfd brings us back in its next round. */
void vsock_again(struct vsock_device *device)
{
	uint64_t one = 1;

	if (write(device->again_fd, &one, sizeof(one)) < 0) {
		/* The counter is full, so the loop wakes anyway. */
	}
}

static void on_again(void *data, uint32_t events)
{
	struct vsock_device *device = data;
	uint64_t count;

	(void)events;
	if (read(device->again_fd, &count, sizeof(count)) < 0 || !vsock_driver_there(device))
		return;
	if (vsock_tx_run(device) < 0)
		virtio_device_fault(device->vdev);
}

static void arm_timer(struct vsock_device *device, uint64_t when_ms, uint64_t now_ms)
{
	if (device->timer_ms && device->timer_ms <= when_ms)
		return;
	device->timer_ms = when_ms;
	loop_timer_set(device->timer, when_ms > now_ms ? when_ms - now_ms : 1);
}

void vsock_deadline(struct vsock_stream *stream, uint64_t after_ms)
{
	uint64_t now_ms;

	stream->deadline_ms = 0;
	if (!after_ms)
		return;
	now_ms = clock_monotonic_ms();
	stream->deadline_ms = now_ms + after_ms;
	arm_timer(stream->device, stream->deadline_ms, now_ms);
}

/* A guest that is silent although the host has more for it: ask, each time a little later. */
static void probe(struct vsock_stream *stream)
{
	stream->probe_ms = MIN(stream->probe_ms * 2, VSOCK_PROBE_MAX_MS);
	stream->tell |= VSOCK_ASK_CREDIT;
	vsock_rx_ready(stream);
}

static void expired(struct vsock_stream *stream)
{
	stream->deadline_ms = 0;
	if (stream->state == VSOCK_OPEN)
		probe(stream);
	else
		vsock_stream_drop(stream);
}

static void on_timer(void *data)
{
	struct vsock_device *device = data;
	struct vsock_stream *stream = device->table.live, *next;
	uint64_t now_ms = clock_monotonic_ms();

	device->timer_ms = 0;
	for (; stream; stream = next) {
		next = stream->next_live;
		if (stream->deadline_ms && stream->deadline_ms <= now_ms)
			expired(stream);
		else if (stream->deadline_ms)
			arm_timer(device, stream->deadline_ms, now_ms);
	}
	vsock_rx_run(device);
}

/* The broker. */

int vsock_broker_tell(
	struct vsock_device *device, enum vsock_broker_op op, uint32_t id, uint32_t port)
{
	struct vsock_broker_message message = { .op = (uint8_t)op, .id = id, .port = port };

	if (device->broker_fd < 0)
		return -ENOTCONN;
	return vsock_broker_send(device->broker_fd, &message, -1);
}

/* A source port that no stream to this guest port uses. The table is far smaller than the range. */
static uint32_t choose_host_port(struct vsock_device *device, uint32_t guest_port)
{
	do {
		device->next_host_port++;
		if (device->next_host_port < VSOCK_HOST_PORT_FIRST ||
			device->next_host_port == UINT32_MAX)
			device->next_host_port = VSOCK_HOST_PORT_FIRST;
	} while (vsock_table_find(&device->table, device->next_host_port, guest_port));
	return device->next_host_port;
}

static void on_open(struct vsock_device *device, const struct vsock_broker_message *message, int fd)
{
	struct vsock_stream *stream =
		vsock_driver_there(device) ? vsock_table_take(&device->table) : NULL;

	if (!stream) {
		close_keeping_errno(fd);
		vsock_broker_tell(device, VSOCK_BROKER_FAILED, message->id, 0);
		return;
	}
	device->counters.streams_total++;
	stream->device = device;
	stream->link_id = message->id;
	stream->guest_port = message->port;
	stream->host_port = choose_host_port(device, message->port);
	stream->fd = fd;
	stream->tell = VSOCK_TELL_REQUEST;
	vsock_table_enter(&device->table, stream);
	if (!vsock_stream_event(stream, VSOCK_HOST_REQUEST))
		return;
	vsock_deadline(stream, VSOCK_CONNECT_TIMEOUT_MS);
	vsock_rx_ready(stream);
}

static void on_accepted(struct vsock_device *device, uint32_t id, int fd)
{
	struct vsock_stream *stream = vsock_table_find_id(&device->table, id);

	if (!stream || stream->state != VSOCK_ASKED_BY_GUEST) {
		close_keeping_errno(fd);
		return;
	}
	stream->tell = VSOCK_TELL_RESPONSE;
	if (vsock_stream_event(stream, VSOCK_LINK_ACCEPTED))
		vsock_stream_attach(stream, fd);
}

static void on_refused(struct vsock_device *device, uint32_t id)
{
	struct vsock_stream *stream = vsock_table_find_id(&device->table, id);

	if (stream && stream->state == VSOCK_ASKED_BY_GUEST)
		vsock_stream_drop(stream);
}

static bool awaits_stream(const struct vsock_stream *stream, uint32_t link_id)
{
	return (stream->state == VSOCK_HELD || stream->state == VSOCK_HELD_DONE) &&
	       stream->link_id == link_id;
}

static void on_stream_fd(struct vsock_device *device, uint32_t link_id, int fd)
{
	struct vsock_stream *stream = device->table.live;

	while (stream && !awaits_stream(stream, link_id))
		stream = stream->next_live;
	if (!stream) {
		close_keeping_errno(fd);
		return;
	}
	if (fd < 0)
		vsock_stream_drop(stream);
	else if (vsock_stream_event(stream, VSOCK_HOST_STREAM))
		vsock_stream_attach(stream, fd);
}

static void on_broker_message(
	struct vsock_device *device, const struct vsock_broker_message *message, int fd)
{
	switch ((enum vsock_broker_op)message->op) {
	case VSOCK_BROKER_ACCEPTED:
		on_accepted(device, message->id, fd);
		return;
	case VSOCK_BROKER_REFUSED:
		on_refused(device, message->id);
		break;
	case VSOCK_BROKER_OPEN:
		on_open(device, message, fd);
		return;
	case VSOCK_BROKER_STREAM:
		on_stream_fd(device, message->id, fd);
		return;
	case VSOCK_BROKER_CONNECT:
	case VSOCK_BROKER_OPENED:
	case VSOCK_BROKER_FAILED:
		break; /* ours to send */
	}
	close_keeping_errno(fd);
}

static void drop_all(struct vsock_device *device)
{
	while (device->table.live)
		vsock_stream_drop(device->table.live);
}

static void broker_gone(struct vsock_device *device)
{
	loop_remove(device->broker_source);
	device->broker_source = NULL;
	device->broker_fd = -1;
	drop_all(device);
}

static void on_broker(void *data, uint32_t events)
{
	struct vsock_device *device = data;

	(void)events;
	for (int i = 0; i < BROKER_TURN && device->broker_fd >= 0; i++) {
		struct vsock_broker_message message;
		int fd = -1;
		int r = vsock_broker_receive(device->broker_fd, &message, &fd);

		if (r == -EAGAIN)
			break;
		if (r == 1)
			on_broker_message(device, &message, fd);
		else if (r == -EBADMSG)
			log_ratelimited(LOG_WARN, "vsock: the link sent a malformed message");
		else
			broker_gone(device);
	}
	vsock_rx_run(device);
}

/* The device contract. */

static uint64_t vsock_features(void *state)
{
	(void)state;
	return 1ull << VIRTIO_VSOCK_F_STREAM;
}

static int vsock_activate(void *state, struct virtio_device *vdev)
{
	struct vsock_device *device = state;

	device->vdev = vdev;
	return 0;
}

/* What the host has not taken yet gets one last chance; then nothing of the old driver is left. */
static void vsock_reset(void *state)
{
	struct vsock_device *device = state;

	while (device->table.live) {
		struct vsock_stream *stream = device->table.live;

		if (stream->buffer_used && !vsock_stream_settle(stream))
			continue;
		vsock_stream_drop(stream);
	}
	device->rst_first = device->rst_count = 0;
	device->held_first = device->held_count = 0;
	device->vdev = NULL;
}

static int vsock_notify(void *state, uint16_t queue)
{
	struct vsock_device *device = state;

	if (queue == VSOCK_QUEUE_TX)
		return vsock_tx_run(device);
	if (queue == VSOCK_QUEUE_RX)
		vsock_rx_run(device);
	return 0;
}

static size_t vsock_config_size(void *state)
{
	(void)state;
	return CONFIG_SIZE;
}

static void vsock_config_read(void *state, size_t offset, void *data, size_t len)
{
	struct vsock_device *device = state;
	uint8_t config[CONFIG_SIZE];

	store_le64(config, device->guest_cid);
	memcpy(data, config + offset, len);
}

const struct virtio_device_ops vsock_device_ops = {
	.name = "vsock",
	.device_id = VIRTIO_ID_VSOCK,
	.queue_count = 3,
	.queue_size = VIRTQUEUE_SIZE_MAX,
	.features = vsock_features,
	.activate = vsock_activate,
	.reset = vsock_reset,
	.notify = vsock_notify,
	.config_size = vsock_config_size,
	.config_read = vsock_config_read,
};

void vsock_counters(const struct vsock_device *device, struct vsock_counters *ret)
{
	*ret = device->counters;
	ret->streams_now = device->table.count;
}

DEFINE_CLEANUP(vsock_device, vsock_destroy)

static int add_sources(struct vsock_device *device)
{
	int r;

	device->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (device->again_fd < 0)
		return -errno;
	r = loop_add_fd(
		device->loop, device->again_fd, EPOLLIN, on_again, device, &device->again_source);
	if (r < 0)
		return r;
	r = loop_add_timer(device->loop, on_timer, device, &device->timer);
	if (r < 0 || device->broker_fd < 0)
		return r;
	return loop_add_fd(device->loop, device->broker_fd, EPOLLIN, on_broker, device,
		&device->broker_source);
}

int vsock_create(struct loop *loop, int broker_fd, uint64_t guest_cid, struct vsock_device **ret,
	struct err *err)
{
	_cleanup_(cleanup_vsock_device_) struct vsock_device *device = calloc(1, sizeof(*device));
	int r;

	if (!device)
		return err_set(err, -ENOMEM, "vsock: no memory");
	device->loop = loop;
	device->broker_fd = broker_fd;
	device->guest_cid = guest_cid;
	device->again_fd = -1;
	device->next_host_port = VSOCK_HOST_PORT_FIRST;
	r = vsock_table_init(&device->table);
	if (r == 0)
		r = add_sources(device);
	if (r < 0)
		return err_set(err, r, "vsock: %s", strerror(-r));
	*ret = TAKE_PTR(device);
	return 0;
}

void vsock_destroy(struct vsock_device *device)
{
	if (!device)
		return;
	if (device->table.slots)
		drop_all(device);
	loop_remove(device->broker_source);
	loop_remove(device->again_source);
	loop_remove(device->timer);
	close_keeping_errno(device->again_fd);
	vsock_table_finish(&device->table);
	free(device);
}
