/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/mptable.h"

#define BASE 0xf0000u

static uint8_t sum(const uint8_t *data, size_t len)
{
	uint8_t total = 0;

	while (len--)
		total = (uint8_t)(total + *data++);
	return total;
}

static void test_pointer_and_table(void **state)
{
	uint8_t out[MPTABLE_SIZE_MAX];
	const uint8_t *table = out + 16;
	size_t len, at = 44;

	(void)state;
	for (unsigned int n = 1; n <= MACHINE_VCPUS_MAX; n++) {
		assert_int_equal(mptable_build(BASE, n, out, sizeof(out), &len, NULL), 0);
		assert_memory_equal(out, "_MP_", 4);
		assert_int_equal(sum(out, 16), 0);
		assert_int_equal(load_le32(out + 4), BASE + 16);
		assert_memory_equal(table, "PCMP", 4);
		assert_int_equal(load_le16(table + 4), len - 16);
		assert_int_equal(sum(table, len - 16), 0);
		assert_int_equal(load_le16(table + 34), n + 2 + 24 + 2);
		assert_int_equal(len, 16 + 44 + n * 20 + (2 + 24 + 2) * 8);
	}
	/* the first processor boots; behind the last one bus and I/O APIC, with an id of its own */
	assert_int_equal(table[at + 3], 3);
	assert_int_equal(table[at + 20 + 3], 1);
	at += (size_t)MACHINE_VCPUS_MAX * 20;
	assert_memory_equal(table + at, "\x01\x00ISA   ", 8);
	assert_int_equal(table[at + 8], 2);
	assert_int_equal(table[at + 9], MACHINE_VCPUS_MAX);
	assert_int_equal(load_le32(table + at + 12), 0xfec00000);
	/* interrupt 23 comes in at input 23 */
	at += 16 + 23 * 8;
	assert_int_equal(table[at], 3);
	assert_int_equal(table[at + 5], 23);
	assert_int_equal(table[at + 7], 23);
}

static void test_limits(void **state)
{
	uint8_t out[128];
	size_t len = 77;

	(void)state;
	memset(out, 0x5a, sizeof(out));
	assert_int_equal(mptable_build(BASE, 4, out, 100, &len, NULL), -ENOSPC);
	assert_int_equal(out[100], 0x5a);
	assert_int_equal(mptable_build(BASE + 8, 4, out, sizeof(out), &len, NULL), -EINVAL);
	assert_int_equal(mptable_build(BASE, 0, out, sizeof(out), &len, NULL), -EINVAL);
	assert_int_equal(mptable_build(BASE, 33, out, sizeof(out), &len, NULL), -EINVAL);
	assert_int_equal(len, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pointer_and_table),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
