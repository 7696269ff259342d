/* SPDX-License-Identifier: Apache-2.0 */
/* The whole vsock device between a fake guest (a driver and a small vsock of its own) and a fake link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/devices/vsock.h"
#include "vmm/devices/vsock_broker.h"
#include "vmm/devices/vsock_credit.h"
#include "vmm/devices/vsock_packet.h"
#include "vmm/devices/vsock_table.h"

#define RX_BUFFERS 64
#define RX_SIZE	   4096
#define TX_BUFFERS 16
#define TX_PAYLOAD 65536u
#define GUEST_PORT 5000

struct rig {
	struct fake_guest guest;
	struct loop *loop;
	struct vsock_device *device;
	struct virtio_device vdev;
	struct virtio_driver driver;
	int broker; /* the link's end */
	uint32_t
		split; /* rx and tx buffers are cut into parts of this size; 0: head and payload apart */
	uint64_t rx_gpa[RX_BUFFERS];
	int rx_of_head[VIRTQUEUE_SIZE_MAX];
	bool rx_free[RX_BUFFERS];
	uint64_t tx_gpa[TX_BUFFERS];
	bool tx_free[TX_BUFFERS];
	int tx_of_head[VIRTQUEUE_SIZE_MAX];
	uint64_t rounds; /* loop events handled */
};

static size_t cut(const struct rig *rig, uint64_t gpa, uint32_t len, bool writable,
	struct virtq_driver_part *parts)
{
	size_t count = 0;
	uint32_t at = 0;

	while (at < len) {
		uint32_t step = rig->split ? rig->split : (at ? len - at : VSOCK_HEAD_SIZE);

		step = MIN(step, len - at);
		parts[count++] = (struct virtq_driver_part){
			.gpa = gpa + at, .len = step, .writable = writable
		};
		at += step;
	}
	return count;
}

static void post_rx(struct rig *rig, unsigned int most)
{
	for (int i = 0; i < RX_BUFFERS && most; i++) {
		struct virtq_driver_part parts[VIRTQ_DRIVER_PARTS_MAX];
		int head;

		if (!rig->rx_free[i])
			continue;
		head = virtq_driver_add(&rig->driver.queues[VSOCK_QUEUE_RX], parts,
			cut(rig, rig->rx_gpa[i], RX_SIZE, true, parts), false);
		if (head < 0)
			break;
		rig->rx_of_head[head] = i;
		rig->rx_free[i] = false;
		most--;
	}
	virtio_driver_kick(&rig->driver, VSOCK_QUEUE_RX);
}

static void reclaim_tx(struct rig *rig)
{
	uint16_t head;
	uint32_t written;

	while (virtq_driver_collect(&rig->driver.queues[VSOCK_QUEUE_TX], &head, &written, NULL, 0))
		rig->tx_free[rig->tx_of_head[head]] = true;
}

/* False where the tx queue is full. */
static bool send_packet(struct rig *rig, const struct vsock_head *head, const void *payload)
{
	struct virtq_driver_part parts[VIRTQ_DRIVER_PARTS_MAX];
	uint8_t *host;
	int i = 0, r;

	reclaim_tx(rig);
	while (i < TX_BUFFERS && !rig->tx_free[i])
		i++;
	if (i == TX_BUFFERS)
		return false;
	host = fake_guest_at(&rig->guest, rig->tx_gpa[i], VSOCK_HEAD_SIZE + TX_PAYLOAD);
	vsock_head_encode(head, host);
	if (head->len)
		memcpy(host + VSOCK_HEAD_SIZE, payload, head->len);
	r = virtq_driver_add(&rig->driver.queues[VSOCK_QUEUE_TX], parts,
		cut(rig, rig->tx_gpa[i], VSOCK_HEAD_SIZE + head->len, false, parts), false);
	if (r < 0)
		return false;
	rig->tx_of_head[r] = i;
	rig->tx_free[i] = false;
	virtio_driver_kick(&rig->driver, VSOCK_QUEUE_TX);
	return true;
}

static void run(struct rig *rig)
{
	for (int i = 0; i < 1000; i++) {
		int n = loop_run_once(rig->loop, 0);

		if (n <= 0)
			return;
		rig->rounds += (uint64_t)n;
	}
	fail_msg("the loop does not come to rest");
}

