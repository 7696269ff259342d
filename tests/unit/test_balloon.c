/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/devices/balloon.h"

#define INFLATE 0
#define DEFLATE 1
#define PAGES	64

static struct fake_guest guest;
static struct balloon balloon;
static struct virtio_device vdev;
static struct virtio_driver driver;
static uint64_t area; /* PAGES whole pages, filled with 0xaa */

static int setup(void **state)
{
	(void)state;
	fake_guest_init(&guest, 4u << 20);
	balloon_init(&balloon);
	virtio_device_init(&vdev, &balloon_device_ops, &balloon, NULL, &guest.memory);
	virtio_driver_init(&driver, &guest, &vdev);
	assert_int_equal(virtio_driver_start(&driver, UINT64_MAX), 0);
	area = fake_guest_alloc(&guest, PAGES * 4096, 4096);
	memset(fake_guest_at(&guest, area, PAGES * 4096), 0xaa, PAGES * 4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_guest_finish(&guest);
	return 0;
}

static bool is_resident(unsigned int page)
{
	unsigned char there = 0;

	assert_int_equal(mincore(fake_guest_at(&guest, area + page * 4096, 4096), 4096, &there), 0);
	return there & 1;
}

static bool is_zero(unsigned int page)
{
	const uint8_t *p = fake_guest_at(&guest, area + page * 4096, 4096);

	return !p[0] && !memcmp(p, p + 1, 4095);
}

static int64_t send_pages(uint16_t queue, const uint32_t *offsets, size_t count, size_t split)
{
	uint8_t wire[4 * PAGES];

	for (size_t i = 0; i < count; i++)
		store_le32(wire + 4 * i, (uint32_t)(area / 4096) + offsets[i]);
	return virtio_driver_call(&driver, queue, wire, count * 4, NULL, 0, split, true);
}

static void test_inflate_gives_pages_back(void **state)
{
	const uint32_t pages[] = { 3, 4, 5, 20, 19, 18, 40 };

	(void)state;
	assert_int_equal(send_pages(INFLATE, pages, 7, 0), 0);
	assert_int_equal(balloon.inflated_pages, 7);
	assert_int_equal(balloon.runs, 3); /* neighbours went together, up or down */
	for (unsigned int i = 0; i < PAGES; i++) {
		bool gone = (i >= 3 && i <= 5) || (i >= 18 && i <= 20) || i == 40;

		assert_int_equal(is_resident(i), !gone);
		assert_int_equal(is_zero(i), gone);
	}
	assert_int_equal(send_pages(DEFLATE, pages, 7, 0), 0);
	memset(fake_guest_at(&guest, area + 3 * 4096, 4096), 1, 4096);
	assert_true(is_resident(3));
}

/* V3: a page number split over descriptors is still that number. */
static void test_any_split(void **state)
{
	(void)state;
	for (uint32_t split = 1; split < 12; split++) {
		const uint32_t pages[] = { split, 63 - split, 30 };

		assert_int_equal(send_pages(INFLATE, pages, 3, split), 0);
		assert_true(is_zero(split) && is_zero(63 - split) && is_zero(30));
	}
}

static void test_faults(void **state)
{
	static uint8_t giant[4 * BALLOON_CHAIN_PAGES_MAX + 4];
	const struct {
		uint32_t page;
		size_t len;
	} bad[] = {
		{ 0, 4 }, /* RAM does not begin there */
		{ UINT32_MAX, 4 },
		{ (FAKE_GUEST_GPA + (4u << 20)) / 4096, 4 },
		{ 0x11, 3 },
		{ 0x11, sizeof(giant) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		store_le32(giant, bad[i].page);
		guest.next_free = area - FAKE_GUEST_GPA + PAGES * 4096;
		assert_int_equal(
			virtio_driver_call(&driver, INFLATE, giant, bad[i].len, NULL, 0, 0, false),
			-EIO);
		virtio_driver_reset(&driver);
		guest.next_free = 0;
		assert_int_equal(virtio_driver_start(&driver, UINT64_MAX), 0);
	}
	assert_int_equal(vdev.faults, 5);
}

static void test_free_page_reporting(void **state)
{
	/* The third queue and, for drivers that number as the specification does, the fifth. */
	static const uint16_t queues[] = { 2, 4 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct virtq_driver_part parts[] = {
			{ .gpa = area, .len = 8 * 4096, .writable = true },
			{ .gpa = area + 16 * 4096 + 100,
				.len = 2 * 4096,
				.writable = true }, /* one whole page */
			{ .gpa = area + 30 * 4096 + 1, .len = 100, .writable = true }, /* none */
		};
		uint64_t before = balloon.reported_bytes;

		memset(fake_guest_at(&guest, area, PAGES * 4096), 0xaa, PAGES * 4096);
		assert_true(virtq_driver_add(&driver.queues[queues[i]], parts, 3, true) >= 0);
		assert_true(virtio_driver_kick(&driver, queues[i]));
		assert_true(virtq_driver_collect(&driver.queues[queues[i]], NULL, NULL, NULL, 0));
		for (unsigned int page = 0; page < PAGES; page++)
			assert_int_equal(is_zero(page), page < 8 || page == 17);
		assert_int_equal(balloon.reported_bytes - before, 9 * 4096);
	}
}

static void test_reporting_must_be_negotiated(void **state)
{
	(void)state;
	virtio_driver_reset(&driver);
	assert_int_equal(virtio_driver_start(&driver, 0), 0);
	assert_int_equal(virtio_driver_call(&driver, 2, NULL, 0, NULL, 4096, 0, false), -EIO);
}

static void test_configuration(void **state)
{
	uint8_t config[8];

	(void)state;
	balloon_set_target(&balloon, 100);
	assert_int_equal(driver.config_signals, 1);
	virtio_device_config_read(&vdev, 0, config, 8);
	assert_memory_equal(config, "\x64\0\0\0\0\0\0\0", 8);
	virtio_device_config_write(&vdev, 4, "\x32\0\0\0", 4);
	virtio_device_config_write(&vdev, 0, "\xff\xff\xff\xff", 4); /* not the driver's */
	virtio_device_config_write(&vdev, 5, "\xff", 1);
	assert_int_equal(balloon.actual_pages, 50);
	assert_int_equal(balloon.target_pages, 100);
	balloon_set_target(&balloon, UINT64_MAX);
	assert_int_equal(balloon.target_pages, (4u << 20) / 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inflate_gives_pages_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_page_reporting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reporting_must_be_negotiated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
