/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/log.h"
#include "vmm/devices/console.h"

struct rig {
	struct fake_guest guest;
	struct console console;
	struct virtio_device vdev;
	struct virtio_driver driver;
	uint8_t *seen;
	size_t seen_len, seen_room;
};

static void on_output(void *data, const void *bytes, size_t len)
{
	struct rig *rig = data;

	assert_true(len <= rig->seen_room - rig->seen_len);
	memcpy(rig->seen + rig->seen_len, bytes, len);
	rig->seen_len += len;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig->seen_room = 1u << 20;
	rig->seen = malloc(rig->seen_room);
	fake_guest_init(&rig->guest, 4u << 20);
	console_init(&rig->console, on_output, rig);
	virtio_device_init(
		&rig->vdev, &console_device_ops, &rig->console, NULL, &rig->guest.memory);
	virtio_driver_init(&rig->driver, &rig->guest, &rig->vdev);
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	fake_guest_finish(&rig->guest);
	free(rig->seen);
	free(rig);
	return 0;
}

static void test_output_of_any_split(void **state)
{
	struct rig *rig = *state;

	for (size_t split = 0; split < 6; split++)
		assert_int_equal(
			virtio_driver_call(&rig->driver, 1, "hello ", 6, NULL, 0, split, split & 1),
			0);
	assert_int_equal(rig->seen_len, 36);
	assert_memory_equal(rig->seen, "hello hello hello hello hello hello ", 36);
}

/* V10: one giant request costs a bounded amount, and the rest of the output goes on. */
static void test_giant_request_is_cut(void **state)
{
	struct rig *rig = *state;
	uint8_t *giant = calloc(1, CONSOLE_CHAIN_BYTES_MAX + 100);

	assert_int_equal(virtio_driver_call(&rig->driver, 1, giant, CONSOLE_CHAIN_BYTES_MAX + 100,
				 NULL, 0, 4096, true),
		0);
	assert_int_equal(rig->seen_len, CONSOLE_CHAIN_BYTES_MAX);
	assert_int_equal(rig->console.dropped, 100);
	assert_int_equal(virtio_driver_call(&rig->driver, 1, "x", 1, NULL, 0, 0, false), 0);
	assert_int_equal(rig->seen[rig->seen_len - 1], 'x');
	free(giant);
}

static void test_flood_gives_others_their_turn(void **state)
{
	struct rig *rig = *state;
	uint8_t *big = calloc(1, CONSOLE_CHAIN_BYTES_MAX);
	unsigned int count = 2 * CONSOLE_NOTIFY_BYTES_MAX / CONSOLE_CHAIN_BYTES_MAX;

	for (unsigned int i = 0; i < count; i++)
		assert_true(virtq_driver_request(&rig->driver.queues[1], big,
				    CONSOLE_CHAIN_BYTES_MAX, 0, 0, false) >= 0);
	assert_true(virtio_device_notify(&rig->vdev, 1));
	assert_int_equal(rig->seen_len, CONSOLE_NOTIFY_BYTES_MAX);
	assert_false(virtio_device_notify(&rig->vdev, 1));
	assert_int_equal(virtq_driver_used_idx(&rig->driver.queues[1]), count);
	free(big);
}

static void test_input(void **state)
{
	struct rig *rig = *state;
	struct virtq_driver *vq = &rig->driver.queues[0];
	uint32_t written;
	char in[8] = {};

	/* Before there is room, it waits. */
	assert_int_equal(console_input(&rig->console, "abcdef", 6), 6);
	assert_true(virtq_driver_request(vq, NULL, 0, 4, 3, false) >= 0);
	assert_true(virtio_driver_kick(&rig->driver, 0));
	assert_true(virtq_driver_collect(vq, NULL, &written, in, sizeof(in)));
	assert_int_equal(written, 4);
	assert_memory_equal(in, "abcd", 4);
	assert_true(virtq_driver_request(vq, NULL, 0, 4, 0, false) >= 0);
	virtio_driver_kick(&rig->driver, 0);
	assert_true(virtq_driver_collect(vq, NULL, &written, in, sizeof(in)));
	assert_int_equal(written, 2);
	assert_memory_equal(in, "ef", 2);
	/* Where there is room already, it is there at once. */
	assert_true(virtq_driver_request(vq, NULL, 0, 4, 0, false) >= 0);
	virtio_driver_kick(&rig->driver, 0);
	assert_false(virtq_driver_collect(vq, NULL, &written, in, sizeof(in)));
	assert_int_equal(console_input(&rig->console, "g", 1), 1);
	assert_true(virtq_driver_collect(vq, NULL, &written, in, sizeof(in)));
	assert_int_equal(written, 1);
}

static void test_input_is_bounded_and_wraps(void **state)
{
	struct rig *rig = *state;
	char many[CONSOLE_INPUT_MAX + 10], in[CONSOLE_INPUT_MAX];

	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = (char)(i * 7);
	assert_int_equal(console_input(&rig->console, many, 100), 100);
	assert_int_equal(virtio_driver_call(&rig->driver, 0, NULL, 0, in, 100, 0, false), 100);
	assert_int_equal(console_input(&rig->console, many, sizeof(many)), CONSOLE_INPUT_MAX);
	assert_int_equal(console_input(&rig->console, many, 1), 0);
	assert_int_equal(
		virtio_driver_call(&rig->driver, 0, NULL, 0, in, CONSOLE_INPUT_MAX, 1000, false),
		CONSOLE_INPUT_MAX);
	assert_memory_equal(in, many, CONSOLE_INPUT_MAX);
}

static void test_receive_buffer_without_room_is_a_fault(void **state)
{
	struct rig *rig = *state;

	console_input(&rig->console, "a", 1);
	assert_int_equal(virtio_driver_call(&rig->driver, 0, "x", 1, NULL, 0, 0, false), -EIO);
	assert_int_equal(rig->vdev.faults, 1);
	assert_int_equal(console_input(&rig->console, "b", 1), 1);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(console_input(&rig->console, "c", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output_of_any_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_giant_request_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_flood_gives_others_their_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_is_bounded_and_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_receive_buffer_without_room_is_a_fault, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