/* The next packet to the guest; its payload is copied to data. False where there is none. */
static bool take_packet(struct rig *rig, struct vsock_head *head, uint8_t *data)
{
	uint16_t index;
	uint32_t written;
	uint8_t *host;

	run(rig);
	if (!virtq_driver_collect(&rig->driver.queues[VSOCK_QUEUE_RX], &index, &written, NULL, 0))
		return false;
	host = fake_guest_at(&rig->guest, rig->rx_gpa[rig->rx_of_head[index]], RX_SIZE);
	rig->rx_free[rig->rx_of_head[index]] = true;
	vsock_head_decode(host, head);
	assert_int_equal(written, VSOCK_HEAD_SIZE + head->len);
	assert_int_equal(head->dst_cid, 3);
	if (data)
		memcpy(data, host + VSOCK_HEAD_SIZE, head->len);
	return true;
}

static struct vsock_head expect(struct rig *rig, enum vsock_op op)
{
	struct vsock_head head = {};

	post_rx(rig, 1);
	assert_true(take_packet(rig, &head, NULL));
	assert_int_equal(head.op, op);
	return head;
}

static void expect_silence(struct rig *rig)
{
	struct vsock_head head;

	if (take_packet(rig, &head, NULL))
		fail_msg("unexpected op %u", head.op);
}

static struct vsock_head to_host(enum vsock_op op, uint32_t host_port)
{
	return (struct vsock_head){
		.src_cid = 3,
		.dst_cid = 2,
		.src_port = GUEST_PORT,
		.dst_port = host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = 256 << 10,
	};
}

static void say(struct rig *rig, enum vsock_op op, uint32_t host_port, uint32_t flags)
{
	struct vsock_head head = to_host(op, host_port);

	head.flags = flags;
	assert_true(send_packet(rig, &head, NULL));
	run(rig);
}

static void say_bytes(struct rig *rig, uint32_t host_port, const void *data, uint32_t len)
{
	struct vsock_head head = to_host(VSOCK_OP_RW, host_port);

	head.len = len;
	assert_true(send_packet(rig, &head, data));
	run(rig);
}

static void tell(struct rig *rig, enum vsock_broker_op op, uint32_t id, uint32_t port, int fd)
{
	struct vsock_broker_message message = { .op = (uint8_t)op, .id = id, .port = port };

	assert_int_equal(vsock_broker_send(rig->broker, &message, fd), 0);
	run(rig);
}

static struct vsock_broker_message hear(struct rig *rig, enum vsock_broker_op op)
{
	struct vsock_broker_message message = {};
	int fd = -1;

	run(rig);
	assert_int_equal(vsock_broker_receive(rig->broker, &message, &fd), 1);
	assert_int_equal(message.op, op);
	assert_int_equal(fd, -1);
	return message;
}

/* A stream that the guest asked for: the host's end. */
static int connect_from_guest(struct rig *rig, uint32_t host_port, uint32_t buf_alloc)
{
	struct vsock_head head = to_host(VSOCK_OP_REQUEST, host_port);
	struct vsock_broker_message message;
	int pair[2];

	head.buf_alloc = buf_alloc;
	assert_true(send_packet(rig, &head, NULL));
	message = hear(rig, VSOCK_BROKER_CONNECT);
	assert_int_equal(message.port, host_port);
	assert_return_code(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), errno);
	tell(rig, VSOCK_BROKER_ACCEPTED, message.id, 0, pair[1]);
	close(pair[1]);
	head = expect(rig, VSOCK_OP_RESPONSE);
	assert_int_equal(head.src_port, host_port);
	assert_int_equal(head.dst_port, GUEST_PORT);
	return pair[0];
}

static uint64_t streams_now(const struct rig *rig)
{
	struct vsock_counters counters;

	vsock_counters(rig->device, &counters);
	return counters.streams_now;
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = {};
	int pair[2];

	assert_non_null(rig);
	fake_guest_init(&rig->guest, 8 << 20);
	assert_int_equal(loop_create(&rig->loop), 0);
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), errno);
	rig->broker = pair[0];
	assert_int_equal(vsock_create(rig->loop, pair[1], 3, &rig->device, &err), 0);
	virtio_device_init(
		&rig->vdev, &vsock_device_ops, rig->device, rig->loop, &rig->guest.memory);
	virtio_driver_init(&rig->driver, &rig->guest, &rig->vdev);
	assert_int_equal(virtio_driver_start(&rig->driver, ~0ull), 0);
	for (int i = 0; i < RX_BUFFERS; i++) {
		rig->rx_gpa[i] = fake_guest_alloc(&rig->guest, RX_SIZE, 1);
		rig->rx_free[i] = true;
	}
	for (int i = 0; i < TX_BUFFERS; i++) {
		rig->tx_gpa[i] = fake_guest_alloc(&rig->guest, VSOCK_HEAD_SIZE + TX_PAYLOAD, 1);
		rig->tx_free[i] = true;
	}
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	vsock_destroy(rig->device);
	loop_destroy(rig->loop);
	close(rig->broker);
	fake_guest_finish(&rig->guest);
	free(rig);
	return 0;
}

