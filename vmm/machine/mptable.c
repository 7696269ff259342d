/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/mptable.h"

#include <errno.h>

#include "vmm/base/bytes.h"
#include "vmm/machine/irq.h"
#include "vmm/machine/machine.h"

#define POINTER_SIZE	   16
#define HEADER_SIZE	   44
#define LOCAL_APIC_GPA	   0xfee00000u
#define IO_APIC_GPA	   0xfec00000u
#define LOCAL_APIC_VERSION 0x14
#define IO_APIC_VERSION	   0x11

/* Entry types (table 4-3), interrupt types (4-11) */
enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IO_APIC, ENTRY_IO_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { INTERRUPT_INT, INTERRUPT_NMI, INTERRUPT_SMI, INTERRUPT_EXTINT };
#define PROCESSOR_ENABLED 1
#define PROCESSOR_BOOT	  2
#define EDGE_ACTIVE_HIGH  0x05
#define ALL_LOCAL_APICS	  0xff

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

static void put_processor(struct bytes_writer *w, unsigned int id)
{
	bytes_put_u8(w, ENTRY_PROCESSOR);
	bytes_put_u8(w, (uint8_t)id);
	bytes_put_u8(w, LOCAL_APIC_VERSION);
	bytes_put_u8(w, PROCESSOR_ENABLED | (id == 0 ? PROCESSOR_BOOT : 0));
	bytes_put_u32(w, 0x600); /* a signature that says nothing; CPUID says it */
	bytes_put_u32(w, 0x201); /* has an FPU and an APIC */
	bytes_put_u64(w, 0);
}

static void put_interrupt(struct bytes_writer *w, uint8_t entry, uint8_t type, uint16_t flags,
	uint8_t source, uint8_t apic, uint8_t input)
{
	bytes_put_u8(w, entry);
	bytes_put_u8(w, type);
	bytes_put_u16(w, flags);
	bytes_put_u8(w, 0); /* the one bus */
	bytes_put_u8(w, source);
	bytes_put_u8(w, apic);
	bytes_put_u8(w, input);
}

static uint16_t put_entries(struct bytes_writer *w, unsigned int vcpus)
{
	uint8_t io_apic = (uint8_t)vcpus; /* no processor has that id */

	for (unsigned int i = 0; i < vcpus; i++)
		put_processor(w, i);
	bytes_put_u8(w, ENTRY_BUS);
	bytes_put_u8(w, 0);
	bytes_put(w, "ISA   ", 6);
	bytes_put_u8(w, ENTRY_IO_APIC);
	bytes_put_u8(w, io_apic);
	bytes_put_u8(w, IO_APIC_VERSION);
	bytes_put_u8(w, 1); /* enabled */
	bytes_put_u32(w, IO_APIC_GPA);
	for (uint8_t i = 0; i < IRQ_GSI_COUNT; i++)
		put_interrupt(
			w, ENTRY_IO_INTERRUPT, INTERRUPT_INT, EDGE_ACTIVE_HIGH, i, io_apic, i);
	put_interrupt(w, ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTINT, 0, 0, 0, 0);
	put_interrupt(w, ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, 0, 0, ALL_LOCAL_APICS, 1);
	return (uint16_t)(vcpus + 2 + IRQ_GSI_COUNT + 2);
}

static void put_header(uint8_t *table, uint16_t len, uint16_t entries)
{
	struct bytes_writer w = bytes_writer(table, HEADER_SIZE);

	bytes_put(&w, "PCMP", 4);
	bytes_put_u16(&w, len);
	bytes_put_u8(&w, 4); /* version 1.4 */
	bytes_put_u8(&w, 0);
	bytes_put(&w, "SBXCTL  SANDBOX     ", 20);
	bytes_put_u32(&w, 0); /* no OEM table */
	bytes_put_u16(&w, 0);
	bytes_put_u16(&w, entries);
	bytes_put_u32(&w, LOCAL_APIC_GPA);
	bytes_put_u32(&w, 0); /* no extended table */
	table[7] = checksum(table, len);
}

static void put_pointer(uint8_t *out, uint64_t table_gpa)
{
	struct bytes_writer w = bytes_writer(out, POINTER_SIZE);

	bytes_put(&w, "_MP_", 4);
	bytes_put_u32(&w, (uint32_t)table_gpa);
	bytes_put_u8(&w, 1); /* 16-byte units */
	bytes_put_u8(&w, 4);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, 0);
	out[10] = checksum(out, POINTER_SIZE);
}

int mptable_build(
	uint64_t gpa, unsigned int vcpus, void *out, size_t size, size_t *ret_len, struct err *err)
{
	struct bytes_writer w = bytes_writer(out, size);
	uint16_t entries;

	if (gpa % 16 || gpa > UINT32_MAX - size || vcpus < 1 || vcpus > MACHINE_VCPUS_MAX)
		return err_set(err, -EINVAL, "MP table: a machine that cannot be described");
	for (size_t i = 0; i < POINTER_SIZE + HEADER_SIZE; i++)
		bytes_put_u8(&w, 0);
	entries = put_entries(&w, vcpus);
	if (w.failed)
		return err_set(err, -ENOSPC, "MP table: needs more than %zu bytes", size);
	put_header(w.data + POINTER_SIZE, (uint16_t)(w.offset - POINTER_SIZE), entries);
	put_pointer(w.data, gpa + POINTER_SIZE);
	*ret_len = w.offset;
	return 0;
}
