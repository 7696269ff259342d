/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

#define F_NEXT	   1
#define F_WRITE	   2
#define F_INDIRECT 4
#define SIZE	   8

struct rig {
	struct fake_guest guest;
	struct virtq_driver driver;
	struct virtqueue vq;
	struct virtq_chain chain;
	uint64_t buffer; /* 64 KiB of guest memory */
};

static struct rig *rig_make(uint16_t size, bool event_idx, bool indirect)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	fake_guest_init(&rig->guest, 4u << 20);
	virtq_driver_init(&rig->driver, &rig->guest, size, event_idx);
	assert_int_equal(virtq_driver_connect(&rig->driver, &rig->vq, indirect), 0);
	rig->buffer = fake_guest_alloc(&rig->guest, 65536, 16);
	return rig;
}

static int setup(void **state)
{
	*state = rig_make(SIZE, true, true);
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	fake_guest_finish(&rig->guest);
	free(rig);
	return 0;
}

/* One descriptor of the queue's own table. */
static void desc(
	struct rig *rig, uint16_t index, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	virtq_driver_write_desc(&rig->driver, rig->driver.desc_gpa, index, gpa, len, flags, next);
}

static int pop_head(struct rig *rig, uint16_t head)
{
	virtq_driver_offer_head(&rig->driver, head);
	return virtqueue_pop(&rig->vq, &rig->chain);
}

static void test_init_validates_and_leaves_the_queue_alone(void **state)
{
	struct rig *rig = *state;
	const struct guest_memory *m = &rig->guest.memory;
	const uint64_t d = rig->driver.desc_gpa, a = rig->driver.avail_gpa,
		       u = rig->driver.used_gpa;
	const uint64_t end = FAKE_GUEST_GPA + rig->guest.size_bytes;
	const struct {
		uint16_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{ 0, d, a, u },
		{ 3, d, a, u },
		{ VIRTQUEUE_SIZE_MAX * 2, d, a, u },
		{ 8, d + 8, a, u },
		{ 8, d, a + 1, u },
		{ 8, d, a, u + 2 },
		{ 8, end - 112, a, u }, /* 128 bytes needed */
		{ 8, d, end - 20, u }, /* 22 */
		{ 8, d, a, end - 68 }, /* 70 */
		{ 8, 0, a, u },
		{ 8, UINT64_MAX - 15, a, u },
		{ 8, d, UINT64_MAX - 1, u },
		{ 8, d, a, UINT64_MAX - 3 },
	};
	struct virtqueue before = rig->vq;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(virtqueue_init(&rig->vq, m, bad[i].size, bad[i].desc, bad[i].avail,
					 bad[i].used, false, false),
			-EPROTO);
	assert_memory_equal(&before, &rig->vq, sizeof(before));
	/* The last places that do fit. */
	assert_int_equal(virtqueue_init(&rig->vq, m, 8, end - 128, a, u, false, false), 0);
	assert_int_equal(virtqueue_init(&rig->vq, m, 8, d, end - 22, u, false, false), 0);
	assert_int_equal(virtqueue_init(&rig->vq, m, 8, d, a, end - 72, false, false), 0);
}

static void test_not_ready_queue_gives_nothing(void **state)
{
	struct rig *rig = *state;

	virtqueue_reset(&rig->vq);
	assert_int_equal(pop_head(rig, 0), 0);
	assert_false(virtqueue_has_more(&rig->vq));
	assert_false(virtqueue_should_signal(&rig->vq));
	virtqueue_want_kick(&rig->vq, true);
	virtqueue_unpop(&rig->vq);
	virtqueue_push(&rig->vq, 0, 0);
	assert_int_equal(virtq_driver_used_idx(&rig->driver), 0);
}

