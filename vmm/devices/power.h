/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a guest says that it is done: ACPI's sleep and reset registers of a hardware-reduced machine (ACPI 6.4, 4.8.3.7
 * and 4.8.3.6), and pvpanic. The constants are what the ACPI tables announce (machine/acpi.c), so each has one home.
 *
 * Threads: handlers run on vCPU threads; they only tell `on_end`, which must take any thread. The struct is constant
 * after power_init().
 */
#include "vmm/base/event.h"
#include "vmm/machine/bus.h"

#define POWER_SLEEP_CONTROL_PORT 0x600 /* one byte each */
#define POWER_SLEEP_STATUS_PORT	 0x601
#define POWER_RESET_PORT	 0x602
#define POWER_RESET_VALUE	 0x01 /* FADT's RESET_VALUE */
#define POWER_PORT_FIRST	 POWER_SLEEP_CONTROL_PORT
#define POWER_PORT_COUNT	 3
#define POWER_S5_SLEEP_TYPE	 5 /* what \_S5 tells the guest to write as SLP_TYPx */

/* The keyboard controller's command port: how kernels without ACPI reset a PC. */
#define POWER_KEYBOARD_PORT  0x64
#define POWER_KEYBOARD_RESET 0xfe

#define PVPANIC_PORT	   0x505
#define PVPANIC_PORT_COUNT 1
#define PVPANIC_PANICKED   0x01 /* the one event offered */

struct power {
	void (*on_end)(void *data, enum machine_end end);
	void *data;
};

void power_init(struct power *power, void (*on_end)(void *data, enum machine_end end), void *data);
/* Puts the handlers on the port bus. */
int power_add(struct power *power, struct bus *pio, struct err *err);
