/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Processors and interrupts for a kernel that knows no ACPI (Intel MultiProcessor Specification 1.4, chapter 4): without it
 * such a kernel has neither its other CPUs, nor an I/O APIC, nor a timer. Pure. The floating pointer comes first, the
 * table directly behind it. Every input of the I/O APIC is an ISA interrupt of the same number, edge, active high, so that
 * virtio_mmio.device= can name it.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define MPTABLE_SIZE_MAX 4096

/* gpa: 16-byte aligned, in 0xf0000..0xfffff, where kernels look. -ENOSPC where size does not suffice. */
int mptable_build(
	uint64_t gpa, unsigned int vcpus, void *out, size_t size, size_t *ret_len, struct err *err);
