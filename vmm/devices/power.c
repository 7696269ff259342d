/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/power.h"

/* ACPI 6.4, 4.8.3.7: SLP_TYPx in bits 2..4, SLP_EN in bit 5. */
#define SLEEP_ENABLE	  0x20
#define SLEEP_TYPE(value) ((value) >> 2 & 7)

#define KEYBOARD_IDLE 0xfd

enum { OFFSET_CONTROL, OFFSET_STATUS, OFFSET_RESET };

void power_init(struct power *power, void (*on_end)(void *data, enum machine_end end), void *data)
{
	*power = (struct power){ .on_end = on_end, .data = data };
}

/* Write-only control; WAK_STS is never set, for no sleep is woken from here. */
static void acpi_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	(void)handler;
	(void)offset;
	for (unsigned int i = 0; i < len; i++)
		data[i] = 0;
}

static void acpi_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct power *power = handler;

	if (len != 1)
		return;
	if (offset == OFFSET_CONTROL && (data[0] & SLEEP_ENABLE) &&
		SLEEP_TYPE(data[0]) == POWER_S5_SLEEP_TYPE)
		power->on_end(power->data, MACHINE_END_POWEROFF);
	else if (offset == OFFSET_RESET && data[0] == POWER_RESET_VALUE)
		power->on_end(power->data, MACHINE_END_REBOOT);
}

static void pvpanic_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	(void)handler;
	(void)offset;
	(void)len; /* the range is one byte */
	data[0] = PVPANIC_PANICKED;
}

static void pvpanic_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct power *power = handler;

	(void)offset;
	(void)len;
	if (data[0] & PVPANIC_PANICKED)
		power->on_end(power->data, MACHINE_END_PANIC);
}

static void keyboard_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct power *power = handler;

	(void)offset;
	(void)len;
	if (data[0] == POWER_KEYBOARD_RESET)
		power->on_end(power->data, MACHINE_END_REBOOT);
}

static const struct bus_ops acpi_ops = {
	.name = "acpi-power", .read = acpi_read, .write = acpi_write
};
static const struct bus_ops pvpanic_ops = {
	.name = "pvpanic", .read = pvpanic_read, .write = pvpanic_write
};
/*
 * All ones, so that a driver finds no keyboard there, but "input buffer full" is off: a kernel that wants to reset waits
 * for that in a tight loop.
 */
static void keyboard_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	(void)handler;
	(void)offset;
	(void)len; /* the range is one byte */
	data[0] = KEYBOARD_IDLE;
}

static const struct bus_ops keyboard_ops = {
	.name = "keyboard-reset", .read = keyboard_read, .write = keyboard_write
};

int power_add(struct power *power, struct bus *pio, struct err *err)
{
	int r = bus_add(pio, POWER_PORT_FIRST, POWER_PORT_COUNT, &acpi_ops, power, err);

	if (r == 0)
		r = bus_add(pio, POWER_KEYBOARD_PORT, 1, &keyboard_ops, power, err);
	return r < 0 ? r : bus_add(pio, PVPANIC_PORT, PVPANIC_PORT_COUNT, &pvpanic_ops, power, err);
}
