/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/virtio/mmio.h"

#define BASE	   0xd0000000u
#define QUEUE_SIZE 16

/* Answers each request with its own first byte, counts, and takes its time when told to. */
struct echo {
	struct virtio_device *vdev;
	atomic_uint activated, resets, notified;
	atomic_uint slow_ms;
	atomic_bool inside;
	uint8_t config[8];
	pthread_t loop_thread;
	atomic_bool wrong_thread;
};

static void check_thread(struct echo *echo)
{
	if (!pthread_equal(pthread_self(), echo->loop_thread))
		echo->wrong_thread = true;
}

static uint64_t echo_features(void *state)
{
	(void)state;
	return 1ull << 3;
}

static int echo_activate(void *state, struct virtio_device *vdev)
{
	struct echo *echo = state;

	check_thread(echo);
	echo->vdev = vdev;
	echo->activated++;
	return 0;
}

static void echo_reset(void *state)
{
	struct echo *echo = state;

	check_thread(echo);
	echo->resets++;
}

static int echo_notify(void *state, uint16_t queue)
{
	struct echo *echo = state;
	struct virtqueue *vq = &echo->vdev->queues[queue];
	struct virtq_chain chain;
	uint8_t byte;
	int r;

	check_thread(echo);
	echo->inside = true;
	echo->notified++;
	if (echo->slow_ms)
		usleep(echo->slow_ms * 1000);
	while ((r = virtqueue_pop(vq, &chain)) == 1) {
		virtq_chain_read(&chain, &byte, 1);
		virtqueue_push(vq, chain.head, (uint32_t)virtq_chain_write(&chain, &byte, 1));
	}
	virtio_device_signal(echo->vdev, queue);
	echo->inside = false;
	return r;
}

static size_t echo_config_size(void *state)
{
	(void)state;
	return 8;
}

static void echo_config_read(void *state, size_t offset, void *data, size_t len)
{
	struct echo *echo = state;

	memcpy(data, echo->config + offset, len);
}

static void echo_config_write(void *state, size_t offset, const void *data, size_t len)
{
	struct echo *echo = state;

	check_thread(echo);
	memcpy(echo->config + offset, data, len);
}

static const struct virtio_device_ops echo_ops = {
	.name = "echo",
	.device_id = 42,
	.queue_count = 2,
	.queue_size = QUEUE_SIZE,
	.features = echo_features,
	.activate = echo_activate,
	.reset = echo_reset,
	.notify = echo_notify,
	.config_size = echo_config_size,
	.config_read = echo_config_read,
	.config_write = echo_config_write,
};

struct rig {
	struct fake_guest guest;
	struct loop *loop;
	pthread_t thread;
	struct echo echo;
	struct virtio_device vdev;
	struct virtio_mmio mmio;
	struct bus bus;
	struct virtq_driver queue;
};

static void *run_loop(void *data)
{
	loop_run(data);
	return NULL;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	memcpy(rig->echo.config, "\1\2\3\4\5\6\7\x8", 8);
	fake_guest_init(&rig->guest, 1u << 20);
	assert_int_equal(loop_create(&rig->loop), 0);
	virtio_device_init(&rig->vdev, &echo_ops, &rig->echo, rig->loop, &rig->guest.memory);
	assert_int_equal(virtio_mmio_init(&rig->mmio, &rig->vdev, NULL), 0);
	assert_int_equal(
		bus_add(&rig->bus, BASE, VIRTIO_MMIO_SIZE, &virtio_mmio_bus_ops, &rig->mmio, NULL),
		0);
	assert_int_equal(pthread_create(&rig->thread, NULL, run_loop, rig->loop), 0);
	rig->echo.loop_thread = rig->thread;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	assert_false(rig->echo.wrong_thread);
	loop_stop(rig->loop, 0);
	pthread_join(rig->thread, NULL);
	virtio_mmio_finish(&rig->mmio);
	loop_destroy(rig->loop);
	fake_guest_finish(&rig->guest);
	free(rig);
	return 0;
}

static void out(struct rig *rig, uint32_t reg, uint32_t value)
{
	uint8_t data[4];

	store_le32(data, value);
	bus_write(&rig->bus, BASE + reg, data, 4);
}

static uint32_t in(struct rig *rig, uint32_t reg)
{
	uint8_t data[4];

	bus_read(&rig->bus, BASE + reg, data, 4);
	return load_le32(data);
}