static void test_config_is_the_cid(void **state)
{
	struct rig *rig = *state;
	uint8_t config[8];

	virtio_device_config_read(&rig->vdev, 0, config, 8);
	assert_memory_equal(config, "\x03\0\0\0\0\0\0\0", 8);
	virtio_device_config_read(&rig->vdev, 4, config, 4);
	assert_memory_equal(config, "\0\0\0\0", 4);
}

static void test_guest_connects_and_talks(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	struct vsock_head head;
	char text[16] = {};
	uint8_t data[RX_SIZE];

	say_bytes(rig, 1024, "hello", 5);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(write(fd, "hi", 2), 2);
	post_rx(rig, 1);
	assert_true(take_packet(rig, &head, data));
	assert_int_equal(head.op, VSOCK_OP_RW);
	assert_int_equal(head.fwd_cnt, 5);
	assert_int_equal(head.buf_alloc, VSOCK_BUFFER_MAX);
	assert_memory_equal(data, "hi", 2);
	close(fd);
	head = expect(rig, VSOCK_OP_SHUTDOWN);
	assert_true(head.flags & VSOCK_SHUT_RECEIVE);
	if (head.flags != VSOCK_SHUT_BOTH)
		assert_int_equal(expect(rig, VSOCK_OP_SHUTDOWN).flags, VSOCK_SHUT_BOTH);
	assert_int_equal(streams_now(rig), 1);
	say(rig, VSOCK_OP_RST, 1024, 0);
	assert_int_equal(streams_now(rig), 0);
	expect_silence(rig);
}

static void test_refused(void **state)
{
	struct rig *rig = *state;

	say(rig, VSOCK_OP_REQUEST, 22, 0);
	tell(rig, VSOCK_BROKER_REFUSED, hear(rig, VSOCK_BROKER_CONNECT).id, 0, -1);
	assert_int_equal(expect(rig, VSOCK_OP_RST).src_port, 22);
	assert_int_equal(streams_now(rig), 0);
	/* An answer to an id that is no more. */
	tell(rig, VSOCK_BROKER_REFUSED, 0, 0, -1);
	tell(rig, VSOCK_BROKER_ACCEPTED, 77, 0, rig->broker);
	expect_silence(rig);
}

static void test_host_opens(void **state)
{
	struct rig *rig = *state;
	struct vsock_head head;
	int pair[2];
	char text[8] = {};

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
	assert_int_equal(write(pair[0], "early", 5), 5); /* waits for the guest's answer */
	tell(rig, VSOCK_BROKER_OPEN, 9, GUEST_PORT, pair[1]);
	close(pair[1]);
	head = expect(rig, VSOCK_OP_REQUEST);
	assert_int_equal(head.dst_port, GUEST_PORT);
	assert_int_equal(head.src_cid, 2);
	post_rx(rig, 4);
	expect_silence(rig);
	say(rig, VSOCK_OP_RESPONSE, head.src_port, 0);
	assert_int_equal(hear(rig, VSOCK_BROKER_OPENED).id, 9);
	assert_int_equal(expect(rig, VSOCK_OP_RW).len, 5);
	say_bytes(rig, head.src_port, "there", 5);
	assert_int_equal(read(pair[0], text, sizeof(text)), 5);
	/* The guest closes: RST in answer, and the host reads the end. */
	say(rig, VSOCK_OP_SHUTDOWN, head.src_port, VSOCK_SHUT_BOTH);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(read(pair[0], text, sizeof(text)), 0);
	assert_int_equal(streams_now(rig), 0);
	close(pair[0]);

	/* Nobody listens. */
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
	tell(rig, VSOCK_BROKER_OPEN, 10, 99, pair[1]);
	close(pair[1]);
	head = expect(rig, VSOCK_OP_REQUEST);
	head = (struct vsock_head){ .src_cid = 3,
		.dst_cid = 2,
		.src_port = 99,
		.dst_port = head.src_port,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RST };
	assert_true(send_packet(rig, &head, NULL));
	assert_int_equal(hear(rig, VSOCK_BROKER_FAILED).id, 10);
	assert_int_equal(read(pair[0], text, sizeof(text)), 0);
	close(pair[0]);
}

