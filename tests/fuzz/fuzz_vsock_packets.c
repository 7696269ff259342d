/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device under a hostile driver: the input is a program of guest packets (well-formed or raw), rx buffers, the
 * link's answers, and the host ends' reads, writes and closes. Wrong results become a trap: packets that carry more than
 * their buffer, more than the guest's credit, or that name others than host and guest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/devices/vsock.h"
#include "vmm/devices/vsock_broker.h"
#include "vmm/devices/vsock_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 200
#define HOST_ENDS 8
#define RX_SIZE	  512
#define FLOOD	  140 /* more than VSOCK_TX_TURN and VSOCK_RX_TURN */

struct world {
	struct fake_guest guest;
	struct loop *loop;
	struct vsock_device *device;
	struct virtio_device vdev;
	struct virtio_driver driver;
	int broker, broker_end; /* the link's end, the device's */
	int host[HOST_ENDS];
	unsigned int next_host;
	uint32_t asked; /* id of the last CONNECT */
	uint32_t last_host_port;
	struct bytes_reader in;
};

static void run(struct world *w)
{
	for (int i = 0; i < 50 && loop_run_once(w->loop, 0) > 0; i++)
		;
}

static int new_pair(struct world *w)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	w->next_host = (w->next_host + 1) % HOST_ENDS;
	if (w->host[w->next_host] >= 0)
		close(w->host[w->next_host]);
	w->host[w->next_host] = pair[0];
	return pair[1];
}

static void tell(struct world *w, enum vsock_broker_op op, uint32_t id, uint32_t port, bool with_fd)
{
	struct vsock_broker_message message = { .op = (uint8_t)op, .id = id, .port = port };
	int fd = with_fd ? new_pair(w) : -1;

	vsock_broker_send(w->broker, &message, fd);
	if (fd >= 0)
		close(fd);
}

static void hear(struct world *w)
{
	struct vsock_broker_message message;
	int fd;

	while (vsock_broker_receive(w->broker, &message, &fd) == 1)
		if (message.op == VSOCK_BROKER_CONNECT)
			w->asked = message.id;
}

static void collect(struct world *w)
{
	uint8_t wire[RX_SIZE];
	uint16_t head_index;
	uint32_t written;
	struct vsock_head head;

	while (virtq_driver_collect(
		&w->driver.queues[VSOCK_QUEUE_TX], &head_index, &written, NULL, 0))
		;
	while (virtq_driver_collect(
		&w->driver.queues[VSOCK_QUEUE_RX], &head_index, &written, wire, sizeof(wire))) {
		vsock_head_decode(wire, &head);
		if (written > RX_SIZE || written != VSOCK_HEAD_SIZE + head.len)
			abort();
		if (head.op == VSOCK_OP_RW &&
			(head.len == 0 || head.src_cid != 2 || head.dst_cid != 3))
			abort();
		if (head.op == VSOCK_OP_REQUEST)
			w->last_host_port = head.src_port;
	}
}

static void guest_says(struct world *w)
{
	static const uint32_t allocs[] = { 0, 1, 100, 4096, 256 << 10, UINT32_MAX };
	uint8_t wire[VSOCK_HEAD_SIZE + 4096] = {};
	uint8_t kind = bytes_get_u8(&w->in);
	struct vsock_head head = {
		.src_cid = kind & 0x80 ? kind : 3,
		.dst_cid = 2,
		.src_port = 5000u + (kind >> 4 & 3u),
		.dst_port = kind & 0x40 ? w->last_host_port : 1024,
		.type = VSOCK_TYPE_STREAM,
		.op = kind & 15,
		.flags = bytes_get_u8(&w->in),
		.buf_alloc = allocs[bytes_get_u8(&w->in) % ARRAY_SIZE(allocs)],
		.fwd_cnt = bytes_get_u16(&w->in),
	};

	head.len = head.op == VSOCK_OP_RW ? bytes_get_u16(&w->in) % 4096u : 0;
	vsock_head_encode(&head, wire);
	virtq_driver_request(&w->driver.queues[VSOCK_QUEUE_TX], wire, VSOCK_HEAD_SIZE + head.len, 0,
		bytes_get_u8(&w->in) % 64u * 16u, kind & 1);
	virtio_driver_kick(&w->driver, VSOCK_QUEUE_TX);
}

static void guest_says_raw(struct world *w)
{
	size_t len = MIN(bytes_get_u8(&w->in) % 64u, bytes_left(&w->in));
	const uint8_t *raw = bytes_get(&w->in, len);

	if (!len)
		return;
	virtq_driver_request(&w->driver.queues[VSOCK_QUEUE_TX], raw, len, 0, 0, false);
	virtio_driver_kick(&w->driver, VSOCK_QUEUE_TX);
}

