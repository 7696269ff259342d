/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The tables that tell a stock kernel what machine this is (ACPI 6.5). Pure: a description in, bytes out.
 *
 * Hardware-reduced ACPI (4.1): no fixed hardware, no SCI; power goes through the sleep and reset registers at ports of
 * ours. Interrupts are edge-triggered, active high. RSDP, then XSDT, FADT, MADT and DSDT lie in one block.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/machine/machine.h"

#define ACPI_TABLES_SIZE_MAX (16u << 10)

struct acpi_request {
	uint64_t gpa; /* where the block will lie; 16-byte aligned, below 4 GiB */
	unsigned int vcpus;
	const struct machine_mmio_slot
		*slots; /* virtio-mmio, announced as LNRO0005 in this order */
	unsigned int slot_count;
	uint16_t sleep_control_port, sleep_status_port;
	uint8_t s5_sleep_type; /* SLP_TYP that powers off */
	uint16_t reset_port;
	uint8_t reset_value;
	uint16_t pvpanic_port; /* QEMU0001 */
	uint16_t serial_port; /* PNP0501; 0: none */
	unsigned int serial_gsi;
};

/* Fills out[size]; the RSDP is its first byte. -ENOSPC where size does not suffice (ACPI_TABLES_SIZE_MAX does). */
int acpi_build(const struct acpi_request *request, void *out, size_t size, size_t *ret_len,
	struct err *err);
