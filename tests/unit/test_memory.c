/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/machine/memory.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static void test_small_memory_is_one_region(void **state)
{
	struct guest_memory memory;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 128 * MIB, NULL), 0);
	assert_int_equal(memory.region_count, 1);
	assert_int_equal((uintptr_t)memory.regions[0].host % (2 * MIB), 0);
	assert_ptr_equal(guest_slice(&memory, 0, 128 * MIB), memory.regions[0].host);
	assert_non_null(guest_slice(&memory, 128 * MIB - 1, 1));
	assert_null(guest_slice(&memory, 128 * MIB, 1));
	assert_null(guest_slice(&memory, 128 * MIB - 1, 2));
	assert_null(guest_slice(&memory, 0, 0));
	assert_null(guest_slice(&memory, UINT64_MAX, 2));
	assert_null(guest_slice(&memory, 1, UINT64_MAX));
	guest_memory_finish(&memory);
	assert_null(guest_slice(&memory, 0, 1));
}

static void test_large_memory_leaves_the_hole(void **state)
{
	struct guest_memory memory;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 8 * GIB, NULL), 0);
	assert_int_equal(memory.region_count, 2);
	assert_int_equal(memory.size_bytes, 8 * GIB);
	assert_non_null(guest_slice(&memory, 3 * GIB - 1, 1));
	assert_null(guest_slice(&memory, 3 * GIB - 1, 2));
	assert_null(guest_slice(&memory, 3 * GIB, 1));
	assert_null(guest_slice(&memory, 4 * GIB - 1, 2));
	assert_non_null(guest_slice(&memory, 4 * GIB, 5 * GIB));
	assert_null(guest_slice(&memory, 4 * GIB, 5 * GIB + 1));
	/* no slice spans two regions, however they lie on the host */
	assert_null(guest_slice(&memory, 0, 4 * GIB));
	guest_memory_finish(&memory);
}

static void test_limits(void **state)
{
	struct guest_memory memory;
	struct err err = {};

	(void)state;
	assert_int_equal(
		guest_memory_init(&memory, GUEST_MEMORY_MIN_BYTES - 2 * MIB, &err), -EINVAL);
	assert_int_equal(
		guest_memory_init(&memory, GUEST_MEMORY_MAX_BYTES + 2 * MIB, &err), -EINVAL);
	assert_int_equal(guest_memory_init(&memory, 128 * MIB + 4096, &err), -EINVAL);
}

static void test_discard_gives_zeroes(void **state)
{
	struct guest_memory memory;
	uint8_t *page;

	(void)state;
	assert_int_equal(guest_memory_init(&memory, 64 * MIB, NULL), 0);
	page = guest_slice(&memory, 8 * MIB, 8192);
	memset(page, 7, 8192);
	assert_int_equal(guest_memory_discard(&memory, 8 * MIB, 4096), 0);
	assert_int_equal(page[0], 0);
	assert_int_equal(page[4096], 7);
	assert_int_equal(guest_memory_discard(&memory, 8 * MIB + 1, 4096), -EINVAL);
	assert_int_equal(guest_memory_discard(&memory, 8 * MIB, 100), -EINVAL);
	assert_int_equal(guest_memory_discard(&memory, 64 * MIB - 4096, 8192), -EINVAL);
	guest_memory_finish(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_memory_is_one_region),
		cmocka_unit_test(test_large_memory_leaves_the_hole),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_discard_gives_zeroes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