/* OPEN without an fd: bytes wait for it, also those of a guest that has gone meanwhile. */
static void test_stream_follows_open(void **state)
{
	struct rig *rig = *state;
	struct vsock_head head;
	int pair[2];
	char text[8] = {};

	for (int gone = 0; gone < 2; gone++) {
		tell(rig, VSOCK_BROKER_OPEN, 5, GUEST_PORT, -1);
		head = expect(rig, VSOCK_OP_REQUEST);
		say(rig, VSOCK_OP_RESPONSE, head.src_port, 0);
		hear(rig, VSOCK_BROKER_OPENED);
		say_bytes(rig, head.src_port, "banner", 6);
		if (gone) {
			say(rig, VSOCK_OP_SHUTDOWN, head.src_port, VSOCK_SHUT_BOTH);
			expect(rig, VSOCK_OP_RST);
		}
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), errno);
		tell(rig, VSOCK_BROKER_STREAM, 5, 0, pair[1]);
		close(pair[1]);
		assert_int_equal(read(pair[0], text, sizeof(text)), 6);
		assert_memory_equal(text, "banner", 6);
		assert_int_equal(streams_now(rig), !gone);
		if (!gone)
			say(rig, VSOCK_OP_RST, head.src_port, 0);
		assert_int_equal(read(pair[0], text, sizeof(text)), 0);
		close(pair[0]);
	}
	/* The link changes its mind. */
	tell(rig, VSOCK_BROKER_OPEN, 6, GUEST_PORT, -1);
	head = expect(rig, VSOCK_OP_REQUEST);
	say(rig, VSOCK_OP_RESPONSE, head.src_port, 0);
	hear(rig, VSOCK_BROKER_OPENED);
	tell(rig, VSOCK_BROKER_STREAM, 6, 0, -1);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(streams_now(rig), 0);
}

static void test_half_close_from_guest(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	char text[8];

	say_bytes(rig, 1024, "last", 4);
	say(rig, VSOCK_OP_SHUTDOWN, 1024, VSOCK_SHUT_SEND);
	assert_int_equal(read(fd, text, sizeof(text)), 4);
	assert_int_equal(read(fd, text, sizeof(text)), 0);
	/* The other direction lives. */
	assert_int_equal(write(fd, "answer", 6), 6);
	assert_int_equal(expect(rig, VSOCK_OP_RW).len, 6);
	assert_return_code(shutdown(fd, SHUT_WR), errno);
	assert_int_equal(expect(rig, VSOCK_OP_SHUTDOWN).flags & VSOCK_SHUT_SEND, VSOCK_SHUT_SEND);
	close(fd);
	run(rig);
	say(rig, VSOCK_OP_RST, 1024, 0);
	assert_int_equal(streams_now(rig), 0);
}

static void test_half_close_from_host(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	char text[8];

	assert_int_equal(write(fd, "last", 4), 4);
	assert_return_code(shutdown(fd, SHUT_WR), errno);
	assert_int_equal(expect(rig, VSOCK_OP_RW).len, 4);
	assert_int_equal(expect(rig, VSOCK_OP_SHUTDOWN).flags, VSOCK_SHUT_SEND);
	say_bytes(rig, 1024, "answer", 6);
	assert_int_equal(read(fd, text, sizeof(text)), 6);
	say(rig, VSOCK_OP_SHUTDOWN, 1024, VSOCK_SHUT_SEND);
	assert_int_equal(read(fd, text, sizeof(text)), 0);
	assert_int_equal(expect(rig, VSOCK_OP_SHUTDOWN).flags, VSOCK_SHUT_BOTH);
	say(rig, VSOCK_OP_SHUTDOWN, 1024, VSOCK_SHUT_BOTH);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(streams_now(rig), 0);
	close(fd);
}

/* The host stops reading: 256 KiB are kept, not a byte more, and all of it arrives, also after the guest has gone. */
static void test_slow_host_reader(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	static uint8_t piece[TX_PAYLOAD], back[1 << 20];
	uint64_t sent = 0, got = 0;
	struct vsock_head head;
	uint32_t fwd_cnt = 0;

	for (;;) {
		post_rx(rig, 8);
		while (take_packet(rig, &head, NULL))
			fwd_cnt = head.fwd_cnt;
		if ((uint32_t)sent - fwd_cnt + TX_PAYLOAD > VSOCK_BUFFER_MAX)
			break;
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (uint8_t)((sent + i) * 7 >> 3);
		say_bytes(rig, 1024, piece, sizeof(piece));
		sent += sizeof(piece);
	}
	assert_true(sent >= VSOCK_BUFFER_MAX);
	say(rig, VSOCK_OP_SHUTDOWN, 1024, VSOCK_SHUT_BOTH);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(streams_now(rig), 1); /* draining */
	for (;;) {
		ssize_t n = read(fd, back, sizeof(back));

		run(rig);
		if (n == 0)
			break;
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(back[i], (uint8_t)((got + (uint64_t)i) * 7 >> 3));
		got += (uint64_t)n;
	}
	assert_int_equal(got, sent);
	assert_int_equal(streams_now(rig), 0);
	close(fd);
}

