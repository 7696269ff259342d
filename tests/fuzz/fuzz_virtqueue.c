/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory is the input: rings, tables and buffers lie wherever the bytes say. Programs of pop, push and cursor moves
 * run over it, and a second look checks that no slice leaves RAM.
 *
 * Input: 8 bytes of set-up (size, flags, ring offsets), 32 bytes of operations, the rest is copied to RAM.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

#define RAM_BYTES  8192u
#define OPERATIONS 32
#define HEAD_BYTES (8 + OPERATIONS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_chain(
	const struct fake_guest *guest, const struct virtqueue *vq, const struct virtq_chain *chain)
{
	uint64_t readable = 0, writable = 0;

	require(chain->head < vq->size);
	require(chain->readable_count + chain->writable_count <= vq->size);
	for (unsigned int i = 0; i < chain->readable_count + chain->writable_count; i++) {
		const uint8_t *base = chain->slices[i].iov_base;
		size_t len = chain->slices[i].iov_len;

		require(len && base >= guest->ram && base < guest->ram + RAM_BYTES);
		require(len <= (size_t)(guest->ram + RAM_BYTES - base));
		if (i < chain->readable_count)
			readable += len;
		else
			writable += len;
	}
	require(readable == chain->readable_bytes && writable == chain->writable_bytes);
	require(readable + writable <= VIRTQUEUE_CHAIN_BYTES_MAX);
}

static void move_cursors(struct virtq_chain *chain, uint8_t op)
{
	uint8_t data[256];
	struct iovec slices[3];
	size_t bytes, left;

	left = virtq_chain_readable_left(chain);
	require(virtq_chain_read(chain, data, op) == MIN(left, (size_t)op));
	require(virtq_chain_peek_readable(chain, slices, ARRAY_SIZE(slices), op, &bytes) <=
		ARRAY_SIZE(slices));
	require(bytes <= op && bytes <= virtq_chain_readable_left(chain));
	virtq_chain_skip_readable(chain, bytes);
	left = virtq_chain_writable_left(chain);
	require(virtq_chain_write(chain, data, op) == MIN(left, (size_t)op));
	require(virtq_chain_peek_writable(chain, slices, ARRAY_SIZE(slices), op, &bytes) <=
		ARRAY_SIZE(slices));
	virtq_chain_skip_writable(chain, bytes + op);
	require(chain->bytes_read <= chain->readable_bytes &&
		chain->bytes_written <= chain->writable_bytes);
}

static void run_program(const struct fake_guest *guest, struct virtqueue *vq, const uint8_t *ops)
{
	static struct virtq_chain chain;
	bool held = false;

	for (unsigned int i = 0; i < OPERATIONS; i++) {
		uint16_t before = vq->in_flight;
		int r;

		switch (ops[i] & 3) {
		case 0:
		case 1:
			r = virtqueue_pop(vq, &chain);
			require(r == 1 || r == 0 || r == -EPROTO);
			held = r == 1;
			require(vq->in_flight == before + (r == 1));
			if (held)
				check_chain(guest, vq, &chain);
			break;
		case 2:
			if (held)
				move_cursors(&chain, ops[i]);
			break;
		default:
			if (held && (ops[i] & 4))
				virtqueue_unpop(vq);
			else if (held)
				virtqueue_push(vq, chain.head, (uint32_t)chain.bytes_written);
			held = false;
			virtqueue_should_signal(vq);
			virtqueue_want_kick(vq, ops[i] & 8);
			break;
		}
		require(vq->in_flight <= vq->size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_guest guest;
	struct virtqueue vq = {};

	if (!guest.ram)
		fake_guest_init(&guest, RAM_BYTES);
	if (size < HEAD_BYTES)
		return 0;
	memset(guest.ram, 0, RAM_BYTES);
	memcpy(guest.ram, data + HEAD_BYTES, MIN(size - HEAD_BYTES, (size_t)RAM_BYTES));
	if (virtqueue_init(&vq, &guest.memory, (uint16_t)(1u << (data[0] % 10)),
		    FAKE_GUEST_GPA + load_le16(data + 2), FAKE_GUEST_GPA + load_le16(data + 4),
		    FAKE_GUEST_GPA + load_le16(data + 6), data[1] & 1, data[1] & 2) < 0)
		return 0;
	run_program(&guest, &vq, data + 8);
	return 0;
}
