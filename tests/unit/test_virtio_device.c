/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/log.h"

/* A device that echoes, and goes wrong when told to. */
struct echo {
	struct virtio_device *vdev;
	unsigned int activated, resets, notified;
	int activate_result, notify_result;
	uint8_t config[4];
	unsigned int faults_told;
};

static uint64_t echo_features(void *state)
{
	(void)state;
	return 1;
}

static int echo_activate(void *state, struct virtio_device *vdev)
{
	struct echo *echo = state;

	echo->vdev = vdev;
	echo->activated++;
	return echo->activate_result;
}

static void echo_reset(void *state)
{
	struct echo *echo = state;

	echo->vdev = NULL;
	echo->resets++;
}

static int echo_notify(void *state, uint16_t queue)
{
	struct echo *echo = state;
	struct virtqueue *vq = &echo->vdev->queues[queue];
	struct virtq_chain chain;
	uint8_t data[64];
	int r;

	echo->notified++;
	if (echo->notify_result < 0)
		return echo->notify_result;
	/* One at a time, to see that the rest brings another call. */
	r = virtqueue_pop(vq, &chain);
	if (r <= 0)
		return r;
	virtqueue_push(vq, chain.head,
		(uint32_t)virtq_chain_write(
			&chain, data, virtq_chain_read(&chain, data, sizeof(data))));
	virtio_device_signal(echo->vdev, queue);
	return 0;
}

static size_t echo_config_size(void *state)
{
	(void)state;
	return 4;
}

static void echo_config_read(void *state, size_t offset, void *data, size_t len)
{
	struct echo *echo = state;

	memcpy(data, echo->config + offset, len);
}

static void echo_config_write(void *state, size_t offset, const void *data, size_t len)
{
	struct echo *echo = state;

	memcpy(echo->config + offset, data, len);
}

static const struct virtio_device_ops echo_ops = {
	.name = "echo",
	.device_id = 42,
	.queue_count = 2,
	.queue_size = 16,
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
	struct echo echo;
	struct virtio_device vdev;
	struct virtio_driver driver;
};

static void count_fault(void *data, struct virtio_device *vdev)
{
	struct rig *rig = data;

	assert_ptr_equal(vdev, &rig->vdev);
	rig->echo.faults_told++;
}

static int setup(void **state)
{
	static struct rig rig;

	rig = (struct rig){};
	fake_guest_init(&rig.guest, 1u << 20);
	virtio_device_init(&rig.vdev, &echo_ops, &rig.echo, NULL, &rig.guest.memory);
	rig.vdev.on_fault = count_fault;
	rig.vdev.on_fault_data = &rig;
	virtio_driver_init(&rig.driver, &rig.guest, &rig.vdev);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	fake_guest_finish(&rig->guest);
	return 0;
}

static void test_offers_the_transport_features(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig->vdev.offered, 1ull << 32 | 1ull << 29 | 1ull << 28 | 1);
}

static void test_echo(void **state)
{
	struct rig *rig = *state;
	char in[8];

	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	for (int i = 0; i < 40; i++) {
		memset(in, 0, sizeof(in));
		virtq_driver_want_interrupt(&rig->driver.queues[1], true);
		assert_int_equal(
			virtio_driver_call(&rig->driver, 1, "ping", 4, in, 8, 3, i & 1), 4);
		assert_string_equal(in, "ping");
	}
	assert_int_equal(rig->driver.queue_signals[1], 40);
	assert_int_equal(rig->driver.queue_signals[0], 0);
}

static void test_what_is_left_brings_another_call(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	for (int i = 0; i < 5; i++)
		assert_true(virtq_driver_request(&rig->driver.queues[0], "x", 1, 1, 0, false) >= 0);
	for (int i = 0; i < 4; i++)
		assert_true(virtio_device_notify(&rig->vdev, 0));
	assert_false(virtio_device_notify(&rig->vdev, 0));
	assert_int_equal(virtq_driver_used_idx(&rig->driver.queues[0]), 5);
}

/* V7: one fault, told once; then silence until the reset; then as new. */
static void test_fault_stops_the_device_until_reset(void **state)
{
	struct rig *rig = *state;
	uint8_t in[4];

	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	virtq_driver_offer_head(&rig->driver.queues[0], 99);
	assert_false(virtio_device_notify(&rig->vdev, 0));
	assert_true(rig->vdev.needs_reset);
	assert_int_equal(rig->vdev.faults, 1);
	assert_int_equal(rig->echo.faults_told, 1);
	assert_int_equal(rig->driver.config_signals, 1);
	assert_int_equal(rig->echo.notified, 1);
	assert_false(virtio_device_notify(&rig->vdev, 0));
	assert_false(virtio_device_notify(&rig->vdev, 1));
	assert_int_equal(rig->echo.notified, 1);
	virtio_device_fault(&rig->vdev);
	assert_int_equal(rig->vdev.faults, 1);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(rig->echo.resets, 1);
	assert_false(rig->vdev.needs_reset);
	assert_int_equal(rig->vdev.faults, 1); /* a count for life */
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	assert_int_equal(virtio_driver_call(&rig->driver, 0, "ab", 2, in, 4, 0, false), 2);
}

static void test_any_error_of_an_op_is_a_fault(void **state)
{
	struct rig *rig = *state;

	rig->echo.activate_result = -EPROTO;
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), -EPROTO);
	assert_false(rig->vdev.active);
	assert_true(rig->vdev.needs_reset);
	virtio_driver_reset(&rig->driver);
	rig->echo.activate_result = 0;
	rig->echo.notify_result = -EIO;
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	assert_false(virtio_device_notify(&rig->vdev, 0));
	assert_int_equal(rig->vdev.faults, 2);
}

static void test_nothing_runs_before_activation(void **state)
{
	struct rig *rig = *state;

	assert_false(virtio_device_notify(&rig->vdev, 0));
	assert_int_equal(rig->echo.notified, 0);
	virtio_device_signal(&rig->vdev, 0);
	assert_int_equal(rig->driver.queue_signals[0], 0);
	virtio_device_reset(&rig->vdev); /* also without an activate before */
	assert_int_equal(rig->echo.resets, 1);
}

static void test_configuration_is_bounded(void **state)
{
	struct rig *rig = *state;
	uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	virtio_device_config_write(&rig->vdev, 0, data, 4);
	virtio_device_config_write(&rig->vdev, 1, data, 4);
	virtio_device_config_write(&rig->vdev, SIZE_MAX, data, 2);
	assert_memory_equal(rig->echo.config, "\1\2\3\4", 4);
	virtio_device_config_read(&rig->vdev, 2, data, 2);
	assert_memory_equal(data, "\3\4", 2);
	virtio_device_config_read(&rig->vdev, 3, data, 2);
	assert_memory_equal(data, "\xff\xff", 2);
	virtio_device_config_read(&rig->vdev, SIZE_MAX, data, 8);
	assert_memory_equal(data, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_offers_the_transport_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_left_brings_another_call, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_fault_stops_the_device_until_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_any_error_of_an_op_is_a_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_nothing_runs_before_activation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration_is_bounded, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