static void negotiate(struct rig *rig, uint64_t features)
{
	out(rig, 0x70, 0);
	out(rig, 0x70, 1);
	out(rig, 0x70, 3);
	out(rig, 0x24, 0);
	out(rig, 0x20, (uint32_t)features);
	out(rig, 0x24, 1);
	out(rig, 0x20, (uint32_t)(features >> 32));
	out(rig, 0x70, 3 | 8);
}

static void set_queue(
	struct rig *rig, uint32_t sel, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	out(rig, 0x30, sel);
	out(rig, 0x38, size);
	out(rig, 0x80, (uint32_t)desc);
	out(rig, 0x84, (uint32_t)(desc >> 32));
	out(rig, 0x90, (uint32_t)avail);
	out(rig, 0x94, (uint32_t)(avail >> 32));
	out(rig, 0xa0, (uint32_t)used);
	out(rig, 0xa4, (uint32_t)(used >> 32));
	out(rig, 0x44, 1);
}

static void start(struct rig *rig)
{
	struct virtq_driver *q = &rig->queue;

	negotiate(rig, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_EVENT_IDX);
	assert_int_equal(in(rig, 0x70), 3 | 8);
	rig->guest.next_free = 0;
	virtq_driver_init(q, &rig->guest, QUEUE_SIZE, true);
	set_queue(rig, 1, QUEUE_SIZE, q->desc_gpa, q->avail_gpa, q->used_gpa);
	out(rig, 0x70, 3 | 8 | 4);
}

static bool wait_irq(struct rig *rig)
{
	struct pollfd poll_fd = { .fd = rig->mmio.irq_fd, .events = POLLIN };
	uint64_t count;

	return poll(&poll_fd, 1, 2000) == 1 && read(rig->mmio.irq_fd, &count, 8) == 8;
}

static void round_trip(struct rig *rig, char byte)
{
	uint32_t written;
	char answer = 0;

	virtq_driver_want_interrupt(&rig->queue, true);
	assert_true(virtq_driver_request(&rig->queue, &byte, 1, 1, 0, false) >= 0);
	if (virtq_driver_needs_kick(&rig->queue))
		out(rig, 0x50, 1);
	do
		assert_true(wait_irq(rig));
	while (!virtq_driver_collect(&rig->queue, NULL, &written, &answer, 1));
	assert_int_equal(written, 1);
	assert_int_equal(answer, byte);
	assert_int_equal(in(rig, 0x60) & 1, 1);
	out(rig, 0x64, 1);
	assert_int_equal(in(rig, 0x60) & 1, 0);
}