/* V3: any split of the two streams reads and writes the same. */
static void test_chain_is_a_byte_stream(void **state)
{
	struct rig *rig = *state;
	uint8_t out[37], in[41], seen[64];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i + 1);
	for (size_t split = 0; split <= 41; split++) {
		for (int indirect = 0; indirect < 2; indirect++) {
			uint32_t written;
			int head;

			if (split && (37 + split - 1) / split + (41 + split - 1) / split > SIZE)
				continue;
			head = virtq_driver_request(&rig->driver, out, 37, 41, split, indirect);
			assert_true(head >= 0);
			assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
			assert_int_equal(rig->chain.readable_bytes, 37);
			assert_int_equal(rig->chain.writable_bytes, 41);
			memset(seen, 0, sizeof(seen));
			assert_int_equal(virtq_chain_read(&rig->chain, seen, 5), 5);
			assert_int_equal(virtq_chain_readable_left(&rig->chain), 32);
			assert_int_equal(virtq_chain_read(&rig->chain, seen + 5, 64 - 5), 32);
			assert_int_equal(virtq_chain_read(&rig->chain, seen, 1), 0);
			assert_memory_equal(seen, out, 37);
			assert_int_equal(virtq_chain_write(&rig->chain, out, 9), 9);
			virtq_chain_skip_writable(&rig->chain, 2);
			assert_int_equal(virtq_chain_write(&rig->chain, out, 37), 30);
			virtqueue_push(&rig->vq, rig->chain.head, 41);
			assert_true(
				virtq_driver_collect(&rig->driver, NULL, &written, in, sizeof(in)));
			assert_int_equal(written, 41);
			assert_memory_equal(in, out, 9);
			assert_memory_equal(in + 9, "\0", 2);
			assert_memory_equal(in + 11, out, 30);
		}
	}
}