/* More in one kick than the device takes in one turn: packets of a byte each, or rx buffers. */
static void guest_floods(struct world *w, bool rx)
{
	uint8_t wire[VSOCK_HEAD_SIZE + 1] = {};
	struct vsock_head head = {
		.src_cid = 3,
		.dst_cid = 2,
		.src_port = 5000u + (bytes_get_u8(&w->in) & 3u),
		.dst_port = 1024,
		.len = 1,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RW,
		.buf_alloc = UINT32_MAX,
	};

	vsock_head_encode(&head, wire);
	for (int i = 0; i < FLOOD; i++)
		if (rx)
			virtq_driver_request(
				&w->driver.queues[VSOCK_QUEUE_RX], NULL, 0, RX_SIZE, 0, false);
		else
			virtq_driver_request(
				&w->driver.queues[VSOCK_QUEUE_TX], wire, sizeof(wire), 0, 0, false);
	virtio_driver_kick(&w->driver, rx ? VSOCK_QUEUE_RX : VSOCK_QUEUE_TX);
}

static void guest_listens(struct world *w)
{
	uint8_t how = bytes_get_u8(&w->in);

	for (int i = 0; i < (how & 15); i++)
		virtq_driver_request(&w->driver.queues[VSOCK_QUEUE_RX], NULL, 0,
			how & 0x80 ? 20 + (how >> 4 & 7) * 10u : RX_SIZE, (how >> 4 & 7) * 11u,
			false);
	virtio_driver_kick(&w->driver, VSOCK_QUEUE_RX);
}

static void host_acts(struct world *w)
{
	static const uint8_t bytes[8192];
	static uint8_t sink[65536];
	uint8_t how = bytes_get_u8(&w->in);
	int *fd = &w->host[how % HOST_ENDS];

	if (*fd < 0)
		return;
	switch (how >> 3 & 7) {
	case 0:
		close(*fd);
		*fd = -1;
		break;
	case 1:
		shutdown(*fd, how & 0x40 ? SHUT_WR : SHUT_RD);
		break;
	case 2:
	case 3:
		if (read(*fd, sink, sizeof(sink)) < 0) {
			/* Nothing there. */
		}
		break;
	default:
		if (send(*fd, bytes, (how >> 3) * 100u, MSG_NOSIGNAL) < 0) {
			/* Full, or closed. */
		}
	}
}

static void start_again(struct world *w)
{
	virtio_driver_reset(&w->driver);
	/* The driver's rings are made anew in what is left of RAM. */
	if (w->guest.next_free < w->guest.size_bytes / 2)
		virtio_driver_start(&w->driver, ~0ull);
}

static void step(struct world *w)
{
	uint8_t what = bytes_get_u8(&w->in);

	switch (what % 10) {
	case 0:
	case 1:
		guest_says(w);
		break;
	case 2:
		guest_says_raw(w);
		break;
	case 3:
		guest_listens(w);
		break;
	case 4:
		tell(w, VSOCK_BROKER_ACCEPTED, w->asked, 0, true);
		break;
	case 5:
		tell(w, what & 0x40 ? VSOCK_BROKER_REFUSED : VSOCK_BROKER_STREAM, w->asked, 0,
			what & 0x80);
		break;
	case 6:
		tell(w, VSOCK_BROKER_OPEN, what >> 6, 5000 + (what >> 6), what & 0x20);
		break;
	case 7:
	case 8:
		host_acts(w);
		break;
	default:
		if (what > 240)
			start_again(w);
		else
			guest_floods(w, what > 120);
		break;
	}
}

static void set_up(struct world *w)
{
	struct err err;
	int pair[2];

	fake_guest_init(&w->guest, 4 << 20);
	if (loop_create(&w->loop) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
		vsock_create(w->loop, pair[1], 3, &w->device, &err) < 0)
		abort();
	w->broker = pair[0];
	for (size_t i = 0; i < HOST_ENDS; i++)
		w->host[i] = -1;
	virtio_device_init(&w->vdev, &vsock_device_ops, w->device, w->loop, &w->guest.memory);
	virtio_driver_init(&w->driver, &w->guest, &w->vdev);
	virtio_driver_start(&w->driver, ~0ull);
	w->broker_end = pair[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;

	log_set_level(LOG_ERROR);
	memset(&w, 0, sizeof(w));
	set_up(&w);
	w.in = bytes_reader(data, size);
	for (int i = 0; i < STEPS_MAX && bytes_left(&w.in) &&
			w.guest.next_free < w.guest.size_bytes / 4 * 3;
		i++) {
		if (w.vdev.active)
			step(&w);
		else
			bytes_get_u8(&w.in);
		run(&w);
		hear(&w);
		if (w.vdev.active)
			collect(&w);
	}
	vsock_destroy(w.device);
	loop_destroy(w.loop);
	for (size_t i = 0; i < HOST_ENDS; i++)
		if (w.host[i] >= 0)
			close(w.host[i]);
	close(w.broker_end);
	close(w.broker);
	fake_guest_finish(&w.guest);
	return 0;
}