static void test_identity(void **state)
{
	struct rig *rig = *state;
	uint8_t data[8];

	assert_int_equal(in(rig, 0), 0x74726976);
	assert_int_equal(in(rig, 4), 2);
	assert_int_equal(in(rig, 8), 42);
	assert_int_equal(in(rig, 0x10), 1u << 28 | 1u << 29 | 1u << 3);
	out(rig, 0x14, 1);
	assert_int_equal(in(rig, 0x10), 1);
	out(rig, 0x14, 2);
	assert_int_equal(in(rig, 0x10), 0);
	assert_int_equal(in(rig, 0x34), QUEUE_SIZE);
	out(rig, 0x30, 2); /* there are two queues */
	assert_int_equal(in(rig, 0x34), 0);
	assert_int_equal(in(rig, 0x44), 0);
	for (uint32_t reg = 0xb0; reg <= 0xbc; reg += 4)
		assert_int_equal(in(rig, reg), UINT32_MAX);
	bus_read(&rig->bus, BASE, data, 8);
	assert_memory_equal(data, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	bus_read(&rig->bus, BASE + 1, data, 4);
	assert_memory_equal(data, "\xff\xff\xff\xff", 4);
	bus_write(&rig->bus, BASE + 0x70, (const uint8_t *)"\1", 1);
	assert_int_equal(in(rig, 0x70), 0);
}

static void test_requests(void **state)
{
	struct rig *rig = *state;

	start(rig);
	assert_int_equal(in(rig, 0x70), 15);
	assert_int_equal(rig->echo.activated, 1);
	for (int i = 0; i < 100; i++)
		round_trip(rig, (char)('a' + i % 26));
	out(rig, 0x50, 7); /* a queue that is not there */
	out(rig, 0x50, UINT32_MAX);
	round_trip(rig, 'z');
}

/* V1: what is written to a live device's queue registers changes nothing, and is not remembered either. */
static void test_late_writes_change_nothing(void **state)
{
	struct rig *rig = *state;
	struct virtqueue before;

	start(rig);
	round_trip(rig, 'x');
	before = rig->vdev.queues[1];
	out(rig, 0x30, 1);
	out(rig, 0x44, 0);
	assert_int_equal(in(rig, 0x44), 1);
	set_queue(rig, 1, 4, UINT64_MAX, 1, 0x1000);
	set_queue(rig, 0, 4, 0, 0, 0);
	out(rig, 0x24, 0);
	out(rig, 0x20, UINT32_MAX);
	assert_memory_equal(&before, &rig->vdev.queues[1], sizeof(before));
	assert_int_equal(rig->vdev.queues[0].size, 0);
	assert_int_equal(
		rig->vdev.negotiated, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_EVENT_IDX);
	round_trip(rig, 'y');
	assert_int_equal(in(rig, 0x70), 15);
}

static void test_ready_queue_is_closed(void **state)
{
	struct rig *rig = *state;

	negotiate(rig, 1ull << VIRTIO_F_VERSION_1);
	set_queue(rig, 0, 8, 0x11000, 0x12000, 0x13000);
	out(rig, 0x38, 4);
	out(rig, 0x80, 0x14000);
	assert_int_equal(rig->mmio.registers.queues[0].size, 8);
	assert_int_equal(rig->mmio.registers.queues[0].desc_gpa, 0x11000);
	out(rig, 0x44, 0);
	out(rig, 0x38, 4);
	assert_int_equal(rig->mmio.registers.queues[0].size, 4);
}

static void test_features_are_checked(void **state)
{
	struct rig *rig = *state;

	negotiate(rig, 1); /* not offered; no VERSION_1 */
	assert_int_equal(in(rig, 0x70), 3);
	negotiate(rig, 1ull << VIRTIO_F_VERSION_1 | 1ull << 4);
	assert_int_equal(in(rig, 0x70), 3);
	negotiate(rig, 1ull << 3);
	assert_int_equal(in(rig, 0x70), 3);
	out(rig, 0x70, 3 | 4); /* no way round FEATURES_OK */
	assert_int_equal(in(rig, 0x70), 3);
	assert_int_equal(rig->echo.activated, 0);
	negotiate(rig, 1ull << VIRTIO_F_VERSION_1 | 1ull << 3);
	assert_int_equal(in(rig, 0x70), 11);
	out(rig, 0x24, 0);
	out(rig, 0x20, 0); /* closed now */
	out(rig, 0x70, 15);
	assert_int_equal(rig->vdev.negotiated, 1ull << VIRTIO_F_VERSION_1 | 1ull << 3);
}

static void test_bad_queues_break_the_device_until_reset(void **state)
{
	struct rig *rig = *state;
	const struct {
		uint32_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{ 16, UINT64_MAX & ~15ull, 0x12000, 0x13000 },
		{ 16, 0x11000, 0, 0x13000 },
		{ 16, 0x11000, 0x12000, 0x13001 },
		{ 32, 0x11000, 0x12000, 0x13000 }, /* above QueueNumMax */
		{ 0x10010, 0x11000, 0x12000, 0x13000 }, /* 16 if it were cut */
		{ 0, 0x11000, 0x12000, 0x13000 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		negotiate(rig, 1ull << VIRTIO_F_VERSION_1);
		set_queue(rig, 0, bad[i].size, bad[i].desc, bad[i].avail, bad[i].used);
		out(rig, 0x70, 15);
		assert_int_equal(in(rig, 0x70), 15 | 64);
		assert_true(wait_irq(rig));
		assert_int_equal(in(rig, 0x60), 2);
		assert_int_equal(rig->vdev.faults, i + 1);
		out(rig, 0x70, 0);
		assert_int_equal(in(rig, 0x70), 0);
		assert_int_equal(in(rig, 0x60), 0);
	}
	assert_int_equal(rig->echo.activated, 0);
	start(rig);
	round_trip(rig, 'a');
}

static void test_configuration(void **state)
{
	struct rig *rig = *state;
	uint32_t generation = in(rig, 0xfc);
	uint8_t data[8];

	assert_int_equal(in(rig, 0x104), 0x08070605);
	bus_read(&rig->bus, BASE + 0x101, data, 2);
	assert_memory_equal(data, "\2\3", 2);
	bus_read(&rig->bus, BASE + 0x100, data, 8);
	assert_memory_equal(data, "\1\2\3\4\5\6\7\x8", 8);
	assert_int_equal(in(rig, 0x106), UINT32_MAX);
	assert_int_equal(in(rig, 0x1fc), UINT32_MAX);
	bus_write(&rig->bus, BASE + 0x103, (const uint8_t *)"\x99", 1);
	bus_write(&rig->bus, BASE + 0x107, (const uint8_t *)"\x99\x99", 2);
	assert_int_equal(in(rig, 0x100), 0x99030201);
	assert_int_equal(in(rig, 0x104), 0x08070605);
	assert_int_equal(in(rig, 0xfc), generation);
}

static void test_configuration_change_is_told(void **state)
{
	struct rig *rig = *state;
	uint32_t generation = in(rig, 0xfc);

	/* On a loop that stands still, this thread may play the loop's. */
	loop_stop(rig->loop, 0);
	pthread_join(rig->thread, NULL);
	rig->echo.config[0] = 0x55;
	virtio_device_config_changed(&rig->vdev);
	assert_int_equal(in(rig, 0x100), 0x04030255);
	assert_int_equal(in(rig, 0xfc), generation + 1);
	assert_int_equal(in(rig, 0x60), 2);
	assert_true(wait_irq(rig));
	assert_int_equal(pthread_create(&rig->thread, NULL, run_loop, rig->loop), 0);
}

/* V4: a reset while the loop is inside the device is over only when it has left. */
static void test_reset_waits_for_the_device(void **state)
{
	struct rig *rig = *state;

	start(rig);
	round_trip(rig, 'a');
	for (int i = 0; i < 5; i++) {
		rig->echo.slow_ms = 30;
		assert_true(virtq_driver_request(&rig->queue, "b", 1, 1, 0, false) >= 0);
		out(rig, 0x50, 1);
		while (!rig->echo.inside)
			usleep(100);
		out(rig, 0x70, 0);
		assert_false(rig->echo.inside);
		assert_int_equal(rig->echo.resets, i + 1);
		assert_int_equal(rig->vdev.queues[1].size, 0);
		rig->echo.slow_ms = 0;
		start(rig);
		round_trip(rig, 'c');
	}
}

struct storm {
	struct rig *rig;
	uint32_t random;
};

static uint32_t pick(struct storm *storm, uint32_t below)
{
	storm->random = storm->random * 1664525u + 1013904223u;
	return (storm->random >> 8) % below;
}

/* V7: registers at random, from two vCPUs at once. */
static void *storm_run(void *data)
{
	static const uint32_t statuses[] = { 0, 1, 3, 11, 15, 15, 0x8f, UINT32_MAX };
	struct storm *storm = data;
	struct rig *rig = storm->rig;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[8] = { (uint8_t)pick(storm, 256), (uint8_t)pick(storm, 256) };
		static const unsigned int widths[] = { 1, 2, 4, 8 };

		switch (pick(storm, 8)) {
		case 0:
			out(rig, 0x70, statuses[pick(storm, 8)]);
			break;
		case 1:
			negotiate(rig, 1ull << VIRTIO_F_VERSION_1 | 1ull << (28 + pick(storm, 2)));
			set_queue(rig, pick(storm, 3), 1u << pick(storm, 6),
				FAKE_GUEST_GPA + pick(storm, 64) * 16, FAKE_GUEST_GPA + 4096,
				FAKE_GUEST_GPA + 8192);
			out(rig, 0x70, 15);
			break;
		case 2:
			out(rig, 0x50, pick(storm, 3));
			break;
		default:
			if (pick(storm, 2))
				bus_read(&rig->bus, BASE + pick(storm, 0x200), bytes,
					widths[pick(storm, 4)]);
			else
				bus_write(&rig->bus, BASE + pick(storm, 0x200), bytes,
					widths[pick(storm, 4)]);
			break;
		}
	}
	return NULL;
}

static void test_storm(void **state)
{
	struct rig *rig = *state;
	struct storm storms[2] = { { rig, 1 }, { rig, 99 } };
	pthread_t threads[2];

	for (int i = 0; i < 4096; i++)
		rig->guest.ram[i] = (uint8_t)(i * 31);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_run, &storms[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	memset(rig->guest.ram, 0, rig->guest.size_bytes);
	start(rig);
	out(rig, 0x64, 3); /* an edge of before may be left; round_trip() looks again */
	round_trip(rig, 'q');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_writes_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ready_queue_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_bad_queues_break_the_device_until_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration_change_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_waits_for_the_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_storm, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
