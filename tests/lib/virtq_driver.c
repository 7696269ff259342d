/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/virtq_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

#define PAGE	   4096u
#define DESC_SIZE  16
#define F_NEXT	   1
#define F_WRITE	   2
#define F_INDIRECT 4

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: fake driver: %s\n", __FILE__, __LINE__,            \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

void fake_guest_init(struct fake_guest *guest, uint64_t size_bytes)
{
	uint64_t size = align_up(size_bytes, PAGE);
	uint8_t *map = mmap(NULL, size + 2 * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(map != MAP_FAILED);
	CHECK(mprotect(map + PAGE, size, PROT_READ | PROT_WRITE) == 0);
	*guest = (struct fake_guest){
		.memory = {
			.regions = { { .gpa = FAKE_GUEST_GPA, .size_bytes = size, .host = map + PAGE } },
			.region_count = 1,
			.size_bytes = size,
		},
		.ram = map + PAGE,
		.size_bytes = size,
	};
}

void fake_guest_finish(struct fake_guest *guest)
{
	if (guest->ram)
		munmap(guest->ram - PAGE, guest->size_bytes + 2 * PAGE);
	*guest = (struct fake_guest){};
}

uint64_t fake_guest_alloc(struct fake_guest *guest, uint64_t len, uint64_t align)
{
	uint64_t start = align_up(guest->next_free, align);

	CHECK(range_fits(start, len, guest->size_bytes));
	guest->next_free = start + len;
	memset(guest->ram + start, 0, len);
	return FAKE_GUEST_GPA + start;
}

void *fake_guest_at(struct fake_guest *guest, uint64_t gpa, uint64_t len)
{
	CHECK(gpa >= FAKE_GUEST_GPA && range_fits(gpa - FAKE_GUEST_GPA, len, guest->size_bytes));
	return guest->ram + (gpa - FAKE_GUEST_GPA);
}

static uint8_t *avail(const struct virtq_driver *driver)
{
	return fake_guest_at(driver->guest, driver->avail_gpa, 6 + 2u * driver->size);
}

static uint8_t *used(const struct virtq_driver *driver)
{
	return fake_guest_at(driver->guest, driver->used_gpa, 6 + 8u * driver->size);
}

void virtq_driver_init(
	struct virtq_driver *driver, struct fake_guest *guest, uint16_t size, bool event_idx)
{
	CHECK(is_power_of_two(size) && size <= VIRTQUEUE_SIZE_MAX);
	*driver = (struct virtq_driver){
		.guest = guest,
		.size = size,
		.event_idx = event_idx,
		.desc_gpa = fake_guest_alloc(guest, (uint64_t)size * DESC_SIZE, 16),
		.avail_gpa = fake_guest_alloc(guest, 6 + 2u * size, 2),
		.used_gpa = fake_guest_alloc(guest, 6 + 8u * size, 4),
		.free_count = size,
	};
	for (uint16_t i = 0; i < size; i++)
		driver->next_free[i] = (uint16_t)(i + 1);
}

int virtq_driver_connect(const struct virtq_driver *driver, struct virtqueue *vq, bool indirect)
{
	return virtqueue_init(vq, &driver->guest->memory, driver->size, driver->desc_gpa,
		driver->avail_gpa, driver->used_gpa, driver->event_idx, indirect);
}

void virtq_driver_write_desc(struct virtq_driver *driver, uint64_t table_gpa, uint16_t index,
	uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *desc =
		fake_guest_at(driver->guest, table_gpa + (uint64_t)index * DESC_SIZE, DESC_SIZE);

	store_le64(desc, gpa);
	store_le32(desc + 8, len);
	store_le16(desc + 12, flags);
	store_le16(desc + 14, next);
}

void virtq_driver_write_avail_idx(struct virtq_driver *driver, uint16_t idx)
{
	driver->avail_idx = idx;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store_le16(avail(driver) + 2, idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void virtq_driver_offer_head(struct virtq_driver *driver, uint16_t head)
{
	store_le16(avail(driver) + 4 + 2 * (driver->avail_idx % driver->size), head);
	virtq_driver_write_avail_idx(driver, (uint16_t)(driver->avail_idx + 1));
}

uint16_t virtq_driver_used_idx(const struct virtq_driver *driver)
{
	return load_le16(used(driver) + 2);
}

static uint16_t take_free(struct virtq_driver *driver)
{
	uint16_t index = driver->free_head;

	CHECK(driver->free_count);
	driver->free_head = driver->next_free[index];
	driver->free_count--;
	return index;
}

static uint16_t part_flags(const struct virtq_driver_part *part, bool more)
{
	return (uint16_t)((part->writable ? F_WRITE : 0) | (more ? F_NEXT : 0));
}

static uint16_t add_direct(
	struct virtq_driver *driver, const struct virtq_driver_part *parts, size_t count)
{
	uint16_t head = take_free(driver), index = head;

	for (size_t i = 0; i < count; i++) {
		bool more = i + 1 < count;
		uint16_t next = more ? take_free(driver) : 0;

		virtq_driver_write_desc(driver, driver->desc_gpa, index, parts[i].gpa, parts[i].len,
			part_flags(&parts[i], more), next);
		/* The free list's links double as the chain's, for release(). */
		driver->next_free[index] = next;
		index = next;
	}
	driver->chain_length[head] = (uint16_t)count;
	return head;
}

static uint16_t add_indirect(
	struct virtq_driver *driver, const struct virtq_driver_part *parts, size_t count)
{
	uint64_t table = fake_guest_alloc(driver->guest, count * DESC_SIZE, 16);
	uint16_t head = take_free(driver);

	for (size_t i = 0; i < count; i++)
		virtq_driver_write_desc(driver, table, (uint16_t)i, parts[i].gpa, parts[i].len,
			part_flags(&parts[i], i + 1 < count), (uint16_t)(i + 1));
	virtq_driver_write_desc(driver, driver->desc_gpa, head, table,
		(uint32_t)(count * DESC_SIZE), F_INDIRECT, 0);
	driver->chain_length[head] = 1;
	return head;
}

int virtq_driver_add(struct virtq_driver *driver, const struct virtq_driver_part *parts,
	size_t count, bool indirect)
{
	uint16_t head;

	CHECK(count);
	if ((indirect ? 1 : count) > driver->free_count)
		return -ENOSPC;
	head = indirect ? add_indirect(driver, parts, count) : add_direct(driver, parts, count);
	driver->in_gpa[head] = 0;
	driver->in_len[head] = 0;
	driver->outstanding++;
	virtq_driver_offer_head(driver, head);
	return head;
}

static size_t cut(struct virtq_driver_part *parts, size_t count, uint64_t gpa, size_t len,
	size_t split, bool writable)
{
	size_t step = split ? split : len;

	for (size_t at = 0; at < len; at += step) {
		CHECK(count < VIRTQ_DRIVER_PARTS_MAX);
		parts[count++] = (struct virtq_driver_part){
			.gpa = gpa + at,
			.len = (uint32_t)MIN(step, len - at),
			.writable = writable,
		};
	}
	return count;
}

int virtq_driver_request(struct virtq_driver *driver, const void *out, size_t out_len,
	size_t in_len, size_t split, bool indirect)
{
	struct virtq_driver_part parts[VIRTQ_DRIVER_PARTS_MAX];
	uint64_t out_gpa, in_gpa;
	size_t count;
	int head;

	out_gpa = fake_guest_alloc(driver->guest, out_len, 1);
	in_gpa = fake_guest_alloc(driver->guest, in_len, 1);
	if (out_len)
		memcpy(fake_guest_at(driver->guest, out_gpa, out_len), out, out_len);
	count = cut(parts, 0, out_gpa, out_len, split, false);
	count = cut(parts, count, in_gpa, in_len, split, true);
	head = virtq_driver_add(driver, parts, count, indirect);
	if (head >= 0) {
		driver->in_gpa[head] = in_gpa;
		driver->in_len[head] = (uint32_t)in_len;
	}
	return head;
}

bool virtq_driver_needs_kick(struct virtq_driver *driver)
{
	uint16_t old = driver->kicked_idx, fresh = driver->avail_idx, event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	driver->kicked_idx = fresh;
	if (!driver->event_idx)
		return old != fresh && !(load_le16(used(driver)) & 1);
	event = load_le16(used(driver) + 4 + 8 * driver->size);
	return (uint16_t)(fresh - event - 1) < (uint16_t)(fresh - old);
}

void virtq_driver_want_interrupt(struct virtq_driver *driver, bool want)
{
	if (!driver->event_idx)
		store_le16(avail(driver), want ? 0 : 1);
	else if (want)
		store_le16(avail(driver) + 4 + 2 * driver->size, driver->last_used);
	else
		store_le16(avail(driver) + 4 + 2 * driver->size, (uint16_t)(driver->last_used - 1));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void release(struct virtq_driver *driver, uint16_t head)
{
	uint16_t index = head;

	for (uint16_t i = 0; i < driver->chain_length[head]; i++) {
		uint16_t next = driver->next_free[index];

		driver->next_free[index] = driver->free_head;
		driver->free_head = index;
		driver->free_count++;
		index = next;
	}
	driver->chain_length[head] = 0;
	driver->outstanding--;
}

bool virtq_driver_collect(struct virtq_driver *driver, uint16_t *ret_head, uint32_t *ret_written,
	void *in, size_t in_size)
{
	uint16_t idx = virtq_driver_used_idx(driver);
	const uint8_t *entry;
	uint32_t head, written;

	if (idx == driver->last_used)
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	entry = used(driver) + 4 + 8 * (driver->last_used % driver->size);
	head = load_le32(entry);
	written = load_le32(entry + 4);
	CHECK(head < driver->size && driver->chain_length[head]);
	if (driver->in_gpa[head])
		CHECK(written <= driver->in_len[head]);
	if (in && driver->in_len[head])
		memcpy(in, fake_guest_at(driver->guest, driver->in_gpa[head], driver->in_len[head]),
			MIN(in_size, (size_t)driver->in_len[head]));
	driver->last_used++;
	release(driver, (uint16_t)head);
	if (ret_head)
		*ret_head = (uint16_t)head;
	if (ret_written)
		*ret_written = written;
	return true;
}

static void count_queue_signal(void *transport, uint16_t queue)
{
	struct virtio_driver *driver = transport;

	CHECK(queue < VIRTIO_QUEUES_MAX);
	driver->queue_signals[queue]++;
}

static void count_config_signal(void *transport)
{
	struct virtio_driver *driver = transport;

	driver->config_signals++;
}

static const struct virtio_transport_ops fake_transport_ops = {
	.signal_queue = count_queue_signal,
	.signal_config = count_config_signal,
};

void virtio_driver_init(
	struct virtio_driver *driver, struct fake_guest *guest, struct virtio_device *vdev)
{
	*driver = (struct virtio_driver){ .guest = guest, .vdev = vdev };
	vdev->transport_ops = &fake_transport_ops;
	vdev->transport = driver;
}

int virtio_driver_start(struct virtio_driver *driver, uint64_t features)
{
	struct virtio_device *vdev = driver->vdev;

	vdev->negotiated = (features & vdev->offered) | 1ull << VIRTIO_F_VERSION_1;
	for (uint16_t i = 0; i < vdev->ops->queue_count; i++) {
		int r;

		virtq_driver_init(&driver->queues[i], driver->guest, vdev->ops->queue_size,
			virtio_device_has(vdev, VIRTIO_F_EVENT_IDX));
		r = virtq_driver_connect(&driver->queues[i], &vdev->queues[i],
			virtio_device_has(vdev, VIRTIO_F_INDIRECT_DESC));
		CHECK(r == 0);
	}
	return virtio_device_activate(vdev);
}

void virtio_driver_reset(struct virtio_driver *driver)
{
	virtio_device_reset(driver->vdev);
	for (uint16_t i = 0; i < VIRTIO_QUEUES_MAX; i++)
		driver->queues[i] = (struct virtq_driver){};
}

bool virtio_driver_kick(struct virtio_driver *driver, uint16_t queue)
{
	if (!virtq_driver_needs_kick(&driver->queues[queue]))
		return false;
	while (virtio_device_notify(driver->vdev, queue))
		;
	return true;
}

int64_t virtio_driver_call(struct virtio_driver *driver, uint16_t queue, const void *out,
	size_t out_len, void *in, size_t in_size, size_t split, bool indirect)
{
	struct virtq_driver *vq = &driver->queues[queue];
	uint64_t deadline = clock_monotonic_ms() + 1000, mark = driver->guest->next_free;
	int head = virtq_driver_request(vq, out, out_len, in_size, split, indirect);
	uint32_t written;
	uint16_t used_head;

	CHECK(head >= 0);
	virtio_driver_kick(driver, queue);
	while (!virtq_driver_collect(vq, &used_head, &written, in, in_size)) {
		if (driver->vdev->needs_reset)
			return -EIO;
		if (!driver->vdev->loop || clock_monotonic_ms() > deadline)
			return -ETIMEDOUT;
		loop_run_once(driver->vdev->loop, 10);
	}
	CHECK(used_head == head);
	/* Nothing else is out, so this request's memory can serve the next one. */
	if (!vq->outstanding)
		driver->guest->next_free = mark;
	return written;
}
