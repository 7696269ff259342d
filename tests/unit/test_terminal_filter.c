/* SPDX-License-Identifier: Apache-2.0 */
/* H6. Each case is run whole and split at every place: the result must be the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/terminal_filter.h"

struct filter_case {
	const char *in, *out;
};

static void run_split(enum terminal_filter_mode mode, const char *in, size_t split, char *out)
{
	struct terminal_filter f;
	size_t len = strlen(in), n;

	terminal_filter_init(&f, mode, true);
	n = terminal_filter_run(&f, (const uint8_t *)in, split, (uint8_t *)out);
	n += terminal_filter_run(&f, (const uint8_t *)in + split, len - split, (uint8_t *)out + n);
	out[n] = '\0';
}

static void check(enum terminal_filter_mode mode, const struct filter_case *cases, size_t count)
{
	char out[1024];

	for (size_t i = 0; i < count; i++) {
		for (size_t split = 0; split <= strlen(cases[i].in); split++) {
			run_split(mode, cases[i].in, split, out);
			assert_string_equal(out, cases[i].out);
		}
	}
}

static void test_what_passes(void **state)
{
	static const char *const same[] = {
		"plain text\r\n\ttab\b\a",
		"\033[1;31mred\033[0m \033[38;2;1;2;3mrgb\033[4:3m",
		"\033[?1049h\033[H\033[2J\033[?25l\033[10;20H\033[K\033[?1049l",
		"\033[?1000h\033[?1002h\033[?1006h\033[?2004h\033[?1004h",
		"\033[6n\033[5n\033[c\033[0c",
		"\033(0lqqk\033(B\033)0\016\017",
		"\0337\0338\033=\033>\033D\033M\033E\033H",
		"\033[3;20r\033[S\033[T\033[2L\033[M\033[P\033[4h\033[4l",
		"\033[2 q\033[!p\033[?1h\033[?1l\033[?7l\033[?7h",
		"\033[?1049;25h",
		"gr\xc3\xbc\xc3\x9f \xe2\x94\x80 \xf0\x9f\x98\x80 \xe2\x80\x8d",
	};
	struct filter_case c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		c = (struct filter_case){ same[i], same[i] };
		check(TERMINAL_FILTER_SCREEN, &c, 1);
	}
}

/* Where the guest does not get what the terminal sends, a shell would. */
static void test_a_muted_terminal_is_asked_nothing(void **state)
{
	static const char in[] =
		"a\033[6nb\033[5n\033[c\033[0cc\033[?1000h\033[?1003;25;1004h\033[?9h\033[1md";
	struct terminal_filter f;
	char out[256];
	size_t n;

	(void)state;
	terminal_filter_init(&f, TERMINAL_FILTER_SCREEN, true);
	terminal_filter_mute(&f);
	n = terminal_filter_run(&f, (const uint8_t *)in, strlen(in), (uint8_t *)out);
	out[n] = '\0';
	assert_string_equal(out, "abc\033[?25h\033[1md");
}

static void test_what_is_left_out(void **state)
{
	static const struct filter_case cases[] = {
		{ "a\033]0;title\ab", "ab" },
		{ "a\033]2;title\033\\b", "ab" },
		{ "a\033]52;c;cm0gLXJm\ab", "ab" },
		{ "a\033]8;;http://x\033\\link\033]8;;\033\\b", "alinkb" },
		{ "a\033]11;?\ab", "ab" },
		{ "a\033P$qm\033\\b", "ab" },
		{ "a\033_apc\033\\b\033^pm\033\\c\033Xsos\033\\d", "abcd" },
		{ "a\033ktitle\033\\b", "ab" },
		{ "a\033]0;x\033[1mb", "a\033[1mb" }, /* ESC ends a string */
		{ "a\033]0;x\030b", "ab" },
		{ "a\x9b"
		  "31mb",
			"a31mb" },
		{ "a\xc2\x9b"
		  "31mb",
			"a31mb" },
		{ "a\x9d"
		  "0;x\ab",
			"a0;x\ab" },
		{ "\xe2\x80\xae"
		  "evil\xe2\x80\xac",
			"evil" },
		{ "\xe2\x81\xa6x\xe2\x81\xa9\xd8\x9cy\xe2\x80\x8ez", "xyz" },
		{ "a\005b\001\x7f", "ab" },
		{ "\033[21t\033[20t\033[22;2t\033[14t", "" },
		{ "\033[>c\033[=c\033[>q\033[?6n\033[x\033[1$p\033[?25$p", "" },
		{ "\033[1;1;1;1;1;1*y\033[5i\033[?5i\033[>4;2m\033[?4m\033[>1u\033[?u\033[2h\033[12l",
			"" },
		{ "\033[?40h\033[?3h\033[?2048h\033[?1001h", "" },
		{ "\033[?40;25;3h", "\033[?25h" },
		{ "\033[61\"p\033 G\033%@\033%G\033Z\033[1;2;3;4;5T", "" },
		{ "\xc0\x9b"
		  "0m",
			"?0m" },
		{ "\xe0\x82\x9bm", "?m" },
		{ "\xff\xfe|\xe2\x28", "??|?(" },
		{ "\033\033[1mx", "\033[1mx" },
		{ "\033[1\n;31mx", "\n\033[1;31mx" },
		{ "\033[1\030mx", "mx" },
	};

	(void)state;
	check(TERMINAL_FILTER_SCREEN, cases, ARRAY_SIZE(cases));
}

