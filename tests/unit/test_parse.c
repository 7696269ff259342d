/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/checked.h"
#include "vmm/base/err.h"
#include "vmm/base/parse.h"

static void test_numbers(void **state)
{
	static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x10", "1e3",
		"18446744073709551616", "1a" };
	uint64_t v = 7;

	(void)state;
	assert_true(parse_u64("18446744073709551615", 0, UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	v = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(parse_u64(bad[i], 0, UINT64_MAX, &v));
	assert_false(parse_u64("4", 5, 6, &v));
	assert_false(parse_u64("7", 5, 6, &v));
	assert_int_equal(v, 7);
}

static void test_sizes_and_times(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(parse_size("2G", &v));
	assert_true(v == 2ull << 30);
	assert_true(parse_size("512MiB", &v));
	assert_true(v == 512ull << 20);
	assert_true(parse_size("2g", &v));
	assert_int_equal(v, 2ull << 30);
	assert_true(parse_size("3kib", &v));
	assert_int_equal(v, 3 << 10);
	assert_false(parse_size("2g5", &v));
	assert_false(parse_size("16777216T", &v));
	assert_false(parse_size("G", &v));
	assert_true(parse_duration_ms("90", &v));
	assert_int_equal(v, 90000);
	assert_true(parse_duration_ms("250ms", &v));
	assert_int_equal(v, 250);
	assert_true(parse_duration_ms("2h", &v));
	assert_int_equal(v, 7200000);
	assert_false(parse_duration_ms("2 h", &v));
}

/* H13 */
static void test_names(void **state)
{
	static const char *const good[] = { "a", "0", "my-project", "a--",
		"abcdefghijklmnopqrstuvwxyz01234567890abcd" };
	static const char *const bad[] = { "", "-a", "A", "a_b", "a.b", "a/b", "../a", "a b", "a\n",
		"abcdefghijklmnopqrstuvwxyz01234567890abcde", "$(id)", "\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(sandbox_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(sandbox_name_valid(bad[i]));
}

static void test_hex_digits(void **state)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	(void)state;
	for (int c = -128; c < 128; c++) {
		const char *at = c ? strchr(digits, c) : NULL;
		int value = at ? (int)(at - digits) : -1;

		assert_int_equal(parse_hex_digit((char)c), value > 15 ? value - 6 : value);
	}
}

static void test_checked_arithmetic(void **state)
{
	uint32_t v = 1;

	(void)state;
	assert_false(checked_add(UINT32_MAX, 1u, &v));
	assert_false(checked_mul(1u << 31, 2u, &v));
	assert_false(checked_sub(1u, 2u, &v));
	assert_int_equal(v, 1);
	assert_true(range_fits(4, 4, 8));
	assert_false(range_fits(4, 5, 8));
	assert_false(range_fits(UINT64_MAX, 2, 8));
	assert_false(range_fits(9, 0, 8));
	assert_true(is_power_of_two(64));
	assert_false(is_power_of_two(0));
	assert_int_equal(align_up(4097, 4096), 8192);
}

static void test_decimal_words(void **state)
{
	char word[DECIMAL_MAX];

	(void)state;
	assert_string_equal(decimal_of(0, word), "0");
	assert_string_equal(decimal_of(443, word), "443");
	assert_string_equal(decimal_of(UINT64_MAX, word), "18446744073709551615");
}

static void test_errors_keep_code_text_and_way_out(void **state)
{
	struct err err = {};

	(void)state;
	assert_int_equal(err_set(&err, -ENOENT, "kernel %s: not there\n", "x"), -ENOENT);
	assert_string_equal(err.text, "kernel x: not there?");
	err_next_step(&err, "run %s", "this");
	assert_int_equal(err_prefix(&err, -EIO, "start"), -EIO);
	assert_string_equal(err.text, "start: kernel x: not there?");
	assert_string_equal(err.next_step, "run this");
	assert_int_equal(err_set(NULL, -EPERM, "nobody reads this"), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes_and_times),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_hex_digits),
		cmocka_unit_test(test_checked_arithmetic),
		cmocka_unit_test(test_decimal_words),
		cmocka_unit_test(test_errors_keep_code_text_and_way_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
