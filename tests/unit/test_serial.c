/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/devices/serial.h"

struct rig {
	struct loop *loop;
	struct serial serial;
	struct bus pio;
	char seen[2 * SERIAL_OUTPUT_MAX];
	size_t seen_len;
	unsigned int irqs;
};

static void on_output(void *data, const void *bytes, size_t len)
{
	struct rig *rig = data;

	assert_true(len <= sizeof(rig->seen) - rig->seen_len);
	memcpy(rig->seen + rig->seen_len, bytes, len);
	rig->seen_len += len;
}

static void on_irq(void *data)
{
	struct rig *rig = data;

	rig->irqs++;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct serial_config config = {
		.output = on_output,
		.output_data = rig,
		.raise_irq = on_irq,
		.irq_data = rig,
	};

	assert_int_equal(loop_create(&rig->loop), 0);
	config.loop = rig->loop;
	assert_int_equal(serial_init(&rig->serial, &config, NULL), 0);
	assert_int_equal(serial_add(&rig->serial, &rig->pio, NULL), 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	serial_finish(&rig->serial);
	loop_destroy(rig->loop);
	free(rig);
	return 0;
}

static void out(struct rig *rig, unsigned int reg, uint8_t value)
{
	bus_write(&rig->pio, SERIAL_PORT + reg, &value, 1);
}

static uint8_t in(struct rig *rig, unsigned int reg)
{
	uint8_t value;

	bus_read(&rig->pio, SERIAL_PORT + reg, &value, 1);
	return value;
}

static void run_loop(struct rig *rig)
{
	while (loop_run_once(rig->loop, 50) > 0)
		;
}

static void test_output_reaches_the_log(void **state)
{
	struct rig *rig = *state;

	for (const char *p = "hello\n"; *p; p++) {
		assert_int_equal(in(rig, 5) & 0x60, 0x60);
		out(rig, 0, (uint8_t)*p);
	}
	assert_int_equal(rig->seen_len, 0);
	run_loop(rig);
	assert_int_equal(rig->seen_len, 6);
	assert_memory_equal(rig->seen, "hello\n", 6);
	out(rig, 0, '!');
	run_loop(rig);
	assert_memory_equal(rig->seen, "hello\n!", 7);
	assert_int_equal(rig->irqs, 0);
}

/* V10: a flood is capped, counted, and over when the loop has caught up. */
static void test_flood_is_capped(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < SERIAL_OUTPUT_MAX + 100; i++)
		out(rig, 0, 'x');
	assert_int_equal(rig->serial.dropped, 100);
	serial_flush(&rig->serial);
	assert_int_equal(rig->seen_len, SERIAL_OUTPUT_MAX);
	out(rig, 0, 'y');
	run_loop(rig);
	assert_int_equal(rig->seen[rig->seen_len - 1], 'y');
}

/* What Linux' 8250 driver looks at to tell a 16550A from its kin. */
static void test_detection(void **state)
{
	struct rig *rig = *state;

	out(rig, 1, 0);
	assert_int_equal(in(rig, 1) & 0x0f, 0);
	out(rig, 1, 0x0f);
	assert_int_equal(in(rig, 1) & 0x0f, 0x0f);
	out(rig, 1, 0);
	out(rig, 4, 0x10 | 0x0a); /* loop-back */
	assert_int_equal(in(rig, 6) & 0xf0, 0x90);
	out(rig, 4, 0);
	assert_int_equal(in(rig, 6) & 0xb0, 0xb0);
	out(rig, 2, 0x01);
	assert_int_equal(in(rig, 2) >> 6, 3);
	out(rig, 2, 0);
	assert_int_equal(in(rig, 2) >> 6, 0);
	out(rig, 7, 0x5a);
	assert_int_equal(in(rig, 7), 0x5a);
	out(rig, 3, 0x80);
	out(rig, 0, 0x01);
	out(rig, 1, 0x02);
	assert_int_equal(in(rig, 0), 1);
	assert_int_equal(in(rig, 1), 2);
	out(rig, 3, 0x03);
	assert_int_equal(in(rig, 1), 0);
	run_loop(rig);
	assert_int_equal(rig->seen_len, 0); /* the divisor is no output */
}

/* The driver's own test for lazy UARTs: asking twice for THRI gives it twice. */
static void test_empty_holding_register_interrupts(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(in(rig, 2), 0x01);
	for (unsigned int i = 1; i <= 2; i++) {
		out(rig, 1, 0x02);
		assert_int_equal(rig->irqs, i);
		assert_int_equal(in(rig, 2), 0x02);
		assert_int_equal(in(rig, 2), 0x01);
		out(rig, 1, 0);
	}
	out(rig, 1, 0x02);
	in(rig, 2);
	out(rig, 0, 'a');
	assert_int_equal(rig->irqs, 4);
	assert_int_equal(in(rig, 2), 0x02);
}

static void test_input(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(serial_input(&rig->serial, "ab", 2), 2);
	assert_int_equal(rig->irqs, 0);
	out(rig, 1, 0x01);
	assert_int_equal(rig->irqs, 1); /* what waits already counts */
	assert_int_equal(in(rig, 2), 0x04);
	assert_int_equal(in(rig, 5) & 1, 1);
	assert_int_equal(in(rig, 0), 'a');
	assert_int_equal(serial_input(&rig->serial, "c", 1), 1);
	assert_int_equal(rig->irqs, 2);
	assert_int_equal(in(rig, 0), 'b');
	assert_int_equal(in(rig, 0), 'c');
	assert_int_equal(in(rig, 5) & 1, 0);
	assert_int_equal(in(rig, 0), 0);
}

static void test_input_is_bounded(void **state)
{
	struct rig *rig = *state;
	char many[SERIAL_INPUT_MAX + 1] = {};

	assert_int_equal(serial_input(&rig->serial, many, sizeof(many)), SERIAL_INPUT_MAX);
	assert_int_equal(serial_input(&rig->serial, many, 1), 0);
	out(rig, 4, 0x10);
	out(rig, 0, 'x'); /* looped back onto a full ring */
	assert_int_equal(in(rig, 5) & 2, 2);
	assert_int_equal(in(rig, 5) & 2, 0);
	out(rig, 2, 0x03);
	assert_int_equal(in(rig, 5) & 1, 0);
}

static void test_wide_accesses_are_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t data[4] = { 'a', 'b', 'c', 'd' };

	bus_write(&rig->pio, SERIAL_PORT, data, 4);
	bus_read(&rig->pio, SERIAL_PORT + 4, data, 4);
	assert_memory_equal(data, "\xff\xff\xff\xff", 4);
	run_loop(rig);
	assert_int_equal(rig->seen_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output_reaches_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood_is_capped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detection, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_empty_holding_register_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wide_accesses_are_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
