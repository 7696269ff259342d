/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the vsock device that need no device: heads, credit, states, the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/devices/vsock_credit.h"
#include "vmm/devices/vsock_packet.h"
#include "vmm/devices/vsock_state.h"
#include "vmm/devices/vsock_table.h"

static void test_head_golden_bytes(void **state)
{
	const struct vsock_head head = {
		.src_cid = 0x0102030405060708,
		.dst_cid = 2,
		.src_port = 0x11121314,
		.dst_port = 1024,
		.len = 0x21222324,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RW,
		.flags = 3,
		.buf_alloc = 0x40000,
		.fwd_cnt = 0xfffffffe,
	};
	uint8_t wire[VSOCK_HEAD_SIZE], again[VSOCK_HEAD_SIZE];
	struct vsock_head back;

	(void)state;
	vsock_head_encode(&head, wire);
	assert_memory_equal(wire,
		"\x08\x07\x06\x05\x04\x03\x02\x01\x02\0\0\0\0\0\0\0"
		"\x14\x13\x12\x11\0\x04\0\0\x24\x23\x22\x21\x01\0\x05\0"
		"\x03\0\0\0\0\0\x04\0\xfe\xff\xff\xff",
		VSOCK_HEAD_SIZE);
	vsock_head_decode(wire, &back);
	assert_int_equal(back.src_cid, head.src_cid);
	assert_int_equal(back.fwd_cnt, head.fwd_cnt);
	vsock_head_encode(&back, again);
	assert_memory_equal(again, wire, sizeof(wire));
}

static void test_credit_wraps(void **state)
{
	struct vsock_credit c;

	(void)state;
	vsock_credit_init(&c, 1 << 16);
	/* As if 4 GiB less 100 bytes had passed both ways. */
	c.tx_cnt = c.peer_fwd_cnt = c.rx_cnt = c.fwd_cnt = c.told_fwd_cnt = (uint32_t)-100;
	vsock_credit_heard(&c, 1000, (uint32_t)-100);
	assert_int_equal(vsock_credit_free(&c), 1000);
	vsock_credit_sent(&c, 600);
	assert_int_equal(c.tx_cnt, 500);
	assert_int_equal(vsock_credit_free(&c), 400);
	vsock_credit_heard(&c, 1000, 0); /* 100 of them read */
	assert_int_equal(vsock_credit_free(&c), 500);
	assert_int_equal(c.packet_count, 1);
	vsock_credit_heard(&c, 1000, 500);
	assert_int_equal(vsock_credit_free(&c), 1000);
	assert_int_equal(c.packet_count, 0);

	assert_true(vsock_credit_received(&c, 1 << 16));
	assert_false(vsock_credit_received(&c, 1));
	assert_false(vsock_credit_should_tell(&c));
	vsock_credit_consumed(&c, 1 << 15);
	assert_true(vsock_credit_should_tell(&c));
	assert_true(vsock_credit_received(&c, 1 << 15));
	assert_false(vsock_credit_received(&c, 1));
}

static void test_lying_guest_gets_no_credit(void **state)
{
	struct vsock_credit c;

	(void)state;
	vsock_credit_init(&c, 1 << 16);
	vsock_credit_heard(&c, 1000, 1); /* more than was sent */
	assert_int_equal(vsock_credit_free(&c), 0);
	vsock_credit_heard(&c, 0, 0);
	assert_int_equal(vsock_credit_free(&c), 0);
	vsock_credit_heard(&c, UINT32_MAX, 0);
	assert_int_equal(vsock_credit_free(&c), UINT32_MAX);
	vsock_credit_sent(&c, 500);
	vsock_credit_heard(&c, 100, 0); /* a buffer that shrank below what is on its way */
	assert_int_equal(vsock_credit_free(&c), 0);
}

