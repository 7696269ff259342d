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
#include "vmm/devices/rng.h"

static struct fake_guest guest;
static struct rng rng;
static struct virtio_device vdev;
static struct virtio_driver driver;

static int setup(void **state)
{
	(void)state;
	fake_guest_init(&guest, 1u << 20);
	rng_init(&rng);
	virtio_device_init(&vdev, &rng_device_ops, &rng, NULL, &guest.memory);
	virtio_driver_init(&driver, &guest, &vdev);
	return virtio_driver_start(&driver, UINT64_MAX);
}

static int teardown(void **state)
{
	(void)state;
	fake_guest_finish(&guest);
	return 0;
}

static void test_gives_what_was_asked(void **state)
{
	static const uint8_t zeroes[64];
	uint8_t one[64], two[64];

	(void)state;
	assert_int_equal(virtio_driver_call(&driver, 0, NULL, 0, one, 64, 0, false), 64);
	assert_int_equal(virtio_driver_call(&driver, 0, NULL, 0, two, 64, 10, true), 64);
	assert_memory_not_equal(one, two, 64);
	assert_memory_not_equal(one, zeroes, 64);
	assert_memory_not_equal(two + 48, zeroes, 16);
	assert_int_equal(virtio_driver_call(&driver, 0, NULL, 0, one, 1, 0, false), 1);
}

/* V9 */
static void test_giant_request_is_answered_short(void **state)
{
	static uint8_t bytes[RNG_REQUEST_BYTES_MAX * 4];

	(void)state;
	assert_int_equal(virtio_driver_call(&driver, 0, NULL, 0, bytes, sizeof(bytes), 0, false),
		RNG_REQUEST_BYTES_MAX);
}

static void test_no_room_is_a_fault(void **state)
{
	(void)state;
	assert_int_equal(virtio_driver_call(&driver, 0, "x", 1, NULL, 0, 0, false), -EIO);
	virtio_driver_reset(&driver);
	assert_int_equal(virtio_driver_start(&driver, 1ull << VIRTIO_F_INDIRECT_DESC), 0);
	test_gives_what_was_asked(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gives_what_was_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_giant_request_is_answered_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room_is_a_fault, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