static void test_log_and_text(void **state)
{
	static const struct filter_case log[] = {
		{ "\033[1mb\033[0m\r\n\033[6n\033[?1049h\033[Hx\a\033(0", "\033[1mb\033[0m\r\nx" },
	};
	static const struct filter_case text[] = {
		{ "a\033[31mb\nc", "ab?c" },
	};
	char out[16];

	(void)state;
	check(TERMINAL_FILTER_LOG, log, ARRAY_SIZE(log));
	check(TERMINAL_FILTER_TEXT, text, ARRAY_SIZE(text));
	assert_string_equal(terminal_filter_text("0123456789abcdef", out, sizeof(out)), "01234567");
}

static void test_long_sequences_are_bounded(void **state)
{
	struct terminal_filter f;
	uint8_t out[TERMINAL_FILTER_OUT_SIZE(1024)];
	uint8_t in[1024];
	size_t n = 0;

	(void)state;
	memset(in, '1', sizeof(in));
	memcpy(in, "\033[", 2);
	terminal_filter_init(&f, TERMINAL_FILTER_SCREEN, true);
	assert_int_equal(terminal_filter_run(&f, in, sizeof(in), out), 0);
	n = terminal_filter_run(&f, (const uint8_t *)"mx", 2, out);
	assert_int_equal(n, 1);
	assert_int_equal(out[0], 'x');
	/* A string without an end stops swallowing at its limit. */
	memset(in, 'y', sizeof(in));
	terminal_filter_run(&f, (const uint8_t *)"\033]0;", 4, out);
	n = 0;
	for (size_t i = 0; i < TERMINAL_FILTER_STRING_MAX / sizeof(in) + 2; i++)
		n += terminal_filter_run(&f, in, sizeof(in), out);
	assert_true(n > 0);
}

static void test_reset_undoes_what_is_on(void **state)
{
	static const char start[] = "\033[?1049h\033[?25l\033[?1000h\033[?1000l\033[?2004h\033=";
	struct terminal_filter f;
	uint8_t out[256];
	char reset[TERMINAL_FILTER_RESET_MAX];
	size_t n;

	(void)state;
	terminal_filter_init(&f, TERMINAL_FILTER_SCREEN, true);
	n = terminal_filter_reset(&f, reset);
	assert_memory_equal(reset, "\017\033(B\033[0m", n);
	terminal_filter_run(&f, (const uint8_t *)start, sizeof(start) - 1, out);
	n = terminal_filter_reset(&f, reset);
	reset[n] = '\0';
	assert_non_null(strstr(reset, "\033[?25h"));
	assert_non_null(strstr(reset, "\033[?1049l"));
	assert_non_null(strstr(reset, "\033[?2004l"));
	assert_non_null(strstr(reset, "\033>"));
	assert_null(strstr(reset, "\033[?1000l"));
	/* All at once still fits, with the colours last. */
	f.modes_on = UINT32_MAX;
	n = terminal_filter_reset(&f, reset);
	assert_memory_equal(reset + n - 4, "\033[0m", 4);
}

static void test_terminal_that_is_not_utf8(void **state)
{
	struct terminal_filter f;
	uint8_t out[64];

	(void)state;
	terminal_filter_init(&f, TERMINAL_FILTER_SCREEN, false);
	assert_int_equal(terminal_filter_run(&f, (const uint8_t *)"\xe2\x80\x9b[", 4, out), 2);
	assert_memory_equal(out, "?[", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_passes),
		cmocka_unit_test(test_a_muted_terminal_is_asked_nothing),
		cmocka_unit_test(test_what_is_left_out),
		cmocka_unit_test(test_log_and_text),
		cmocka_unit_test(test_long_sequences_are_bounded),
		cmocka_unit_test(test_reset_undoes_what_is_on),
		cmocka_unit_test(test_terminal_that_is_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
