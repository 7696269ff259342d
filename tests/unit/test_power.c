/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/devices/power.h"

struct rig {
	struct power power;
	struct bus pio;
	enum machine_end end;
	unsigned int ends;
};

static void on_end(void *data, enum machine_end end)
{
	struct rig *rig = data;

	rig->end = end;
	rig->ends++;
}

static void rig_init(struct rig *rig)
{
	*rig = (struct rig){};
	power_init(&rig->power, on_end, rig);
	assert_int_equal(power_add(&rig->power, &rig->pio, NULL), 0);
}

static void out(struct rig *rig, uint64_t port, uint8_t value)
{
	bus_write(&rig->pio, port, &value, 1);
}

static uint8_t in(struct rig *rig, uint64_t port)
{
	uint8_t value;

	bus_read(&rig->pio, port, &value, 1);
	return value;
}

static void test_each_end_has_its_reason(void **state)
{
	const struct {
		uint64_t port;
		uint8_t value;
		enum machine_end end;
	} cases[] = {
		{ POWER_SLEEP_CONTROL_PORT, 0x20 | POWER_S5_SLEEP_TYPE << 2, MACHINE_END_POWEROFF },
		{ POWER_SLEEP_CONTROL_PORT, POWER_S5_SLEEP_TYPE << 2,
			MACHINE_END_NONE }, /* not enabled */
		{ POWER_SLEEP_CONTROL_PORT, 0x20 | 3 << 2, MACHINE_END_NONE }, /* no S3 here */
		{ POWER_SLEEP_STATUS_PORT, 0x80, MACHINE_END_NONE },
		{ POWER_RESET_PORT, POWER_RESET_VALUE, MACHINE_END_REBOOT },
		{ POWER_RESET_PORT, 0, MACHINE_END_NONE },
		{ POWER_KEYBOARD_PORT, POWER_KEYBOARD_RESET, MACHINE_END_REBOOT },
		{ POWER_KEYBOARD_PORT, 0x60, MACHINE_END_NONE },
		{ PVPANIC_PORT, PVPANIC_PANICKED, MACHINE_END_PANIC },
		{ PVPANIC_PORT, 2, MACHINE_END_NONE }, /* a crash kernel was loaded: not offered */
	};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_init(&rig);
		out(&rig, cases[i].port, cases[i].value);
		assert_int_equal(rig.end, cases[i].end);
		assert_int_equal(rig.ends, cases[i].end != MACHINE_END_NONE);
	}
}

static void test_reads(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(in(&rig, PVPANIC_PORT), PVPANIC_PANICKED);
	assert_int_equal(in(&rig, POWER_KEYBOARD_PORT), 0xfd);
	assert_int_equal(in(&rig, POWER_SLEEP_STATUS_PORT), 0);
	assert_int_equal(rig.ends, 0);
}

static void test_wide_writes_do_nothing(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	bus_write(&rig.pio, POWER_SLEEP_CONTROL_PORT, (const uint8_t *)"\x34\x34", 2);
	bus_write(&rig.pio, PVPANIC_PORT, (const uint8_t *)"\1\0", 2);
	assert_int_equal(rig.ends, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_end_has_its_reason),
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_wide_writes_do_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