static void test_small_packets_are_bounded(void **state)
{
	struct vsock_credit c;
	unsigned int sent = 0;

	(void)state;
	vsock_credit_init(&c, 1 << 16);
	vsock_credit_heard(&c, 256 << 10, 0);
	while (vsock_credit_packets_free(&c)) {
		vsock_credit_sent(&c, 1);
		sent++;
	}
	assert_int_equal(sent, 128);
	assert_true(vsock_credit_should_ask(&c));
	c.asked = true;
	assert_false(vsock_credit_should_ask(&c));
	vsock_credit_heard(&c, 256 << 10, 10);
	assert_int_equal(vsock_credit_packets_free(&c), 10);
	assert_false(vsock_credit_should_ask(&c)); /* still near the bound: once is enough */
	vsock_credit_heard(&c, 256 << 10, 40);
	assert_true(c.asked); /* a slow reader is not asked for every few packets */
	vsock_credit_heard(&c, 256 << 10, 128);
	assert_int_equal(c.packet_count, 0);
	assert_false(c.asked);
	/* The ring of ends wraps, and the bound holds for any buffer. */
	for (unsigned int round = 0; round < 10; round++) {
		vsock_credit_heard(&c, UINT32_MAX, c.tx_cnt);
		for (sent = 0; vsock_credit_packets_free(&c); sent++)
			vsock_credit_sent(&c, 3);
		assert_int_equal(sent, VSOCK_PACKETS_MAX);
	}
	vsock_credit_init(&c, 1 << 16);
	vsock_credit_heard(&c, 100, 0);
	assert_int_equal(vsock_credit_packets_free(&c), VSOCK_PACKETS_MIN);
}

/*
 * Kernels of 2026 reset a stream whose bytes and packets' weight together pass its buffer: packets of any size stay below it,
 * and yet most of it is used. (V8)
 */
static void test_weight_of_packets_counts(void **state)
{
	static const uint32_t sizes[] = { 1, 100, 576, 1500, 3732, 65536 };
	static const uint32_t buffers[] = { 4096, 65536, 256 << 10, 1 << 20 };
	struct vsock_credit c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(buffers); i++) {
		uint32_t buffer = buffers[i / ARRAY_SIZE(sizes)],
			 size = sizes[i % ARRAY_SIZE(sizes)];
		unsigned int packets = 0;

		vsock_credit_init(&c, 1 << 16);
		vsock_credit_heard(&c, buffer, 0);
		for (uint32_t room;
			(room = vsock_credit_room(&c, 0)) && vsock_credit_packets_free(&c);
			packets++) {
			vsock_credit_sent(&c, MIN(room, size));
			assert_true(c.tx_cnt + (packets + 1) * 576 <= buffer);
		}
		assert_true(packets > 0);
		assert_true(vsock_credit_should_ask(&c));
		if (size >= 3732 && buffer >= 256 << 10)
			assert_true(c.tx_cnt >= buffer / 4 * 3);
		vsock_credit_heard(&c, buffer, c.tx_cnt);
		assert_true(vsock_credit_room(&c, 0) > 0);
	}
	/* A buffer smaller than one packet's weight: one at a time. */
	vsock_credit_init(&c, 1 << 16);
	vsock_credit_heard(&c, 100, 0);
	assert_int_equal(vsock_credit_room(&c, 0), 100);
	vsock_credit_sent(&c, 50);
	assert_int_equal(vsock_credit_room(&c, 0), 0);
}

static void test_states_end(void **state)
{
	(void)state;
	for (int s = 0; s < VSOCK_STATES; s++) {
		enum vsock_state next = VSOCK_STATES;
		bool legal = vsock_state_next((enum vsock_state)s, VSOCK_DROPPED, &next);

		/* Every live state can be dropped, and nothing illegal writes its output. */
		assert_int_equal(legal, s != VSOCK_FREE);
		assert_int_equal(next, legal ? VSOCK_FREE : VSOCK_STATES);
		assert_non_null(vsock_state_name((enum vsock_state)s));
		/* A request is for free slots only. */
		assert_int_equal(vsock_state_next((enum vsock_state)s, VSOCK_GUEST_REQUEST, &next),
			s == VSOCK_FREE);
	}
	assert_false(vsock_state_next(VSOCK_STATES, VSOCK_DROPPED, &(enum vsock_state){ 0 }));
	assert_false(vsock_state_next(VSOCK_OPEN, VSOCK_EVENTS, &(enum vsock_state){ 0 }));
}

static void test_states_of_a_life(void **state)
{
	static const struct {
		enum vsock_event event;
		enum vsock_state to;
	} host_opened[] = {
		{ VSOCK_HOST_REQUEST, VSOCK_ASKED_BY_HOST },
		{ VSOCK_GUEST_ACCEPTED, VSOCK_HELD },
		{ VSOCK_HOST_STREAM, VSOCK_OPEN },
		{ VSOCK_GUEST_DONE, VSOCK_DRAINING },
		{ VSOCK_DRAINED, VSOCK_FREE },
		{ VSOCK_GUEST_REQUEST, VSOCK_ASKED_BY_GUEST },
		{ VSOCK_LINK_ACCEPTED, VSOCK_OPEN },
		{ VSOCK_HOST_DONE, VSOCK_CLOSING },
		{ VSOCK_GUEST_DONE, VSOCK_FREE },
	};
	enum vsock_state now = VSOCK_FREE;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(host_opened); i++) {
		assert_true(vsock_state_next(now, host_opened[i].event, &now));
		assert_int_equal(now, host_opened[i].to);
	}
}