static void test_peek_and_skip(void **state)
{
	struct rig *rig = *state;
	struct iovec slices[4];
	size_t bytes;

	assert_true(virtq_driver_request(&rig->driver, "abcdefgh", 8, 6, 3, true) >= 0);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	virtq_chain_skip_readable(&rig->chain, 1);
	assert_int_equal(virtq_chain_peek_readable(&rig->chain, slices, 4, 4, &bytes), 2);
	assert_int_equal(bytes, 4);
	assert_int_equal(slices[0].iov_len, 2);
	assert_memory_equal(slices[0].iov_base, "bc", 2);
	assert_int_equal(slices[1].iov_len, 2);
	assert_memory_equal(slices[1].iov_base, "de", 2);
	assert_int_equal(virtq_chain_peek_readable(&rig->chain, slices, 1, 100, &bytes), 1);
	assert_int_equal(bytes, 2);
	assert_int_equal(virtq_chain_peek_readable(&rig->chain, slices, 4, 100, &bytes), 3);
	assert_int_equal(bytes, 7);
	virtq_chain_skip_readable(&rig->chain, 1000);
	assert_int_equal(virtq_chain_readable_left(&rig->chain), 0);
	assert_int_equal(virtq_chain_peek_readable(&rig->chain, slices, 4, 100, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(virtq_chain_peek_writable(&rig->chain, slices, 4, 5, &bytes), 2);
	assert_int_equal(bytes, 5);
	virtq_chain_skip_writable(&rig->chain, 6);
	assert_int_equal(virtq_chain_writable_left(&rig->chain), 0);
	assert_int_equal(virtq_chain_write(&rig->chain, "x", 1), 0);
}

/* V2: nothing outside RAM, by address, by length, by overflow. */
static void test_descriptor_outside_ram(void **state)
{
	struct rig *rig = *state;
	const uint64_t end = FAKE_GUEST_GPA + rig->guest.size_bytes;
	const struct {
		uint64_t gpa;
		uint32_t len;
	} bad[] = {
		{ 0, 1 },
		{ FAKE_GUEST_GPA - 1, 1 },
		{ FAKE_GUEST_GPA - 1, 2 },
		{ end, 1 },
		{ end - 1, 2 },
		{ end - 16, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT32_MAX },
		{ UINT64_MAX - 4095, 4096 },
		{ UINT64_MAX - 4095, 4097 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(rig, 0, bad[i].gpa, bad[i].len, 0, 0);
		virtqueue_reset(&rig->vq);
		assert_int_equal(virtq_driver_connect(&rig->driver, &rig->vq, true), 0);
		virtq_driver_write_avail_idx(&rig->driver, 0);
		assert_int_equal(pop_head(rig, 0), -EPROTO);
		desc(rig, 0, bad[i].gpa, bad[i].len, F_WRITE, 0);
		assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
		assert_int_equal(rig->vq.in_flight, 0);
	}
	desc(rig, 0, end - 1, 1, 0, 0);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
}

static void test_zero_length_descriptors_are_skipped(void **state)
{
	struct rig *rig = *state;

	desc(rig, 0, 0, 0, F_NEXT, 1); /* its address is nowhere, and is not used */
	desc(rig, 1, rig->buffer, 4, F_NEXT, 2);
	desc(rig, 2, UINT64_MAX, 0, F_WRITE | F_NEXT, 3);
	desc(rig, 3, rig->buffer + 8, 4, F_WRITE, 0);
	assert_int_equal(pop_head(rig, 0), 1);
	assert_int_equal(rig->chain.readable_count, 1);
	assert_int_equal(rig->chain.writable_count, 1);
	/* But they count for the direction: the readable part is over. */
	desc(rig, 4, 0, 0, F_WRITE | F_NEXT, 5);
	desc(rig, 5, rig->buffer, 4, 0, 0);
	assert_int_equal(pop_head(rig, 4), -EPROTO);
}

static void test_readable_after_writable(void **state)
{
	struct rig *rig = *state;

	desc(rig, 0, rig->buffer, 4, F_WRITE | F_NEXT, 1);
	desc(rig, 1, rig->buffer + 8, 4, 0, 0);
	assert_int_equal(pop_head(rig, 0), -EPROTO);
}

/* V7: loops end; the longest legal chain does not. */
static void test_chain_length_and_loops(void **state)
{
	struct rig *rig = *state;

	for (uint16_t i = 0; i < SIZE; i++)
		desc(rig, i, rig->buffer, 1, i + 1 < SIZE ? F_NEXT : 0, (uint16_t)(i + 1));
	assert_int_equal(pop_head(rig, 0), 1);
	assert_int_equal(rig->chain.readable_count, SIZE);
	desc(rig, SIZE - 1, rig->buffer, 1, F_NEXT, 0);
	assert_int_equal(pop_head(rig, 0), -EPROTO);
	desc(rig, 0, rig->buffer, 1, F_NEXT, 0); /* itself */
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
	desc(rig, 0, rig->buffer, 0, F_NEXT, 0); /* itself, without a byte */
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
}

static void test_indexes_outside_the_table(void **state)
{
	struct rig *rig = *state;

	desc(rig, 0, rig->buffer, 1, F_NEXT, SIZE);
	assert_int_equal(pop_head(rig, 0), -EPROTO);
	virtq_driver_write_avail_idx(&rig->driver, 0);
	assert_int_equal(pop_head(rig, SIZE), -EPROTO);
	virtq_driver_write_avail_idx(&rig->driver, 0);
	assert_int_equal(pop_head(rig, 0xffff), -EPROTO);
}

static void test_unknown_flags(void **state)
{
	struct rig *rig = *state;

	desc(rig, 0, rig->buffer, 1, 8, 0);
	assert_int_equal(pop_head(rig, 0), -EPROTO);
}

static void test_more_available_than_the_queue_holds(void **state)
{
	struct rig *rig = *state;

	for (uint16_t i = 0; i < SIZE; i++)
		desc(rig, i, rig->buffer, 1, 0, 0);
	virtq_driver_write_avail_idx(&rig->driver, SIZE + 1);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
	virtq_driver_write_avail_idx(&rig->driver, 0);
	for (uint16_t i = 0; i < SIZE; i++)
		assert_int_equal(pop_head(rig, i), 1);
	assert_int_equal(rig->vq.in_flight, SIZE);
	/* A driver has no ninth descriptor to offer. */
	assert_int_equal(pop_head(rig, 0), -EPROTO);
	assert_int_equal(rig->vq.in_flight, SIZE);
}

static void test_chain_bytes_are_bounded(void **state)
{
	struct fake_guest big;
	struct virtq_driver driver;
	struct virtqueue vq;
	struct rig *rig = *state;

	fake_guest_init(&big, VIRTQUEUE_CHAIN_BYTES_MAX + 65536);
	virtq_driver_init(&driver, &big, SIZE, false);
	assert_int_equal(virtq_driver_connect(&driver, &vq, true), 0);
	virtq_driver_write_desc(&driver, driver.desc_gpa, 0, FAKE_GUEST_GPA,
		(uint32_t)VIRTQUEUE_CHAIN_BYTES_MAX, F_NEXT, 1);
	virtq_driver_write_desc(&driver, driver.desc_gpa, 1, FAKE_GUEST_GPA, 0, F_WRITE, 0);
	virtq_driver_offer_head(&driver, 0);
	assert_int_equal(virtqueue_pop(&vq, &rig->chain), 1);
	assert_int_equal(rig->chain.readable_bytes, VIRTQUEUE_CHAIN_BYTES_MAX);
	virtqueue_unpop(&vq);
	virtq_driver_write_desc(&driver, driver.desc_gpa, 1, FAKE_GUEST_GPA, 1, F_WRITE, 0);
	assert_int_equal(virtqueue_pop(&vq, &rig->chain), -EPROTO);
	fake_guest_finish(&big);
}

static uint64_t indirect_table(struct rig *rig, uint16_t count)
{
	uint64_t table = fake_guest_alloc(&rig->guest, count * 16u, 16);

	for (uint16_t i = 0; i < count; i++)
		virtq_driver_write_desc(&rig->driver, table, i, rig->buffer, 1,
			i + 1 < count ? F_NEXT : 0, (uint16_t)(i + 1));
	return table;
}

static void test_indirect_rules(void **state)
{
	struct rig *rig = *state;
	uint64_t table = indirect_table(rig, SIZE),
		 unaligned = fake_guest_alloc(&rig->guest, 64, 16) + 3;

	desc(rig, 0, table, SIZE * 16, F_INDIRECT, 0);
	assert_int_equal(pop_head(rig, 0), 1);
	assert_int_equal(rig->chain.readable_count, SIZE);
	/* Its WRITE flag means nothing (2.7.5.3.2). */
	desc(rig, 0, table, SIZE * 16, F_INDIRECT | F_WRITE, 0);
	assert_int_equal(pop_head(rig, 0), 1);
	/* Direct ones first, then the table: 2.7.5.3.2 allows it; together they count. */
	desc(rig, 1, rig->buffer, 1, F_NEXT, 0);
	assert_int_equal(pop_head(rig, 1), -EPROTO);
	desc(rig, 0, table + 16, (SIZE - 1) * 16, F_INDIRECT, 0);
	virtq_driver_write_desc(&rig->driver, table, SIZE - 1, rig->buffer, 1, 0, 0);
	for (uint16_t i = 0; i < SIZE - 1; i++)
		virtq_driver_write_desc(&rig->driver, table + 16, i, rig->buffer, 1,
			i < SIZE - 2 ? F_NEXT : 0, (uint16_t)(i + 1));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	assert_int_equal(rig->chain.readable_count, SIZE);
	/* A table anywhere in RAM, aligned or not. */
	virtq_driver_write_desc(&rig->driver, unaligned, 0, rig->buffer, 7, 0, 0);
	desc(rig, 2, unaligned, 16, F_INDIRECT, 0);
	assert_int_equal(pop_head(rig, 2), 1);
	assert_int_equal(rig->chain.readable_bytes, 7);
}

static void test_indirect_faults(void **state)
{
	struct rig *rig = *state;
	const uint64_t end = FAKE_GUEST_GPA + rig->guest.size_bytes;
	uint64_t table = indirect_table(rig, 2), longer = indirect_table(rig, SIZE + 1);
	const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags;
	} bad[] = {
		{ table, 0, F_INDIRECT },
		{ table, 17, F_INDIRECT },
		{ table, 8, F_INDIRECT },
		{ table, 32, F_INDIRECT | F_NEXT },
		{ end - 16, 32, F_INDIRECT },
		{ UINT64_MAX - 15, 16, F_INDIRECT },
		{ 0, 16, F_INDIRECT },
		{ table, 16,
			F_INDIRECT }, /* its first points at its second, which is outside now */
		{ longer, (SIZE + 1) * 16, F_INDIRECT },
		{ table, UINT32_MAX & ~15u, F_INDIRECT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(rig, 0, bad[i].gpa, bad[i].len, bad[i].flags, 1);
		virtq_driver_write_avail_idx(&rig->driver, 0);
		assert_int_equal(pop_head(rig, 0), -EPROTO);
	}
	/* No table inside a table. */
	virtq_driver_write_desc(&rig->driver, table, 1, table, 32, F_INDIRECT, 0);
	desc(rig, 0, table, 32, F_INDIRECT, 0);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
	/* Not negotiated: not allowed. */
	table = indirect_table(rig, 2);
	desc(rig, 0, table, 32, F_INDIRECT, 0);
	rig->vq.indirect = false;
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), -EPROTO);
	rig->vq.indirect = true;
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
}

static void test_descriptor_is_fetched_once(void **state)
{
	struct rig *rig = *state;

	desc(rig, 0, rig->buffer, 4, F_WRITE, 0);
	assert_int_equal(pop_head(rig, 0), 1);
	/* The driver changes its mind: too late. */
	desc(rig, 0, 0, UINT32_MAX, 0, 0);
	assert_int_equal(virtq_chain_write(&rig->chain, "0123456", 7), 4);
	assert_memory_equal(fake_guest_at(&rig->guest, rig->buffer, 5), "0123\0", 5);
}

static void test_unpop(void **state)
{
	struct rig *rig = *state;

	desc(rig, 3, rig->buffer, 4, 0, 0);
	assert_int_equal(pop_head(rig, 3), 1);
	virtqueue_unpop(&rig->vq);
	assert_int_equal(rig->vq.in_flight, 0);
	assert_true(virtqueue_has_more(&rig->vq));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	assert_int_equal(rig->chain.head, 3);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 0);
}

