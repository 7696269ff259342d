/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/devices/blk.h"

#define SECTORS 256u
#define BYTES	(SECTORS * BLK_SECTOR)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK, IOERR, UNSUPP };

struct rig {
	int fd;
	struct fake_guest guest;
	struct blk blk;
	struct virtio_device vdev;
	struct virtio_driver driver;
	uint8_t model[BYTES]; /* what the disk must hold */
};

static struct rig *rig_make(bool read_only)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	for (size_t i = 0; i < BYTES; i++)
		rig->model[i] = (uint8_t)(i / BLK_SECTOR + i);
	rig->fd = memfd_create("disk", MFD_CLOEXEC);
	/* A half sector at the end is out of reach. */
	assert_int_equal(ftruncate(rig->fd, BYTES + 100), 0);
	assert_int_equal(pwrite(rig->fd, rig->model, BYTES, 0), BYTES);
	fake_guest_init(&rig->guest, 8u << 20);
	assert_int_equal(blk_init(&rig->blk, rig->fd, read_only, "root", NULL), 0);
	virtio_device_init(&rig->vdev, &blk_device_ops, &rig->blk, NULL, &rig->guest.memory);
	virtio_driver_init(&rig->driver, &rig->guest, &rig->vdev);
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	return rig;
}

static int setup(void **state)
{
	*state = rig_make(false);
	return 0;
}

static int setup_read_only(void **state)
{
	*state = rig_make(true);
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	static uint8_t now[BYTES + 100];

	assert_int_equal(pread(rig->fd, now, sizeof(now), 0), sizeof(now));
	assert_memory_equal(now, rig->model, BYTES);
	for (size_t i = BYTES; i < sizeof(now); i++)
		assert_int_equal(now[i], 0);
	close(rig->fd);
	fake_guest_finish(&rig->guest);
	free(rig);
	return 0;
}

/* One request; gives its status, or -errno. in: what the device wrote before the status. */
static int request(struct rig *rig, uint32_t type, uint64_t sector, const void *out, size_t out_len,
	void *in, size_t in_len, size_t split)
{
	_cleanup_free_ uint8_t *wire = malloc(16 + out_len), *back = calloc(1, in_len + 1);
	int64_t r;

	store_le32(wire, type);
	store_le32(wire + 4, 0);
	store_le64(wire + 8, sector);
	if (out_len)
		memcpy(wire + 16, out, out_len);
	back[in_len] = 0xee;
	r = virtio_driver_call(&rig->driver, 0, wire, 16 + out_len, back, in_len + 1, split, true);
	if (r < 0)
		return (int)r;
	assert_int_equal(r, in_len + 1);
	if (in_len)
		memcpy(in, back, in_len);
	return back[in_len];
}

static void test_reads_of_any_split(void **state)
{
	static const size_t splits[] = { 0, 17, 512, 513, 100, 1000 };
	struct rig *rig = *state;
	uint8_t in[8 * BLK_SECTOR];

	for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
		size_t len = splits[i] == 17 ? BLK_SECTOR : sizeof(in);

		assert_int_equal(request(rig, IN, 3 + i, NULL, 0, in, len, splits[i]), OK);
		assert_memory_equal(in, rig->model + (3 + i) * BLK_SECTOR, len);
	}
	assert_int_equal(request(rig, IN, SECTORS - 1, NULL, 0, in, BLK_SECTOR, 0), OK);
	assert_memory_equal(in, rig->model + BYTES - BLK_SECTOR, BLK_SECTOR);
}

static void test_writes_of_any_split(void **state)
{
	static const size_t splits[] = { 0, 7, 512, 511 };
	struct rig *rig = *state;
	uint8_t out[2 * BLK_SECTOR];

	for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
		size_t len = splits[i] == 7 ? BLK_SECTOR : sizeof(out);

		memset(out, (int)(0x30 + i), sizeof(out));
		assert_int_equal(request(rig, OUT, 10 * i, out, len, NULL, 0, splits[i]), OK);
		memcpy(rig->model + 10 * i * BLK_SECTOR, out, len);
	}
	assert_int_equal(request(rig, FLUSH, 0, NULL, 0, NULL, 0, 0), OK);
}

/* V2, V7: what lies behind the end, by any arithmetic. */
static void test_outside_the_disk(void **state)
{
	static const uint64_t sectors[] = { SECTORS, SECTORS - 1, UINT64_MAX, UINT64_MAX / 512,
		UINT64_MAX / 512 + 1, 1ull << 55, (1ull << 55) - 1 };
	struct rig *rig = *state;
	uint8_t data[2 * BLK_SECTOR] = {}, segment[16] = {};

	for (size_t i = 0; i < ARRAY_SIZE(sectors); i++) {
		assert_int_equal(
			request(rig, IN, sectors[i], NULL, 0, data, sizeof(data), 0), IOERR);
		assert_int_equal(
			request(rig, OUT, sectors[i], data, sizeof(data), NULL, 0, 0), IOERR);
		store_le64(segment, sectors[i]);
		store_le32(segment + 8, 2);
		assert_int_equal(request(rig, DISCARD, 0, segment, 16, NULL, 0, 0), IOERR);
		assert_int_equal(request(rig, WRITE_ZEROES, 0, segment, 16, NULL, 0, 0), IOERR);
	}
	assert_int_equal(request(rig, IN, 0, NULL, 0, data, 100, 0), IOERR); /* no whole sectors */
	assert_int_equal(request(rig, OUT, 0, data, 511, NULL, 0, 0), IOERR);
	assert_int_equal(rig->vdev.faults, 0);
}

