/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: tables are written one behind the other; the header's length and checksum are patched in when a
 * table is complete. The order is the order of reference turned round (DSDT, FADT, MADT, XSDT, and the RSDP at the
 * front, for which room is left), so that every address is known when it is written.
 *
 * AML is written by hand (chapter 20). A package's length counts its own two bytes, which are patched in at its end.
 */
#include "vmm/machine/acpi.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

#define RSDP_SIZE	   36
#define HEADER_SIZE	   36
#define HEADER_LENGTH_AT   4
#define HEADER_CHECKSUM_AT 9
#define FADT_SIZE	   276

#define LOCAL_APIC_GPA 0xfee00000u
#define IO_APIC_GPA    0xfec00000u

/* FADT, table 5.9 and 5.10, 5.11 */
#define PROFILE_ENTERPRISE_SERVER 4
#define BOOT_VGA_NOT_PRESENT	  (1u << 2)
#define BOOT_NO_CMOS_RTC	  (1u << 5)
#define FADT_WBINVD		  (1u << 0)
#define FADT_NO_POWER_BUTTON	  (1u << 4)
#define FADT_NO_SLEEP_BUTTON	  (1u << 5)
#define FADT_RESET_REGISTER	  (1u << 10)
#define FADT_HW_REDUCED		  (1u << 20)

/* AML, 20.2 */
#define AML_ZERO	    0x00
#define AML_NAME	    0x08
#define AML_BYTE	    0x0a
#define AML_STRING	    0x0d
#define AML_SCOPE	    0x10
#define AML_BUFFER	    0x11
#define AML_PACKAGE	    0x12
#define AML_ROOT	    0x5c
#define AML_EXTENDED	    0x5b
#define AML_EXTENDED_DEVICE 0x82

struct table {
	size_t start;
};

static struct table table_begin(struct bytes_writer *w, const char *signature, uint8_t revision)
{
	struct table table;

	while (w->offset % 16 && !w->failed)
		bytes_put_u8(w, 0);
	table.start = w->offset;
	bytes_put(w, signature, 4);
	bytes_put_u32(w, 0); /* length */
	bytes_put_u8(w, revision);
	bytes_put_u8(w, 0); /* checksum */
	bytes_put(w, "SBXCTL", 6);
	bytes_put(w, "SANDBOX ", 8);
	bytes_put_u32(w, 1); /* OEM revision */
	bytes_put(w, "SBXC", 4);
	bytes_put_u32(w, 1); /* creator revision */
	return table;
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

static void table_end(struct bytes_writer *w, struct table table)
{
	uint8_t *head = w->data + table.start;
	size_t len = w->offset - table.start;

	if (w->failed)
		return;
	store_le32(head + HEADER_LENGTH_AT, (uint32_t)len);
	head[HEADER_CHECKSUM_AT] = checksum(head, len);
}

static size_t aml_package_begin(struct bytes_writer *w)
{
	bytes_put_u16(w, 0);
	return w->offset - 2;
}

/* Two bytes of length (20.2.4): four bits and a count of one in the first, eight bits in the second. */
static void aml_package_end(struct bytes_writer *w, size_t start)
{
	size_t len = w->offset - start;

	if (w->failed)
		return;
	if (len > 0xfff) {
		w->failed = true;
		return;
	}
	w->data[start] = (uint8_t)(0x40 | (len & 0xf));
	w->data[start + 1] = (uint8_t)(len >> 4);
}

static void aml_name(struct bytes_writer *w, const char *name)
{
	bytes_put_u8(w, AML_NAME);
	bytes_put(w, name, 4);
}

static void aml_named_string(struct bytes_writer *w, const char *name, const char *text)
{
	aml_name(w, name);
	bytes_put_u8(w, AML_STRING);
	bytes_put(w, text, strlen(text) + 1);
}

static void aml_named_byte(struct bytes_writer *w, const char *name, uint8_t value)
{
	aml_name(w, name);
	bytes_put_u8(w, AML_BYTE);
	bytes_put_u8(w, value);
}

static size_t aml_device_begin(struct bytes_writer *w, const char *name)
{
	size_t start;

	bytes_put_u8(w, AML_EXTENDED);
	bytes_put_u8(w, AML_EXTENDED_DEVICE);
	start = aml_package_begin(w);
	bytes_put(w, name, 4);
	return start;
}

/* _CRS: a buffer of resource descriptors (6.4), ended by an end tag. */
struct resources {
	size_t package, size_at, start;
};

static struct resources resources_begin(struct bytes_writer *w)
{
	struct resources r;

