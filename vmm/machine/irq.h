/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who has which interrupt. One I/O APIC in the kernel with 24 inputs, global system interrupts counted from 0, all of
 * ours edge-triggered and active high. KVM's default routing maps a GSI to the I/O APIC's input of the same number
 * (and, below 16, to the PIC, which ACPI guests leave masked).
 *
 * 0..3 are a PC's timer, keyboard, cascade and second serial port, which we have not, so nobody gets them; 4 is the
 * serial port (devices/serial.h); virtio devices follow.
 */
#define IRQ_GSI_COUNT	     24
#define IRQ_FIRST_DEVICE_GSI 5
