/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Port and memory-mapped I/O: which handler owns which range of addresses. Filled before the first vCPU runs, constant
 * after, so that vCPU threads look up without a lock. An access that no handler owns reads as all ones and writes
 * nothing. An access that crosses the end of a range, or is not 1, 2, 4 or 8 bytes wide, is treated the same. (V7)
 *
 * Handlers run on vCPU threads and must be quick: they latch, or hand over to a loop.
 */
#include <stdint.h>

#include "vmm/base/err.h"

#define BUS_RANGES_MAX 48

struct bus_ops {
	const char *name;
	/* offset is inside the range, offset + len too; data holds len (1, 2, 4 or 8) little-endian bytes. Either may be NULL. */
	void (*read)(void *handler, uint64_t offset, uint8_t *data, unsigned int len);
	void (*write)(void *handler, uint64_t offset, const uint8_t *data, unsigned int len);
};

struct bus_range {
	uint64_t first;
	uint64_t size;
	const struct bus_ops *ops;
	void *handler;
};

struct bus {
	struct bus_range ranges[BUS_RANGES_MAX]; /* sorted by address */
	unsigned int range_count;
};

/* -EEXIST where it overlaps another range, -ENOSPC where the table is full. */
int bus_add(struct bus *bus, uint64_t first, uint64_t size, const struct bus_ops *ops,
	void *handler, struct err *err);
void bus_read(const struct bus *bus, uint64_t address, uint8_t *data, unsigned int len);
void bus_write(const struct bus *bus, uint64_t address, const uint8_t *data, unsigned int len);