/* V5: the host keeps it, and what the guest negotiated does not matter. */
static void test_read_only(void **state)
{
	struct rig *rig = *state;
	uint8_t data[BLK_SECTOR] = {}, segment[16] = {};

	assert_true(rig->vdev.offered >> 5 & 1);
	assert_false(rig->vdev.offered >> 13 & 1);
	store_le32(segment + 8, 8);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(request(rig, OUT, 1, data, BLK_SECTOR, NULL, 0, 0), IOERR);
		assert_int_equal(request(rig, DISCARD, 0, segment, 16, NULL, 0, 0), IOERR);
		assert_int_equal(request(rig, WRITE_ZEROES, 0, segment, 16, NULL, 0, 0), IOERR);
		assert_int_equal(request(rig, IN, 1, NULL, 0, data, BLK_SECTOR, 0), OK);
		assert_int_equal(request(rig, FLUSH, 0, NULL, 0, NULL, 0, 0), OK);
		virtio_driver_reset(&rig->driver);
		assert_int_equal(virtio_driver_start(&rig->driver, 1ull << VIRTIO_F_INDIRECT_DESC),
			0); /* F_RO not taken up */
		memset(data, 0, sizeof(data));
	}
}

static void test_discard_and_zeroes(void **state)
{
	struct rig *rig = *state;
	uint8_t segments[32] = {};

	store_le64(segments, 8);
	store_le32(segments + 8, 16);
	store_le64(segments + 16, 64);
	store_le32(segments + 24, 8);
	assert_int_equal(request(rig, DISCARD, 0, segments, 32, NULL, 0, 5), OK);
	memset(rig->model + 8 * BLK_SECTOR, 0, 16 * BLK_SECTOR);
	memset(rig->model + 64 * BLK_SECTOR, 0, 8 * BLK_SECTOR);
	/* A memfd knows no ZERO_RANGE: by hand. With unmap: by a hole. */
	store_le64(segments, 101);
	store_le32(segments + 8, 3);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, segments, 16, NULL, 0, 0), OK);
	memset(rig->model + 101 * BLK_SECTOR, 0, 3 * BLK_SECTOR);
	store_le64(segments, 120);
	store_le32(segments + 12, 1);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, segments, 16, NULL, 0, 0), OK);
	memset(rig->model + 120 * BLK_SECTOR, 0, 3 * BLK_SECTOR);
	/* Nothing is nothing. */
	store_le32(segments + 8, 0);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, segments, 16, NULL, 0, 0), OK);
}

static void test_segments_are_checked(void **state)
{
	struct rig *rig = *state;
	static uint8_t many[16 * (BLK_DISCARD_SEGMENTS_MAX + 1)];
	uint8_t segment[16] = {};

	assert_int_equal(request(rig, DISCARD, 0, many, sizeof(many), NULL, 0, 0), IOERR);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, many, 32, NULL, 0, 0), IOERR);
	assert_int_equal(request(rig, DISCARD, 0, many, 15, NULL, 0, 0), IOERR);
	assert_int_equal(request(rig, DISCARD, 0, NULL, 0, NULL, 0, 0), IOERR);
	store_le32(segment + 8, 1);
	store_le32(segment + 12, 1);
	assert_int_equal(request(rig, DISCARD, 0, segment, 16, NULL, 0, 0), UNSUPP);
	store_le32(segment + 12, 2);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, segment, 16, NULL, 0, 0), UNSUPP);
	store_le32(segment + 12, 0);
	store_le32(segment + 8, BLK_ZEROES_SECTORS_MAX + 1);
	assert_int_equal(request(rig, WRITE_ZEROES, 0, segment, 16, NULL, 0, 0), IOERR);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(virtio_driver_start(&rig->driver, 1ull << VIRTIO_F_INDIRECT_DESC), 0);
	store_le32(segment + 8, 1);
	assert_int_equal(request(rig, DISCARD, 0, segment, 16, NULL, 0, 0), UNSUPP);
}

static void test_get_id_and_unknown(void **state)
{
	struct rig *rig = *state;
	char id[BLK_ID_BYTES] = "garbage";

	assert_int_equal(request(rig, GET_ID, 0, NULL, 0, id, BLK_ID_BYTES, 3), OK);
	assert_string_equal(id, "root");
	assert_int_equal(request(rig, GET_ID, 0, NULL, 0, id, 10, 0), IOERR);
	assert_int_equal(request(rig, 2, 0, NULL, 0, NULL, 0, 0), UNSUPP);
	assert_int_equal(request(rig, UINT32_MAX, 0, NULL, 0, NULL, 0, 0), UNSUPP);
}