static void test_table_is_bounded(void **state)
{
	struct vsock_table table;
	struct vsock_stream *streams[VSOCK_STREAMS_MAX];
	uint64_t promised = 0;

	(void)state;
	assert_int_equal(vsock_table_init(&table), 0);
	for (unsigned int i = 0; i < VSOCK_STREAMS_MAX; i++) {
		streams[i] = vsock_table_take(&table);
		assert_non_null(streams[i]);
		streams[i]->state = VSOCK_OPEN;
		streams[i]->host_port = 1024 + i % 7;
		streams[i]->guest_port = i;
		vsock_table_enter(&table, streams[i]);
		assert_in_range(streams[i]->credit.buf_alloc, VSOCK_BUFFER_MIN, VSOCK_BUFFER_MAX);
		promised += streams[i]->credit.buf_alloc;
	}
	assert_int_equal(streams[0]->credit.buf_alloc, VSOCK_BUFFER_MAX);
	assert_true(promised <= VSOCK_POOL_BYTES);
	assert_null(vsock_table_take(&table));
	for (unsigned int i = 0; i < VSOCK_STREAMS_MAX; i++) {
		assert_ptr_equal(vsock_table_find(&table, 1024 + i % 7, i), streams[i]);
		assert_ptr_equal(vsock_table_find_id(&table, streams[i]->id), streams[i]);
	}
	assert_null(vsock_table_find(&table, 1, 1));
	for (unsigned int i = 0; i < VSOCK_STREAMS_MAX; i++) {
		uint32_t id = streams[i]->id;

		vsock_table_put(&table, streams[i]);
		assert_null(vsock_table_find_id(&table, id));
		assert_null(vsock_table_find(&table, 1024 + i % 7, i));
	}
	assert_int_equal(table.pool_left, VSOCK_POOL_BYTES);
	assert_null(table.live);
	/* A slot that is used again answers to its new id only. */
	streams[0] = vsock_table_take(&table);
	streams[0]->state = VSOCK_OPEN;
	assert_null(vsock_table_find_id(&table, streams[0]->id - VSOCK_STREAMS_MAX));
	assert_non_null(vsock_table_find_id(&table, streams[0]->id));
	vsock_table_finish(&table);
}

/* The ring against a plain queue of bytes. */
static void test_buffer_keeps_order(void **state)
{
	static uint8_t model[VSOCK_BUFFER_MAX], piece[VSOCK_BUFFER_MAX];
	struct vsock_table table;
	struct vsock_stream *stream;
	size_t held = 0;
	uint8_t next = 0;

	(void)state;
	assert_int_equal(vsock_table_init(&table), 0);
	stream = vsock_table_take(&table);
	srand(1);
	for (unsigned int round = 0; round < 3000; round++) {
		size_t len = (size_t)rand() % 50000;
		struct iovec slices[2];

		if (rand() % 2) {
			for (size_t i = 0; i < len; i++)
				piece[i] = next++;
			if (len > VSOCK_BUFFER_MAX - held) {
				assert_false(vsock_stream_buffer_put(stream, piece, (uint32_t)len));
				next = (uint8_t)(next - len);
				continue;
			}
			assert_true(vsock_stream_buffer_put(stream, piece, (uint32_t)len));
			memcpy(model + held, piece, len);
			held += len;
		} else {
			len = MIN(len, held);
			vsock_stream_buffer_skip(stream, (uint32_t)len);
			memmove(model, model + len, held - len);
			held -= len;
		}
		vsock_stream_buffer_peek(stream, slices);
		assert_int_equal(slices[0].iov_len + slices[1].iov_len, held);
		assert_memory_equal(slices[0].iov_base, model, slices[0].iov_len);
		assert_memory_equal(
			slices[1].iov_base, model + slices[0].iov_len, slices[1].iov_len);
	}
	vsock_table_finish(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_golden_bytes),
		cmocka_unit_test(test_credit_wraps),
		cmocka_unit_test(test_lying_guest_gets_no_credit),
		cmocka_unit_test(test_small_packets_are_bounded),
		cmocka_unit_test(test_weight_of_packets_counts),
		cmocka_unit_test(test_states_end),
		cmocka_unit_test(test_states_of_a_life),
		cmocka_unit_test(test_table_is_bounded),
		cmocka_unit_test(test_buffer_keeps_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
