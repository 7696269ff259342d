/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request streams for the small devices: the first byte chooses one (console, rng, balloon, blk, read-only blk), the second
 * the features; then records follow: one byte of operation, its arguments, its bytes. Descriptors may be sound (any split)
 * or raw. After each step: no chain is held, the disk keeps its size, a read-only disk its contents.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/devices/balloon.h"
#include "vmm/devices/blk.h"
#include "vmm/devices/console.h"
#include "vmm/devices/rng.h"

#define RAM_BYTES  (256u << 10)
#define DISK_BYTES (64u << 10)
#define STEPS_MAX  64
#define ROUNDS_MAX 64 /* notify calls for one kick */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct fake_guest guest;
	int disk_fd;
	uint8_t disk[DISK_BYTES];
	struct console console;
	struct rng rng;
	struct balloon balloon;
	struct blk blk;
	struct virtio_device vdev;
	struct virtio_driver driver;
	uint64_t features;
	size_t printed;
};

static struct bench bench;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void on_output(void *data, const void *bytes, size_t len)
{
	struct bench *b = data;
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		b->printed += p[i] != 0; /* ASan looks at each */
}

static void make_disk(struct bench *b)
{
	if (!b->guest.ram) {
		log_set_level(LOG_ERROR);
		fake_guest_init(&b->guest, RAM_BYTES);
		b->disk_fd = memfd_create("disk", MFD_CLOEXEC);
		for (size_t i = 0; i < DISK_BYTES; i++)
			b->disk[i] = (uint8_t)(i * 5 + i / 512);
		require(ftruncate(b->disk_fd, DISK_BYTES) == 0);
	}
	require(pwrite(b->disk_fd, b->disk, DISK_BYTES, 0) == DISK_BYTES);
}

static void start(struct bench *b)
{
	b->guest.next_free = 0;
	memset(b->guest.ram, 0, 65536);
	require(virtio_driver_start(&b->driver, b->features) == 0);
}

static void make_device(struct bench *b, uint8_t which)
{
	const struct virtio_device_ops *ops = NULL;
	void *state = NULL;

	switch (which % 5) {
	case 0:
		console_init(&b->console, on_output, b);
		ops = &console_device_ops;
		state = &b->console;
		break;
	case 1:
		rng_init(&b->rng);
		ops = &rng_device_ops;
		state = &b->rng;
		break;
	case 2:
		balloon_init(&b->balloon);
		ops = &balloon_device_ops;
		state = &b->balloon;
		break;
	default:
		require(blk_init(&b->blk, b->disk_fd, which % 5 == 4, "disk", NULL) == 0);
		ops = &blk_device_ops;
		state = &b->blk;
		break;
	}
	virtio_device_init(&b->vdev, ops, state, NULL, &b->guest.memory);
	virtio_driver_init(&b->driver, &b->guest, &b->vdev);
	start(b);
}

static void notify(struct bench *b, uint16_t queue)
{
	for (unsigned int i = 0; virtio_device_notify(&b->vdev, queue); i++)
		require(i < ROUNDS_MAX);
	if (b->vdev.needs_reset)
		return;
	require(b->vdev.queues[queue].in_flight == 0);
}

static void sound_request(struct bench *b, struct bytes_reader *r, uint16_t queue)
{
	size_t out_len = bytes_get_u8(r), in_len = bytes_get_u16(r) % 8192, split = bytes_get_u8(r);
	const uint8_t *out;

	out_len = MIN(out_len, bytes_left(r));
	out = bytes_get(r, out_len);
	split = MAX(split, (in_len + out_len) / 100 + 1);
	if (!out || (!out_len && !in_len))
		return;
	if (b->guest.size_bytes - b->guest.next_free < 32768)
		return;
	virtq_driver_request(&b->driver.queues[queue], out, out_len, in_len, split, split & 1);
	notify(b, queue);
}

/* A descriptor as the bytes have it, and a head to go with it. */
static void raw_request(struct bench *b, struct bytes_reader *r, uint16_t queue)
{
	struct virtq_driver *vq = &b->driver.queues[queue];
	uint64_t gpa = bytes_get_u32(r);
	uint32_t len = bytes_get_u32(r);
	uint16_t flags = bytes_get_u8(r), next = bytes_get_u8(r), index = bytes_get_u8(r),
		 head = bytes_get_u8(r);

	virtq_driver_write_desc(vq, vq->desc_gpa, index % vq->size, gpa, len, flags, next);
	virtq_driver_offer_head(vq, head);
	notify(b, queue);
}

static void restart(struct bench *b)
{
	virtio_driver_reset(&b->driver);
	require(!b->vdev.active && !b->vdev.needs_reset);
	start(b);
}

static void configure(struct bench *b, struct bytes_reader *r)
{
	uint8_t data[8];
	size_t offset = bytes_get_u8(r), len = 1u << (bytes_get_u8(r) & 3);

	store_le64(data, bytes_get_u64(r));
	virtio_device_config_write(&b->vdev, offset, data, len);
	virtio_device_config_read(&b->vdev, offset, data, len);
}

static void step(struct bench *b, struct bytes_reader *r)
{
	uint8_t op = bytes_get_u8(r);
	uint16_t queue = (uint16_t)((op >> 4) % b->vdev.ops->queue_count);

	switch (op & 7) {
	case 0:
	case 1:
	case 2:
	case 3:
		sound_request(b, r, queue);
		break;
	case 4:
		raw_request(b, r, queue);
		break;
	case 5:
		configure(b, r);
		break;
	case 6:
		restart(b);
		break;
	default:
		if (b->vdev.ops == &console_device_ops)
			console_input(&b->console, "some input", 10);
		if (b->vdev.ops == &balloon_device_ops)
			balloon_set_target(&b->balloon, op);
		break;
	}
	if (b->guest.next_free > RAM_BYTES / 2)
		restart(b);
}

static void check_disk(struct bench *b, bool read_only)
{
	static uint8_t now[DISK_BYTES];
	struct stat st;

	require(fstat(b->disk_fd, &st) == 0 && st.st_size == DISK_BYTES);
	if (!read_only)
		return;
	require(pread(b->disk_fd, now, DISK_BYTES, 0) == DISK_BYTES);
	require(memcmp(now, b->disk, DISK_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes_reader r = bytes_reader(data, size);
	uint8_t which = bytes_get_u8(&r);
	uint8_t features = bytes_get_u8(&r);

	make_disk(&bench);
	bench.features = (features & 1 ? 1ull << VIRTIO_F_EVENT_IDX : 0) |
			 (features & 2 ? 1ull << VIRTIO_F_INDIRECT_DESC : 0) |
			 (features & 4 ? 0xffffff : 0);
	make_device(&bench, which);
	for (unsigned int i = 0; i < STEPS_MAX && bytes_left(&r); i++)
		step(&bench, &r);
	check_disk(&bench, which % 5 == 4);
	virtio_driver_reset(&bench.driver);
	return 0;
}