static void test_signals_by_flag(void **state)
{
	struct rig *rig = rig_make(SIZE, false, true);

	(void)state;
	assert_true(virtq_driver_request(&rig->driver, "a", 1, 0, 0, false) >= 0);
	assert_true(virtq_driver_needs_kick(&rig->driver));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	assert_false(virtqueue_should_signal(&rig->vq)); /* nothing was pushed yet */
	virtqueue_want_kick(&rig->vq, false);
	virtqueue_push(&rig->vq, rig->chain.head, 0);
	assert_true(virtqueue_should_signal(&rig->vq));
	assert_false(virtqueue_should_signal(&rig->vq)); /* nothing new */
	virtq_driver_want_interrupt(&rig->driver, false);
	assert_true(virtq_driver_request(&rig->driver, "a", 1, 0, 0, false) >= 0);
	assert_false(virtq_driver_needs_kick(&rig->driver));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	virtqueue_push(&rig->vq, rig->chain.head, 0);
	assert_false(virtqueue_should_signal(&rig->vq));
	virtqueue_want_kick(&rig->vq, true);
	assert_true(virtq_driver_request(&rig->driver, "a", 1, 0, 0, false) >= 0);
	assert_true(virtq_driver_needs_kick(&rig->driver));
	state = (void *)&rig;
	teardown(state);
}