static void test_more_than_credit_is_reset(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	static uint8_t piece[TX_PAYLOAD];
	struct vsock_head head = {};

	/* The host takes none, the guest goes on all the same. */
	post_rx(rig, RX_BUFFERS);
	for (int i = 0; i < 20 && head.op != VSOCK_OP_RST; i++) {
		say_bytes(rig, 1024, piece, sizeof(piece));
		while (head.op != VSOCK_OP_RST && take_packet(rig, &head, NULL))
			;
	}
	assert_int_equal(head.op, VSOCK_OP_RST);
	assert_int_equal(streams_now(rig), 0);
	assert_false(rig->vdev.needs_reset);
	close(fd);
}

static void test_rules_of_streams(void **state)
{
	struct rig *rig = *state;
	struct vsock_head head = to_host(VSOCK_OP_RW, 7);
	int fd;

	say_bytes(rig, 7, "x", 1); /* no such stream */
	assert_int_equal(expect(rig, VSOCK_OP_RST).src_port, 7);
	say(rig, VSOCK_OP_RST, 7, 0); /* never answered */
	head.src_cid = 4; /* somebody else's */
	head.op = VSOCK_OP_REQUEST;
	assert_true(send_packet(rig, &head, NULL));
	head.src_cid = 3;
	head.type = 2; /* SEQPACKET was not offered */
	assert_true(send_packet(rig, &head, NULL));
	assert_int_equal(expect(rig, VSOCK_OP_RST).type, 2);
	head.type = VSOCK_TYPE_STREAM;
	head.dst_cid = 1; /* not the host */
	assert_true(send_packet(rig, &head, NULL));
	assert_int_equal(expect(rig, VSOCK_OP_RST).src_cid, 1);
	/* Data before the answer, and an answer to nothing. */
	say(rig, VSOCK_OP_REQUEST, 7, 0);
	hear(rig, VSOCK_BROKER_CONNECT);
	say_bytes(rig, 7, "x", 1);
	expect(rig, VSOCK_OP_RST);
	say(rig, VSOCK_OP_RESPONSE, 7, 0);
	expect(rig, VSOCK_OP_RST);
	/* A second REQUEST, and an unknown op, cost an open stream. */
	fd = connect_from_guest(rig, 8, 4096);
	say(rig, VSOCK_OP_REQUEST, 8, 0);
	expect(rig, VSOCK_OP_RST);
	close(fd);
	fd = connect_from_guest(rig, 8, 4096);
	say(rig, (enum vsock_op)99, 8, 0);
	expect(rig, VSOCK_OP_RST);
	close(fd);
	/* Data after the guest's own SHUTDOWN. */
	fd = connect_from_guest(rig, 8, 4096);
	say(rig, VSOCK_OP_SHUTDOWN, 8, VSOCK_SHUT_SEND);
	say_bytes(rig, 8, "x", 1);
	expect(rig, VSOCK_OP_RST);
	close(fd);
	assert_int_equal(streams_now(rig), 0);
	assert_false(rig->vdev.needs_reset);
	expect_silence(rig);
}

static void test_faults_stop_the_device_alone(void **state)
{
	struct rig *rig = *state;
	struct vsock_head head = to_host(VSOCK_OP_RW, 7);
	uint8_t wire[VSOCK_HEAD_SIZE];
	int fd;

	for (int kind = 0; kind < 3; kind++) {
		fd = connect_from_guest(rig, 1024, 4096);
		head.len = 1; /* of which nothing is there */
		vsock_head_encode(&head, wire);
		if (kind == 0)
			virtq_driver_request(&rig->driver.queues[VSOCK_QUEUE_TX], wire,
				VSOCK_HEAD_SIZE, 0, 0, false);
		if (kind == 1) /* a head cut short */
			virtq_driver_request(&rig->driver.queues[VSOCK_QUEUE_TX], wire,
				VSOCK_HEAD_SIZE - 1, 0, 0, false);
		if (kind == 2) { /* an rx buffer that takes no head */
			virtq_driver_request(&rig->driver.queues[VSOCK_QUEUE_RX], NULL, 0,
				VSOCK_HEAD_SIZE - 1, 0, false);
			virtio_driver_kick(&rig->driver, VSOCK_QUEUE_RX);
			assert_int_equal(write(fd, "x", 1), 1);
		} else {
			virtio_driver_kick(&rig->driver, VSOCK_QUEUE_TX);
		}
		run(rig);
		assert_true(rig->vdev.needs_reset);
		assert_int_equal(write(fd, "more", 4), 4);
		run(rig); /* nobody spins, nobody dies */
		virtio_driver_reset(&rig->driver);
		assert_int_equal(streams_now(rig), 0);
		close(fd);
		for (int i = 0; i < RX_BUFFERS; i++)
			rig->rx_free[i] = true;
		for (int i = 0; i < TX_BUFFERS; i++)
			rig->tx_free[i] = true;
		assert_int_equal(virtio_driver_start(&rig->driver, ~0ull), 0);
	}
	fd = connect_from_guest(rig, 1024, 4096);
	close(fd);
}