static void test_no_header_or_no_status_is_a_fault(void **state)
{
	struct rig *rig = *state;
	uint8_t wire[16] = {};

	assert_int_equal(virtio_driver_call(&rig->driver, 0, wire, 15, NULL, 1, 0, false), -EIO);
	virtio_driver_reset(&rig->driver);
	assert_int_equal(virtio_driver_start(&rig->driver, UINT64_MAX), 0);
	assert_int_equal(virtio_driver_call(&rig->driver, 0, wire, 16, NULL, 0, 0, false), -EIO);
	assert_int_equal(rig->vdev.faults, 2);
}

static void test_file_that_shrank(void **state)
{
	struct rig *rig = *state;
	uint8_t data[BLK_SECTOR];

	assert_int_equal(ftruncate(rig->fd, 100), 0);
	assert_int_equal(request(rig, IN, 10, NULL, 0, data, BLK_SECTOR, 0), IOERR);
	assert_int_equal(request(rig, IN, 0, NULL, 0, data, BLK_SECTOR, 0), IOERR);
	assert_int_equal(ftruncate(rig->fd, 0), 0);
	assert_int_equal(ftruncate(rig->fd, BYTES + 100), 0);
	memset(rig->model, 0, BYTES);
}

static void test_configuration(void **state)
{
	struct rig *rig = *state;
	uint8_t config[60];

	virtio_device_config_read(&rig->vdev, 0, config, sizeof(config));
	assert_int_equal(load_le64(config), SECTORS);
	assert_int_equal(load_le32(config + 12), 126);
	assert_int_equal(load_le32(config + 20), 512);
	virtio_device_config_write(&rig->vdev, 0, "\1\1\1\1\1\1\1\1", 8);
	virtio_device_config_read(&rig->vdev, 0, config, 8);
	assert_int_equal(load_le64(config), SECTORS);
}

static void test_init_takes_files_only(void **state)
{
	struct err err = {};
	struct blk blk;
	int fds[2], empty = memfd_create("empty", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(blk_init(&blk, fds[0], false, "x", &err), -EINVAL);
	assert_non_null(strstr(err.text, "disk x"));
	assert_int_equal(blk_init(&blk, empty, false, "x", NULL), -EINVAL);
	assert_int_equal(blk_init(&blk, -1, false, "x", NULL), -EBADF);
	close(fds[0]);
	close(fds[1]);
	close(empty);
}

/* Operation programs against a shadow model: teardown compares the whole disk. */
static uint32_t random_state;

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

static void one_operation(struct rig *rig)
{
	static uint8_t data[16 * BLK_SECTOR];
	uint64_t sector = pick(SECTORS + 4);
	size_t len = pick(16) * BLK_SECTOR, split = pick(2) ? 0 : 200 + pick(2000);
	bool inside = sector <= SECTORS && len / BLK_SECTOR <= SECTORS - sector;
	uint8_t segment[16] = {};
	int want = inside ? OK : IOERR;

	store_le64(segment, sector);
	store_le32(segment + 8, (uint32_t)(len / BLK_SECTOR));
	switch (pick(4)) {
	case 0:
		assert_int_equal(request(rig, IN, sector, NULL, 0, data, len, split), want);
		if (inside)
			assert_memory_equal(data, rig->model + sector * BLK_SECTOR, len);
		break;
	case 1:
		memset(data, (int)pick(256), sizeof(data));
		assert_int_equal(request(rig, OUT, sector, data, len, NULL, 0, split), want);
		if (inside)
			memcpy(rig->model + sector * BLK_SECTOR, data, len);
		break;
	case 2:
		assert_int_equal(request(rig, DISCARD, 0, segment, 16, NULL, 0, 3), want);
		if (inside)
			memset(rig->model + sector * BLK_SECTOR, 0, len);
		break;
	default:
		store_le32(segment + 12, pick(2));
		assert_int_equal(request(rig, WRITE_ZEROES, 0, segment, 16, NULL, 0, 0), want);
		if (inside)
			memset(rig->model + sector * BLK_SECTOR, 0, len);
		break;
	}
}

static void test_operation_programs(void **state)
{
	for (uint32_t program = 0; program < 10; program++) {
		random_state = program * 104729 + 1;
		for (int i = 0; i < 400; i++)
			one_operation(*state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads_of_any_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_of_any_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outside_the_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
		cmocka_unit_test_setup_teardown(test_discard_and_zeroes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get_id_and_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_no_header_or_no_status_is_a_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_that_shrank, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
		cmocka_unit_test(test_init_takes_files_only),
		cmocka_unit_test_setup_teardown(test_operation_programs, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
