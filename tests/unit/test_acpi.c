/* SPDX-License-Identifier: Apache-2.0 */
/* The golden DSDT was read back with iasl -d and found to say what put_dsdt() means; so were FADT and MADT. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/machine/acpi.h"

#define BASE 0xe0000u

static uint8_t tables[ACPI_TABLES_SIZE_MAX];
static struct machine_mmio_slot slots[MACHINE_MMIO_DEVICES_MAX];

static const struct acpi_request one_device = {
	.gpa = BASE,
	.vcpus = 2,
	.slots = slots,
	.slot_count = 1,
	.sleep_control_port = 0x600,
	.sleep_status_port = 0x601,
	.s5_sleep_type = 5,
	.reset_port = 0x602,
	.reset_value = 1,
	.pvpanic_port = 0x505,
	.serial_port = 0x3f8,
	.serial_gsi = 4,
};

/* clang-format off */
static const uint8_t golden_dsdt[] = {
	0x44, 0x53, 0x44, 0x54, 0xde, 0x00, 0x00, 0x00, 0x02, 0x03, 0x53, 0x42, 0x58, 0x43, 0x54, 0x4c,
	0x53, 0x41, 0x4e, 0x44, 0x42, 0x4f, 0x58, 0x20, 0x01, 0x00, 0x00, 0x00, 0x53, 0x42, 0x58, 0x43,
	0x01, 0x00, 0x00, 0x00, 0x08, 0x5f, 0x53, 0x35, 0x5f, 0x12, 0x48, 0x00, 0x04, 0x0a, 0x05, 0x00,
	0x00, 0x00, 0x10, 0x4b, 0x0a, 0x5c, 0x5f, 0x53, 0x42, 0x5f, 0x5b, 0x82, 0x49, 0x02, 0x50, 0x45,
	0x56, 0x54, 0x08, 0x5f, 0x48, 0x49, 0x44, 0x0d, 0x51, 0x45, 0x4d, 0x55, 0x30, 0x30, 0x30, 0x31,
	0x00, 0x08, 0x5f, 0x43, 0x52, 0x53, 0x11, 0x4e, 0x00, 0x0a, 0x0a, 0x47, 0x01, 0x05, 0x05, 0x05,
	0x05, 0x01, 0x01, 0x79, 0x00, 0x5b, 0x82, 0x48, 0x03, 0x43, 0x4f, 0x4d, 0x31, 0x08, 0x5f, 0x48,
	0x49, 0x44, 0x0d, 0x50, 0x4e, 0x50, 0x30, 0x35, 0x30, 0x31, 0x00, 0x08, 0x5f, 0x55, 0x49, 0x44,
	0x0a, 0x00, 0x08, 0x5f, 0x43, 0x52, 0x53, 0x11, 0x47, 0x01, 0x0a, 0x13, 0x47, 0x01, 0xf8, 0x03,
	0xf8, 0x03, 0x01, 0x08, 0x89, 0x06, 0x00, 0x03, 0x01, 0x04, 0x00, 0x00, 0x00, 0x79, 0x00, 0x5b,
	0x82, 0x4d, 0x03, 0x56, 0x49, 0x30, 0x30, 0x08, 0x5f, 0x48, 0x49, 0x44, 0x0d, 0x4c, 0x4e, 0x52,
	0x4f, 0x30, 0x30, 0x30, 0x35, 0x00, 0x08, 0x5f, 0x55, 0x49, 0x44, 0x0a, 0x00, 0x08, 0x5f, 0x43,
	0x52, 0x53, 0x11, 0x4b, 0x01, 0x0a, 0x17, 0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0xd0, 0x00,
	0x02, 0x00, 0x00, 0x89, 0x06, 0x00, 0x03, 0x01, 0x05, 0x00, 0x00, 0x00, 0x79, 0x00,
};
/* clang-format on */

static uint8_t sum(const uint8_t *data, size_t len)
{
	uint8_t total = 0;

	while (len--)
		total = (uint8_t)(total + *data++);
	return total;
}

/* A table by an address of ours; its length and checksum are right, and it lies inside. */
static const uint8_t *table_at(uint64_t gpa, size_t all, const char *signature)
{
	const uint8_t *table = tables + (gpa - BASE);
	uint32_t len;

	assert_true(gpa >= BASE && gpa - BASE + 36 <= all);
	len = load_le32(table + 4);
	assert_true(gpa - BASE + len <= all);
	assert_memory_equal(table, signature, 4);
	assert_int_equal(sum(table, len), 0);
	return table;
}

static void fill_slots(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(slots); i++)
		slots[i] = (struct machine_mmio_slot){ 0xd0000000u + i * 0x1000u, 0x200, 5 + i };
}

static void test_every_table_is_reached(void **state)
{
	const uint8_t *xsdt, *fadt, *madt, *dsdt;
	size_t len;

	(void)state;
	assert_int_equal(acpi_build(&one_device, tables, sizeof(tables), &len, NULL), 0);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(sum(tables, 20), 0);
	assert_int_equal(sum(tables, 36), 0);
	xsdt = table_at(load_le64(tables + 24), len, "XSDT");
	assert_int_equal(load_le32(xsdt + 4), 36 + 2 * 8);
	fadt = table_at(load_le64(xsdt + 36), len, "FACP");
	madt = table_at(load_le64(xsdt + 44), len, "APIC");
	dsdt = table_at(load_le64(fadt + 140), len, "DSDT");
	assert_int_equal(load_le32(fadt + 40), load_le64(fadt + 140));
	assert_int_equal(load_le32(fadt + 4), 276);
	assert_true(load_le32(fadt + 112) >> 20 & 1); /* hardware-reduced */
	assert_int_equal(load_le64(fadt + 120), 0x602);
	assert_int_equal(load_le64(fadt + 248), 0x600);
	/* two local APICs and an I/O APIC */
	assert_int_equal(load_le32(madt + 4), 44 + 2 * 8 + 12);
	assert_int_equal(madt[44 + 8 + 3], 1);
	assert_int_equal(sizeof(golden_dsdt), load_le32(dsdt + 4));
	assert_memory_equal(dsdt, golden_dsdt, sizeof(golden_dsdt));
}

static void test_the_largest_machine_fits(void **state)
{
	struct acpi_request request = one_device;
	size_t len;

	(void)state;
	request.vcpus = MACHINE_VCPUS_MAX;
	request.slot_count = MACHINE_MMIO_DEVICES_MAX;
	assert_int_equal(acpi_build(&request, tables, sizeof(tables), &len, NULL), 0);
	assert_true(len < sizeof(tables));
	table_at(load_le64(tables + 24), len, "XSDT");
}

static void test_limits(void **state)
{
	struct acpi_request request = one_device;
	uint8_t guarded[64];
	size_t len = 77;

	(void)state;
	memset(guarded, 0x5a, sizeof(guarded));
	assert_int_equal(acpi_build(&request, guarded, 40, &len, NULL), -ENOSPC);
	assert_int_equal(guarded[40], 0x5a);
	assert_int_equal(len, 77);
	request.vcpus = MACHINE_VCPUS_MAX + 1;
	assert_int_equal(acpi_build(&request, tables, sizeof(tables), &len, NULL), -EINVAL);
	request = one_device;
	request.gpa = UINT32_MAX - 15;
	assert_int_equal(acpi_build(&request, tables, sizeof(tables), &len, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_table_is_reached),
		cmocka_unit_test(test_the_largest_machine_fits),
		cmocka_unit_test(test_limits),
	};

	fill_slots();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