static void test_table_and_resets_are_bounded(void **state)
{
	struct rig *rig = *state;
	struct vsock_counters counters;
	struct vsock_head head = to_host(VSOCK_OP_REQUEST, 7);
	struct vsock_broker_message message;
	int fd;

	for (uint32_t port = 0; port < 2 * VSOCK_STREAMS_MAX; port++) {
		head.src_port = port;
		assert_true(send_packet(rig, &head, NULL));
		run(rig);
		while (vsock_broker_receive(rig->broker, &message, &fd) == 1)
			;
	}
	vsock_counters(rig->device, &counters);
	assert_int_equal(counters.streams_now, VSOCK_STREAMS_MAX);
	assert_int_equal(counters.resets_dropped, VSOCK_STREAMS_MAX - VSOCK_RSTS_MAX);
	/* A full table refuses the link as well. */
	tell(rig, VSOCK_BROKER_OPEN, 3, 5, -1);
	assert_int_equal(hear(rig, VSOCK_BROKER_FAILED).id, 3);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(streams_now(rig), 0);
}

/* The link is slower than a guest that asks: refusals, no wait. */
static void test_busy_link(void **state)
{
	struct rig *rig = *state;
	struct vsock_head head = to_host(VSOCK_OP_REQUEST, 7);

	for (uint32_t port = 0; port < VSOCK_STREAMS_MAX; port++) {
		head.src_port = port;
		assert_true(send_packet(rig, &head, NULL));
		run(rig);
	}
	assert_true(streams_now(rig) < VSOCK_STREAMS_MAX);
	assert_true(streams_now(rig) > 50);
	assert_false(rig->vdev.needs_reset);
}

static void test_link_dies(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 4096);
	char c;

	close(rig->broker);
	run(rig);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(read(fd, &c, 1), 0);
	say(rig, VSOCK_OP_REQUEST, 1024, 0);
	expect(rig, VSOCK_OP_RST);
	assert_int_equal(streams_now(rig), 0);
	close(fd);
	rig->broker = -1;
}

static void test_reset_closes_everything(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 4096);
	uint64_t before;
	char c;

	tell(rig, VSOCK_BROKER_OPEN, 4, 77, -1);
	post_rx(rig, RX_BUFFERS);
	assert_int_equal(write(fd, "x", 1), 1);
	run(rig);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(hear(rig, VSOCK_BROKER_FAILED).id, 4);
	assert_int_equal(read(fd, &c, 1), 0);
	tell(rig, VSOCK_BROKER_OPEN, 5, 77, -1); /* no driver */
	assert_int_equal(hear(rig, VSOCK_BROKER_FAILED).id, 5);
	before = rig->rounds;
	run(rig);
	assert_int_equal(rig->rounds, before);
	close(fd);
}