	aml_name(w, "_CRS");
	bytes_put_u8(w, AML_BUFFER);
	r.package = aml_package_begin(w);
	bytes_put_u8(w, AML_BYTE);
	r.size_at = w->offset;
	bytes_put_u8(w, 0);
	r.start = w->offset;
	return r;
}

static void resources_end(struct bytes_writer *w, struct resources r)
{
	bytes_put_u8(w, 0x79); /* end tag (6.4.2.9) */
	bytes_put_u8(w, 0);
	if (!w->failed)
		w->data[r.size_at] = (uint8_t)(w->offset - r.start);
	aml_package_end(w, r.package);
}

static void resource_memory(struct bytes_writer *w, uint32_t gpa, uint32_t size)
{
	bytes_put_u8(w, 0x86); /* 32-bit fixed memory range (6.4.3.4) */
	bytes_put_u16(w, 9);
	bytes_put_u8(w, 1); /* read and write */
	bytes_put_u32(w, gpa);
	bytes_put_u32(w, size);
}

static void resource_interrupt(struct bytes_writer *w, uint32_t gsi)
{
	bytes_put_u8(w, 0x89); /* extended interrupt (6.4.3.6) */
	bytes_put_u16(w, 6);
	bytes_put_u8(w, 0x03); /* consumer, edge, active high, exclusive */
	bytes_put_u8(w, 1);
	bytes_put_u32(w, gsi);
}

static void resource_port(struct bytes_writer *w, uint16_t port, uint8_t count)
{
	bytes_put_u8(w, 0x47); /* I/O port (6.4.2.5) */
	bytes_put_u8(w, 1); /* decodes 16 bits */
	bytes_put_u16(w, port);
	bytes_put_u16(w, port);
	bytes_put_u8(w, 1);
	bytes_put_u8(w, count);
}

static void put_virtio_device(
	struct bytes_writer *w, unsigned int index, const struct machine_mmio_slot *slot)
{
	const char name[] = { 'V', 'I', (char)('0' + index / 10), (char)('0' + index % 10), '\0' };
	size_t device = aml_device_begin(w, name);
	struct resources r;

	aml_named_string(w, "_HID", "LNRO0005");
	aml_named_byte(w, "_UID", (uint8_t)index);
	r = resources_begin(w);
	resource_memory(w, (uint32_t)slot->gpa, (uint32_t)slot->size);
	resource_interrupt(w, slot->gsi);
	resources_end(w, r);
	aml_package_end(w, device);
}

static void put_pvpanic(struct bytes_writer *w, uint16_t port)
{
	size_t device = aml_device_begin(w, "PEVT");
	struct resources r;

	aml_named_string(w, "_HID", "QEMU0001");
	r = resources_begin(w);
	resource_port(w, port, 1);
	resources_end(w, r);
	aml_package_end(w, device);
}

static void put_serial(struct bytes_writer *w, uint16_t port, unsigned int gsi)
{
	size_t device = aml_device_begin(w, "COM1");
	struct resources r;

	aml_named_string(w, "_HID", "PNP0501");
	aml_named_byte(w, "_UID", 0);
	r = resources_begin(w);
	resource_port(w, port, 8);
	resource_interrupt(w, gsi);
	resources_end(w, r);
	aml_package_end(w, device);
}

/* \_S5: what to write into the sleep control register to power off (7.4.2.6). */
static void put_s5(struct bytes_writer *w, uint8_t sleep_type)
{
	size_t package;

	aml_name(w, "_S5_");
	bytes_put_u8(w, AML_PACKAGE);
	package = aml_package_begin(w);
	bytes_put_u8(w, 4);
	bytes_put_u8(w, AML_BYTE);
	bytes_put_u8(w, sleep_type);
	for (int i = 0; i < 3; i++)
		bytes_put_u8(w, AML_ZERO);
	aml_package_end(w, package);
}

static uint32_t put_dsdt(struct bytes_writer *w, const struct acpi_request *request)
{
	struct table table = table_begin(w, "DSDT", 2);
	size_t scope;

	put_s5(w, request->s5_sleep_type);
	bytes_put_u8(w, AML_SCOPE);
	scope = aml_package_begin(w);
	bytes_put_u8(w, AML_ROOT);
	bytes_put(w, "_SB_", 4);
	put_pvpanic(w, request->pvpanic_port);
	if (request->serial_port)
		put_serial(w, request->serial_port, request->serial_gsi);
	for (unsigned int i = 0; i < request->slot_count; i++)
		put_virtio_device(w, i, &request->slots[i]);
	aml_package_end(w, scope);
	table_end(w, table);
	return (uint32_t)(request->gpa + table.start);
}

/* A generic address (5.2.3.2): one byte of I/O space. */
static void put_port_address(struct bytes_writer *w, uint16_t port)
{
	bytes_put_u8(w, 1); /* system I/O */
	bytes_put_u8(w, 8); /* bits */
	bytes_put_u8(w, 0);
	bytes_put_u8(w, 1); /* byte access */
	bytes_put_u64(w, port);
}

static void put_zeroes(struct bytes_writer *w, size_t count)
{
	while (count--)
		bytes_put_u8(w, 0);
}

/* The fields' offsets in the table (5.2.9) are said where a run of zeroes ends. */
static uint32_t put_fadt(struct bytes_writer *w, const struct acpi_request *request, uint32_t dsdt)
{
	struct table table = table_begin(w, "FACP", 6);

	bytes_put_u32(w, 0); /* no FACS */
	bytes_put_u32(w, dsdt);
	bytes_put_u8(w, 0);
	bytes_put_u8(w, PROFILE_ENTERPRISE_SERVER);
	put_zeroes(w, 109 - 46);
	bytes_put_u16(w, BOOT_VGA_NOT_PRESENT | BOOT_NO_CMOS_RTC); /* 109 */
	bytes_put_u8(w, 0);
	bytes_put_u32(w, FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
				 FADT_RESET_REGISTER | FADT_HW_REDUCED);
	put_port_address(w, request->reset_port); /* 116 */
	bytes_put_u8(w, request->reset_value);
	bytes_put_u16(w, 0);
	bytes_put_u8(w, 5); /* minor version */
	bytes_put_u64(w, 0);
	bytes_put_u64(w, dsdt); /* 140 */
	put_zeroes(w, 244 - 148);
	put_port_address(w, request->sleep_control_port); /* 244 */
	put_port_address(w, request->sleep_status_port);
	bytes_put(w, "SANDBOX", 8); /* 268: hypervisor vendor */
	assert(w->failed || w->offset - table.start == FADT_SIZE);
	table_end(w, table);
	return (uint32_t)(request->gpa + table.start);
}

static uint32_t put_madt(struct bytes_writer *w, const struct acpi_request *request)
{
	struct table table = table_begin(w, "APIC", 5);

	bytes_put_u32(w, LOCAL_APIC_GPA);
	bytes_put_u32(w, 0); /* no dual 8259 to mask */
	for (unsigned int i = 0; i < request->vcpus; i++) {
		bytes_put_u8(w, 0); /* local APIC (5.2.12.2) */
		bytes_put_u8(w, 8);
		bytes_put_u8(w, (uint8_t)i); /* processor UID */
		bytes_put_u8(w, (uint8_t)i); /* APIC id */
		bytes_put_u32(w, 1); /* enabled */
	}
	bytes_put_u8(w, 1); /* I/O APIC (5.2.12.3) */
	bytes_put_u8(w, 12);
	bytes_put_u8(w, 0); /* id */
	bytes_put_u8(w, 0);
	bytes_put_u32(w, IO_APIC_GPA);
	bytes_put_u32(w, 0); /* first GSI */
	table_end(w, table);
	return (uint32_t)(request->gpa + table.start);
}

static uint32_t put_xsdt(
	struct bytes_writer *w, const struct acpi_request *request, uint32_t fadt, uint32_t madt)
{
	struct table table = table_begin(w, "XSDT", 1);