/*
 * EVENT_IDX for more than two turns of the 16-bit indexes: with a driver that asks before it sleeps, and a device that
 * drains until 0, no kick and no interrupt is lost, and few are spent.
 */
static void test_event_idx_wraps(void **state)
{
	struct rig *rig = *state;
	unsigned int kicks = 0, interrupts = 0, rounds = 0;

	for (unsigned int done = 0; done < 3 * 65536; rounds++) {
		unsigned int burst = 1 + rounds % SIZE;
		bool interrupted = false;

		for (unsigned int i = 0; i < burst; i++) {
			const struct virtq_driver_part part = { .gpa = rig->buffer, .len = 1 };

			assert_true(virtq_driver_add(&rig->driver, &part, 1, false) >= 0);
		}
		virtq_driver_want_interrupt(&rig->driver, true);
		/* The device found the queue empty before, so it asked for this kick. */
		assert_true(virtq_driver_needs_kick(&rig->driver));
		kicks++;
		while (virtqueue_pop(&rig->vq, &rig->chain) == 1) {
			virtqueue_push(&rig->vq, rig->chain.head, 0);
			interrupted |= virtqueue_should_signal(&rig->vq);
		}
		assert_true(interrupted);
		interrupts += interrupted;
		while (virtq_driver_collect(&rig->driver, NULL, NULL, NULL, 0))
			done++;
		assert_int_equal(rig->driver.outstanding, 0);
	}
	assert_int_equal(kicks, rounds);
	assert_int_equal(interrupts, rounds);
}