/* A stream that can't go on costs no loop rounds: no credit, and the host's end closed on top of it. */
static void test_blocked_stream_does_not_spin(void **state)
{
	struct rig *rig = *state;
	static uint8_t big[64 << 10];
	int fd = connect_from_guest(rig, 1024, 8192);
	struct vsock_head head;
	uint64_t got = 0, before;

	post_rx(rig, RX_BUFFERS);
	assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
	close(fd);
	while (take_packet(rig, &head, NULL))
		got += head.op == VSOCK_OP_RW ? head.len : 0;
	assert_in_range(got, 4096, 8192 - 2 * VSOCK_PACKET_MEMORY);
	before = rig->rounds;
	for (int i = 0; i < 200; i++) {
		int n = loop_run_once(rig->loop, 1);

		rig->rounds += n > 0 ? (uint64_t)n : 0;
	}
	/* The guest is asked now and then, ever less often. */
	assert_in_range(rig->rounds - before, 1, 20);
	while (take_packet(rig, &head, NULL))
		assert_true(head.op == VSOCK_OP_CREDIT_REQUEST || head.op == VSOCK_OP_SHUTDOWN);
	/* It reads on: the rest comes, and only then the end. */
	for (uint32_t fwd = (uint32_t)got; got < sizeof(big); fwd = (uint32_t)got) {
		head = to_host(VSOCK_OP_CREDIT_UPDATE, 1024);
		head.buf_alloc = 8192;
		head.fwd_cnt = fwd;
		assert_true(send_packet(rig, &head, NULL));
		post_rx(rig, RX_BUFFERS);
		while (take_packet(rig, &head, NULL))
			got += head.op == VSOCK_OP_RW ? head.len : 0;
	}
	assert_int_equal(got, sizeof(big));
	assert_int_equal(head.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(head.flags, VSOCK_SHUT_BOTH);
}

/*
 * Linux counts the memory behind every packet: so many one-byte packets are never queued; and it tells its progress late:
 * it is asked. (V8)
 */
static void test_tiny_packets(void **state)
{
	struct rig *rig = *state;
	int fd = connect_from_guest(rig, 1024, 256 << 10);
	uint32_t queued = 0, bytes = 0, sent = 0;
	struct vsock_head head;
	bool asked = false;

	/* Until the socket is full too. */
	for (; write(fd, "x", 1) == 1; sent++) {
		post_rx(rig, RX_BUFFERS);
		while (take_packet(rig, &head, NULL)) {
			asked |= head.op == VSOCK_OP_CREDIT_REQUEST;
			queued += head.op == VSOCK_OP_RW;
			bytes += head.len;
		}
		assert_true(queued <= 128);
	}
	assert_true(asked);
	assert_int_equal(queued, 128);
	assert_true(sent > 128);
	/* The guest's program reads it all; the kernel answers a probe. */
	for (int i = 0; i < 100 && bytes < sent; i++) {
		loop_run_once(rig->loop, 20);
		post_rx(rig, RX_BUFFERS);
		while (take_packet(rig, &head, NULL)) {
			bytes += head.len;
			if (head.op != VSOCK_OP_CREDIT_REQUEST)
				continue;
			head = to_host(VSOCK_OP_CREDIT_UPDATE, 1024);
			head.fwd_cnt = bytes;
			assert_true(send_packet(rig, &head, NULL));
		}
	}
	assert_int_equal(bytes, sent);
	close(fd);
}

/* What a Linux guest does with one stream, both ways at once. */
struct guest_stream {
	uint32_t buf_alloc; /* the guest's */
	uint32_t queued; /* bytes it has not read */
	uint32_t rx_cnt, fwd_cnt, told;
	uint32_t tx_cnt, peer_alloc, peer_fwd;
	uint64_t received, sent, to_send;
	unsigned int write_size;
};

static uint8_t pattern(uint64_t at, uint8_t salt)
{
	return (uint8_t)(at ^ at >> 8 ^ at >> 16) ^ salt;
}

static struct vsock_head stream_head(struct guest_stream *s, enum vsock_op op)
{
	struct vsock_head head = to_host(op, 1024);

	head.buf_alloc = s->buf_alloc;
	head.fwd_cnt = s->told = s->fwd_cnt;
	return head;
}

static void guest_receives(struct rig *rig, struct guest_stream *s)
{
	static uint8_t data[RX_SIZE];
	struct vsock_head head;

	while (take_packet(rig, &head, data)) {
		s->peer_alloc = head.buf_alloc;
		s->peer_fwd = head.fwd_cnt;
		if (head.op == VSOCK_OP_CREDIT_REQUEST) {
			head = stream_head(s, VSOCK_OP_CREDIT_UPDATE);
			assert_true(send_packet(rig, &head, NULL));
		} else if (head.op == VSOCK_OP_RW) {
			for (uint32_t i = 0; i < head.len; i++)
				assert_int_equal(data[i], pattern(s->received + i, 1));
			s->received += head.len;
			s->rx_cnt += head.len;
			s->queued += head.len;
			assert_true(s->queued <= s->buf_alloc);
		} else {
			assert_int_equal(head.op, VSOCK_OP_CREDIT_UPDATE);
		}
	}
}

static void guest_reads(struct rig *rig, struct guest_stream *s)
{
	uint32_t len = s->queued ? 1 + (uint32_t)rand() % s->queued : 0;

	s->queued -= len;
	s->fwd_cnt += len;
	/* virtio_transport_stream_do_dequeue(): only when the host's view is nearly used up. */
	if (s->buf_alloc - (s->fwd_cnt - s->told) < 64 << 10) {
		struct vsock_head head = stream_head(s, VSOCK_OP_CREDIT_UPDATE);

		assert_true(send_packet(rig, &head, NULL));
	}
}

static void guest_writes(struct rig *rig, struct guest_stream *s)
{
	static uint8_t data[TX_PAYLOAD];

	for (int i = 0; i < 8 && s->sent < s->to_send; i++) {
		uint32_t room = s->peer_alloc - (s->tx_cnt - s->peer_fwd);
		uint64_t want = MIN(s->to_send - s->sent, s->write_size);
		uint32_t most = MIN(room, TX_PAYLOAD);
		uint32_t len = (uint32_t)MIN(want, most);
		struct vsock_head head = stream_head(s, VSOCK_OP_RW);

		if (!len)
			return;
		for (uint32_t k = 0; k < len; k++)
			data[k] = pattern(s->sent + k, 2);
		head.len = len;
		if (!send_packet(rig, &head, data))
			return;
		s->sent += len;
		s->tx_cnt += len;
	}
}

struct host_end {
	int fd;
	uint64_t received, sent, to_send;
	unsigned int write_size;
};

static void host_works(struct host_end *h)
{
	static uint8_t data[1 << 20];
	ssize_t n;

	for (int i = 0; i < 8 && h->sent < h->to_send; i++) {
		size_t len = MIN(h->write_size, h->to_send - h->sent);

		for (size_t k = 0; k < len; k++)
			data[k] = pattern(h->sent + k, 1);
		n = write(h->fd, data, len);
		if (n <= 0)
			break;
		h->sent += (uint64_t)n;
	}
	n = read(h->fd, data, 1 + (size_t)rand() % sizeof(data));
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(data[i], pattern(h->received + (uint64_t)i, 2));
	h->received += n > 0 ? (uint64_t)n : 0;
}

static void bulk(
	struct rig *rig, unsigned int write_size, uint64_t total, uint32_t split, bool starve)
{
	struct guest_stream s = {
		.buf_alloc = 256 << 10, .to_send = total, .write_size = write_size
	};
	struct host_end h = { .to_send = total, .write_size = write_size };
	unsigned int idle = 0;

	rig->split = split;
	h.fd = connect_from_guest(rig, 1024, s.buf_alloc);
	s.peer_alloc = VSOCK_BUFFER_MAX;
	while (s.received < total || h.received < total) {
		uint64_t before = s.received + h.received + s.sent + h.sent;

		post_rx(rig, starve ? 1 + (unsigned int)rand() % 3 : RX_BUFFERS);
		host_works(&h);
		guest_receives(rig, &s);
		guest_reads(rig, &s);
		guest_writes(rig, &s);
		run(rig);
		if (before != s.received + h.received + s.sent + h.sent) {
			idle = 0;
			continue;
		}
		loop_run_once(rig->loop, 5);
		if (++idle > 400)
			fail_msg("stalled: guest has %llu, host has %llu",
				(unsigned long long)s.received, (unsigned long long)h.received);
	}
	close(h.fd);
	run(rig);
	say(rig, VSOCK_OP_RST, 1024, 0);
	post_rx(rig, RX_BUFFERS);
	while (take_packet(rig, &(struct vsock_head){}, NULL))
		;
	assert_int_equal(streams_now(rig), 0);
}

static void test_bulk_both_ways(void **state)
{
	struct rig *rig = *state;

	srand(3);
	bulk(rig, 1 << 20, 8 << 20, 0, false);
	bulk(rig, 64 << 10, 4 << 20, 4096, false);
	bulk(rig, 1, 20000, 0, false);
	bulk(rig, 100, 300000, 20, true); /* heads split too, rx buffers scarce */
	bulk(rig, 1 << 20, 2 << 20, 1000, true);
	bulk(rig, 4096, 2 << 20, 0, true);
}

#define VSOCK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_config_is_the_cid),
		VSOCK_TEST(test_guest_connects_and_talks),
		VSOCK_TEST(test_refused),
		VSOCK_TEST(test_host_opens),
		VSOCK_TEST(test_stream_follows_open),
		VSOCK_TEST(test_half_close_from_guest),
		VSOCK_TEST(test_half_close_from_host),
		VSOCK_TEST(test_slow_host_reader),
		VSOCK_TEST(test_more_than_credit_is_reset),
		VSOCK_TEST(test_rules_of_streams),
		VSOCK_TEST(test_faults_stop_the_device_alone),
		VSOCK_TEST(test_table_and_resets_are_bounded),
		VSOCK_TEST(test_busy_link),
		VSOCK_TEST(test_link_dies),
		VSOCK_TEST(test_reset_closes_everything),
		VSOCK_TEST(test_blocked_stream_does_not_spin),
		VSOCK_TEST(test_tiny_packets),
		VSOCK_TEST(test_bulk_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