	bytes_put_u64(w, fadt);
	bytes_put_u64(w, madt);
	table_end(w, table);
	return (uint32_t)(request->gpa + table.start);
}

/* 5.2.5.3: the first checksum covers the 20 bytes of revision 0, the second all 36. */
static void put_rsdp(uint8_t out[static RSDP_SIZE], uint64_t xsdt)
{
	struct bytes_writer w = bytes_writer(out, RSDP_SIZE);

	bytes_put(&w, "RSD PTR ", 8);
	bytes_put_u8(&w, 0);
	bytes_put(&w, "SBXCTL", 6);
	bytes_put_u8(&w, 2); /* revision */
	bytes_put_u32(&w, 0); /* no RSDT */
	bytes_put_u32(&w, RSDP_SIZE);
	bytes_put_u64(&w, xsdt);
	bytes_put_u32(&w, 0);
	out[8] = checksum(out, 20);
	out[32] = checksum(out, RSDP_SIZE);
}

int acpi_build(const struct acpi_request *request, void *out, size_t size, size_t *ret_len,
	struct err *err)
{
	struct bytes_writer w = bytes_writer(out, size);
	uint32_t dsdt, fadt, madt, xsdt;

	if (request->vcpus > MACHINE_VCPUS_MAX || request->slot_count > MACHINE_MMIO_DEVICES_MAX ||
		request->gpa % 16 || !range_fits(request->gpa, size, UINT32_MAX))
		return err_set(err, -EINVAL, "ACPI: a machine that cannot be described");
	put_zeroes(&w, RSDP_SIZE);
	dsdt = put_dsdt(&w, request);
	fadt = put_fadt(&w, request, dsdt);
	madt = put_madt(&w, request);
	xsdt = put_xsdt(&w, request, fadt, madt);
	if (w.failed)
		return err_set(err, -ENOSPC, "ACPI: tables need more than %zu bytes", size);
	put_rsdp(out, xsdt);
	*ret_len = w.offset;
	return 0;
}
