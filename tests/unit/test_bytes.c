/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

static void test_fields_round_trip(void **state)
{
	uint8_t wire[64];
	struct bytes_writer w = bytes_writer(wire, sizeof(wire));
	struct bytes_reader r;
	char text[8];

	(void)state;
	bytes_put_u8(&w, 0x12);
	bytes_put_u16(&w, 0x3456);
	bytes_put_u32(&w, 0x789abcde);
	bytes_put_u64(&w, 0x1122334455667788);
	bytes_put_text(&w, "name");
	assert_false(w.failed);
	assert_int_equal(w.offset, 1 + 2 + 4 + 8 + 2 + 4);
	assert_memory_equal(wire, "\x12\x56\x34\xde\xbc\x9a\x78\x88", 8);

	r = bytes_reader(wire, w.offset);
	assert_int_equal(bytes_get_u8(&r), 0x12);
	assert_int_equal(bytes_get_u16(&r), 0x3456);
	assert_int_equal(bytes_get_u32(&r), 0x789abcde);
	assert_int_equal(bytes_get_u64(&r), 0x1122334455667788);
	assert_true(bytes_get_text(&r, text, sizeof(text)));
	assert_string_equal(text, "name");
	assert_true(bytes_done(&r));
}

static void test_reader_fails_once_and_for_all(void **state)
{
	struct bytes_reader r = bytes_reader("\x01\x02\x03", 3);

	(void)state;
	assert_int_equal(bytes_get_u16(&r), 0x0201);
	assert_int_equal(bytes_get_u16(&r), 0);
	assert_true(r.failed);
	assert_int_equal(bytes_get_u8(&r), 0); /* although one byte is left */
	assert_false(bytes_done(&r));
}

static void test_text_refuses_nul_and_overlong(void **state)
{
	struct bytes_reader with_nul = bytes_reader("\x03\x00"
						    "a\0b",
		5);
	struct bytes_reader too_long = bytes_reader("\x04\x00"
						    "abcd",
		6);
	char text[4] = "old";

	(void)state;
	assert_false(bytes_get_text(&with_nul, text, sizeof(text)));
	assert_false(bytes_get_text(&too_long, text, sizeof(text)));
	assert_string_equal(text, "old");
}

static void test_writer_keeps_its_bound(void **state)
{
	uint8_t wire[4] = { 9, 9, 9, 9 };
	struct bytes_writer w = bytes_writer(wire, 3);

	(void)state;
	bytes_put_u16(&w, 0x0101);
	bytes_put_u16(&w, 0x0202);
	assert_true(w.failed);
	assert_memory_equal(wire, "\x01\x01\x09\x09", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_round_trip),
		cmocka_unit_test(test_reader_fails_once_and_for_all),
		cmocka_unit_test(test_text_refuses_nul_and_overlong),
		cmocka_unit_test(test_writer_keeps_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