/* used_event asks for the n-th entry from here: exactly that push brings the interrupt, at every place of the wrap. */
static void test_used_event_is_exact(void **state)
{
	struct rig *rig = *state;
	uint8_t *used_event = fake_guest_at(&rig->guest, rig->driver.avail_gpa + 4 + 2 * SIZE, 2);

	rig->vq.next_avail = rig->vq.next_used = rig->vq.signalled_used = 65530;
	rig->vq.signalled_valid = true;
	virtq_driver_write_avail_idx(&rig->driver, 65530);
	desc(rig, 0, rig->buffer, 1, 0, 0);
	store_le16(used_event, 2); /* after 65530..65535, 0, 1: the entry 2 */
	for (unsigned int i = 0; i < 12; i++) {
		assert_int_equal(pop_head(rig, 0), 1);
		virtqueue_push(&rig->vq, 0, 0);
		assert_int_equal(virtqueue_should_signal(&rig->vq), i == 8);
	}
}

static void test_quiet_driver_is_not_kicked_while_draining(void **state)
{
	struct rig *rig = *state;
	const struct virtq_driver_part part = { .gpa = rig->buffer, .len = 1 };

	assert_true(virtq_driver_add(&rig->driver, &part, 1, false) >= 0);
	assert_true(virtq_driver_needs_kick(&rig->driver));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	/* Not found empty yet, so a new chain needs no kick. */
	assert_true(virtq_driver_add(&rig->driver, &part, 1, false) >= 0);
	assert_false(virtq_driver_needs_kick(&rig->driver));
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 1);
	assert_int_equal(virtqueue_pop(&rig->vq, &rig->chain), 0);
	assert_true(virtq_driver_add(&rig->driver, &part, 1, false) >= 0);
	assert_true(virtq_driver_needs_kick(&rig->driver));
}

/*
 * Operation programs against a shadow model: requests of random shape, popped, held and pushed out of order, with resets in
 * between. The model knows what each head carries and what the device answered.
 */
struct model_request {
	bool offered, popped;
	uint16_t head;
	size_t out_len, in_len;
	uint8_t seed;
};

struct model {
	struct rig *rig;
	uint32_t random;
	struct model_request by_head[VIRTQUEUE_SIZE_MAX];
	uint16_t fifo[VIRTQUEUE_SIZE_MAX]; /* offered, in order */
	unsigned int fifo_first, fifo_count;
	struct virtq_chain held[16];
	unsigned int held_count;
	uint32_t answer[VIRTQUEUE_SIZE_MAX];
	bool answered[VIRTQUEUE_SIZE_MAX];
};

static uint32_t pick(struct model *m, uint32_t below)
{
	m->random = m->random * 1664525u + 1013904223u;
	return (m->random >> 8) % below;
}

static void op_offer(struct model *m)
{
	uint8_t out[300];
	size_t out_len = pick(m, 300), in_len = pick(m, 300), split = 20 + pick(m, 100);
	uint8_t seed = (uint8_t)pick(m, 256);
	int head;

	if (!out_len && !in_len)
		return;
	if ((out_len + split - 1) / split + (in_len + split - 1) / split > m->rig->driver.size)
		return;
	for (size_t i = 0; i < out_len; i++)
		out[i] = (uint8_t)(seed + i * 3);
	if (m->rig->guest.size_bytes - m->rig->guest.next_free < 4096)
		return;
	head = virtq_driver_request(&m->rig->driver, out, out_len, in_len, split, pick(m, 2));
	if (head < 0)
		return;
	m->by_head[head] = (struct model_request){
		.offered = true,
		.head = (uint16_t)head,
		.out_len = out_len,
		.in_len = in_len,
		.seed = seed,
	};
	m->fifo[(m->fifo_first + m->fifo_count++) % VIRTQUEUE_SIZE_MAX] = (uint16_t)head;
}

