/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/machine/bus.h"

struct probe {
	uint64_t offset;
	unsigned int len, reads, writes;
	uint8_t data[8];
};

static void probe_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	struct probe *probe = handler;

	probe->offset = offset;
	probe->len = len;
	probe->reads++;
	memset(data, 0x5a, len);
}

static void probe_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct probe *probe = handler;

	probe->offset = offset;
	probe->len = len;
	probe->writes++;
	memcpy(probe->data, data, len);
}

static const struct bus_ops probe_ops = {
	.name = "probe", .read = probe_read, .write = probe_write
};

static void test_finds_the_owner(void **state)
{
	struct bus bus = {};
	struct probe low = {}, high = {};
	uint8_t data[8];

	(void)state;
	assert_int_equal(bus_add(&bus, 0x3000, 0x1000, &probe_ops, &high, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x1000, 0x10, &probe_ops, &low, NULL), 0);
	bus_read(&bus, 0x100c, data, 4);
	assert_int_equal(low.offset, 0xc);
	assert_memory_equal(data, "\x5a\x5a\x5a\x5a", 4);
	bus_write(&bus, 0x3ff8, (const uint8_t *)"abcdefgh", 8);
	assert_int_equal(high.offset, 0xff8);
	assert_memory_equal(high.data, "abcdefgh", 8);
}

static void test_nobody_reads_as_ones(void **state)
{
	struct bus bus = {};
	struct probe probe = {};
	uint8_t data[8] = {};

	(void)state;
	assert_int_equal(bus_add(&bus, 0x1000, 0x10, &probe_ops, &probe, NULL), 0);
	/* before, after, across the end, across the start, an odd width, at the end of all addresses */
	bus_read(&bus, 0xfff, data, 1);
	assert_int_equal(data[0], 0xff);
	bus_read(&bus, 0x1010, data, 1);
	bus_read(&bus, 0x100e, data, 4);
	assert_memory_equal(data, "\xff\xff\xff\xff", 4);
	bus_read(&bus, 0xffe, data, 4);
	bus_read(&bus, 0x1000, data, 3);
	assert_int_equal(data[2], 0xff);
	bus_read(&bus, UINT64_MAX, data, 8);
	bus_write(&bus, UINT64_MAX, data, 8);
	assert_int_equal(probe.reads + probe.writes, 0);
}

static void test_refuses_overlap_and_overflow(void **state)
{
	struct bus bus = {};
	struct err err = {};

	(void)state;
	assert_int_equal(bus_add(&bus, 0x1000, 0x10, &probe_ops, NULL, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x100f, 1, &probe_ops, NULL, &err), -EEXIST);
	assert_int_equal(bus_add(&bus, 0xff0, 0x11, &probe_ops, NULL, NULL), -EEXIST);
	assert_int_equal(bus_add(&bus, 0xff0, 0x100, &probe_ops, NULL, NULL), -EEXIST);
	assert_int_equal(bus_add(&bus, UINT64_MAX, 2, &probe_ops, NULL, NULL), -EINVAL);
	assert_int_equal(bus_add(&bus, 0, 0, &probe_ops, NULL, NULL), -EINVAL);
	for (unsigned int i = 1; i < BUS_RANGES_MAX; i++)
		assert_int_equal(bus_add(&bus, 0x10000 - i * 16, 16, &probe_ops, NULL, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x20000, 16, &probe_ops, NULL, NULL), -ENOSPC);
	for (unsigned int i = 1; i < bus.range_count; i++)
		assert_true(
			bus.ranges[i - 1].first + bus.ranges[i - 1].size <= bus.ranges[i].first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_the_owner),
		cmocka_unit_test(test_nobody_reads_as_ones),
		cmocka_unit_test(test_refuses_overlap_and_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