static void op_pop(struct model *m)
{
	struct virtq_chain *chain = &m->held[m->held_count];
	struct model_request *request;
	uint8_t seen[512];
	int r;

	if (m->held_count == ARRAY_SIZE(m->held))
		return;
	r = virtqueue_pop(&m->rig->vq, chain);
	assert_int_equal(r, m->fifo_count ? 1 : 0);
	if (!r)
		return;
	if (!pick(m, 8)) {
		virtqueue_unpop(&m->rig->vq);
		return;
	}
	assert_int_equal(chain->head, m->fifo[m->fifo_first % VIRTQUEUE_SIZE_MAX]);
	m->fifo_first++;
	m->fifo_count--;
	request = &m->by_head[chain->head];
	assert_int_equal(chain->readable_bytes, request->out_len);
	assert_int_equal(chain->writable_bytes, request->in_len);
	for (size_t at = 0; at < request->out_len;)
		at += virtq_chain_read(chain, seen + at, 1 + pick(m, 64));
	for (size_t i = 0; i < request->out_len; i++)
		assert_int_equal(seen[i], (uint8_t)(request->seed + i * 3));
	request->popped = true;
	m->held_count++;
}

static void op_push(struct model *m)
{
	struct virtq_chain *chain;
	struct model_request *request;
	uint8_t reply[512];
	uint32_t which, len;

	if (!m->held_count)
		return;
	which = pick(m, m->held_count);
	chain = &m->held[which];
	request = &m->by_head[chain->head];
	len = pick(m, (uint32_t)request->in_len + 1);
	for (size_t i = 0; i < len; i++)
		reply[i] = (uint8_t)(request->seed ^ i);
	assert_int_equal(virtq_chain_write(chain, reply, len), len);
	m->answer[chain->head] = len;
	m->answered[chain->head] = true;
	virtqueue_push(&m->rig->vq, chain->head, len);
	m->held[which] = m->held[--m->held_count];
}

static void op_collect(struct model *m)
{
	struct model_request *request;
	uint8_t in[512];
	uint32_t written;
	uint16_t head;

	if (!virtq_driver_collect(&m->rig->driver, &head, &written, in, sizeof(in)))
		return;
	request = &m->by_head[head];
	assert_true(request->popped && m->answered[head]);
	assert_int_equal(written, m->answer[head]);
	for (size_t i = 0; i < written; i++)
		assert_int_equal(in[i], (uint8_t)(request->seed ^ i));
	*request = (struct model_request){};
	m->answered[head] = false;
}

static void op_reset(struct model *m)
{
	struct rig *rig = m->rig;

	virtqueue_reset(&rig->vq);
	rig->guest.next_free = 0;
	virtq_driver_init(
		&rig->driver, &rig->guest, (uint16_t)(1u << (3 + pick(m, 6))), pick(m, 2));
	assert_int_equal(virtq_driver_connect(&rig->driver, &rig->vq, true), 0);
	memset(m->by_head, 0, sizeof(m->by_head));
	memset(m->answered, 0, sizeof(m->answered));
	m->fifo_first = m->fifo_count = m->held_count = 0;
}

static void test_operation_programs(void **state)
{
	static struct model m;

	for (uint32_t program = 0; program < 40; program++) {
		m = (struct model){ .rig = *state, .random = program * 7919 + 1 };
		op_reset(&m);
		for (unsigned int step = 0; step < 3000; step++) {
			switch (pick(&m, 20)) {
			case 0 ... 5:
				op_offer(&m);
				break;
			case 6 ... 10:
				op_pop(&m);
				break;
			case 11 ... 15:
				op_push(&m);
				break;
			case 16 ... 18:
				op_collect(&m);
				break;
			default:
				if (!pick(&m, 60))
					op_reset(&m);
				break;
			}
			assert_int_equal(m.rig->vq.in_flight, m.held_count);
			assert_int_equal(virtqueue_has_more(&m.rig->vq), m.fifo_count > 0);
			if (!m.rig->driver.outstanding)
				m.rig->guest.next_free = 32768;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_init_validates_and_leaves_the_queue_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_not_ready_queue_gives_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain_is_a_byte_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peek_and_skip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor_outside_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_zero_length_descriptors_are_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readable_after_writable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain_length_and_loops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indexes_outside_the_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_more_available_than_the_queue_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain_bytes_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indirect_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indirect_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor_is_fetched_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unpop, setup, teardown),
		cmocka_unit_test(test_signals_by_flag),
		cmocka_unit_test_setup_teardown(test_event_idx_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used_event_is_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_quiet_driver_is_not_kicked_while_draining, setup, teardown),
		cmocka_unit_test_setup_teardown(test_operation_programs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
