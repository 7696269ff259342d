/* SPDX-License-Identifier: Apache-2.0 */
/* Every spelling of a secret is masked, cut anywhere (E14). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/redact_oracle.h"
#include "vmm/base/array.h"

#define TEXT_MAX 4096

static uint8_t out[TEXT_MAX + 6 * REDACT_SECRET_MAX];

static struct redact *redact_of(const char *secret)
{
	struct redact *r = NULL;

	assert_int_equal(redact_create((const uint8_t *)secret, strlen(secret), &r), 0);
	return r;
}

/* All of it, in pieces of step bytes; 0: of random ones. */
static size_t run(const struct redact *r, const uint8_t *in, size_t len, size_t step)
{
	struct redact_stream s;
	size_t got = 0;

	assert_int_equal(redact_stream_init(&s, r), 0);
	for (size_t at = 0; at < len;) {
		size_t part = MIN(step ? step : 1 + (size_t)rand() % 40, len - at);

		got += redact_stream_take(&s, in + at, part, out + got);
		at += part;
	}
	got += redact_stream_end(&s, out + got);
	redact_stream_finish(&s);
	return got;
}

static void check(const struct redact *r, const char *in, const char *wanted)
{
	for (size_t step = 1; step < 40; step++) {
		size_t got = run(r, (const uint8_t *)in, strlen(in), step);

		out[got] = '\0';
		assert_string_equal((const char *)out, wanted);
	}
}

/* The spellings that other programs made of this secret, written down. */
static void test_spellings(void **state)
{
	struct redact *r = redact_of("s3cr/t+\"k&y~");
	static const char *const spellings[] = {
		"s3cr/t+\"k&y~",
		"s3cr%2Ft%2B%22k%26y~", /* RFC 3986, python's quote(safe='') */
		"s3cr%2ft%2b%22k%26y~",
		"s3cr/t+%22k&y~", /* encodeURI() */
		"s3cr/t%2B%22k%26y~", /* python's quote() */
		"s3cr%2Ft+%22k&y~", /* Go's PathEscape() */
		"s3cr/t+\\\"k\\u0026y~", /* Go's encoding/json */
		"s3cr%2Ft%2B%22k%26y%7E", /* URLSearchParams */
		"%73%33%63%72%2f%74%2b%22%6b%26%79%7e",
		"733363722f742b226b26797e",
		"733363722F742B226B26797E",
		"s3cr/t+\\\"k&y~", /* JSON.stringify() */
		"s3cr\\/t+\\\"k&y~", /* PHP */
		"s3cr/t\\u002b\\\"k\\u0026y~", /* with <>&'+ kept from HTML */
		"s3cr\\u002ft\\u002b\\u0022k\\u0026y\\u007e",
		"\\u0073\\u0033\\u0063\\u0072\\u002F\\u0074\\u002B\\u0022\\u006B\\u0026\\u0079\\u007E",
		"czNjci90KyJrJnl+", /* base64 of it alone */
		"czNjci90KyJrJnl-",
	};
	char text[256], wanted[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
		size_t len = strlen(spellings[i]);

		memcpy(text, "[", 1);
		memcpy(text + 1, spellings[i], len);
		memcpy(text + 1 + len, "]", 2);
		memcpy(wanted, text, len + 3);
		memset(wanted + 1, REDACT_MARK, len);
		check(r, text, wanted);
	}
	check(r, "s3cr/t+\"k&y", "s3cr/t+\"k&y");
	check(r, "s3s3cr/t+\"k&y~s3cr/t+\"k&y~~", "s3************************~");
	redact_destroy(r);
}

/* Base64 of `user:` and the secret, as Basic has it: what is the secret's alone goes. */
static void test_base64_inside(void **state)
{
	struct redact *r = redact_of("correct-horse");

	(void)state;
	check(r, "Y29ycmVjdC1ob3JzZQ==", "*****************Q==");
	check(r, "eDpjb3JyZWN0LWhvcnNl", "eDp*****************");
	check(r, "eDo6Y29ycmVjdC1ob3JzZTo=", "eDo6*****************To=");
	redact_destroy(r);
}

static void test_what_is_no_secret(void **state)
{
	static const uint8_t large[REDACT_SECRET_MAX + 1] = { 0 };
	struct redact *r = NULL;

	(void)state;
	assert_int_equal(redact_create(large, REDACT_SECRET_MIN - 1, &r), -EINVAL);
	assert_int_equal(redact_create(large, 0, &r), -EINVAL);
	assert_int_equal(redact_create(large, REDACT_SECRET_MAX + 1, &r), -EINVAL);
	assert_null(r);
	assert_int_equal(redact_create(large, REDACT_SECRET_MAX, &r), 0);
	redact_destroy(r);
	assert_int_equal(redact_create(large, REDACT_SECRET_MIN, &r), 0);
	redact_destroy(r);
	redact_destroy(NULL);
}

/* Nothing waits that cannot become a form: an event stream goes on. */
static void test_holds_back_no_more(void **state)
{
	static const char text[] = "data: s3cret-tokes3\n\ndata: s3cret-token\n\nx%73%3";
	struct redact *r = redact_of("s3cret-token");
	struct redact_forms forms;
	struct redact_stream s;
	size_t got = 0;

	(void)state;
	assert_int_equal(redact_forms_init(&forms, (const uint8_t *)"s3cret-token", 12), 0);
	assert_int_equal(redact_stream_init(&s, r), 0);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		size_t begun = oracle_begun(&forms, (const uint8_t *)text, i + 1);

		got += redact_stream_take(&s, (const uint8_t *)text + i, 1, out + got);
		if (got != i + 1 - begun)
			fail_msg("after %zu bytes %zu were passed on, %zu have begun", i + 1, got,
				begun);
	}
	redact_stream_finish(&s);
	redact_forms_finish(&forms);
	redact_destroy(r);
}

static size_t random_text(const struct redact_forms *forms, uint8_t *text)
{
	size_t len = 0;

	while (len < TEXT_MAX / 2) {
		size_t i = (size_t)rand() % forms->count;
		size_t form_len = forms->list[i].len, part = form_len;

		if (len + form_len > TEXT_MAX)
			break;
		/* whole, a beginning, an end with its beginning gone, or other bytes */
		switch (rand() % 5) {
		case 0:
			part = 1 + (size_t)rand() % form_len;
			memcpy(text + len, forms->list[i].bytes, part);
			break;
		case 1:
			part = 1 + (size_t)rand() % form_len;
			memcpy(text + len, forms->list[i].bytes + form_len - part, part);
			break;
		case 2:
			part = 1 + (size_t)rand() % 20;
			for (size_t k = 0; k < part; k++)
				text[len + k] = (uint8_t)(rand() % 3 ? 'a' + rand() % 4 : rand());
			break;
		default:
			memcpy(text + len, forms->list[i].bytes, form_len);
			break;
		}
		len += part;
	}
	return len;
}

/* Any cuts give what the slow way gives, in which no form is left. */
static void test_any_cuts(void **state)
{
	static const char *const secrets[] = { "aaaaaa", "abababab", "aabaabaab",
		"ghp_0123456789abcdefXYZ", "%41%41%41", "\\u0041\\u0041", "a/b\"c\\d<e>f",
		"00000000", "3030303030", "p\xc3\xa9p\xc3\xa9p\xc3\xa9",
		"-----BEGIN KEY-----\nMIIB\n-----END KEY-----\n", "YWFhYWFh", "333333" };
	static uint8_t text[TEXT_MAX], wanted[TEXT_MAX];

	(void)state;
	srand(14);
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		struct redact *r = redact_of(secrets[i]);
		struct redact_forms forms;

		assert_int_equal(
			redact_forms_init(&forms, (const uint8_t *)secrets[i], strlen(secrets[i])),
			0);
		for (size_t round = 0; round < 60; round++) {
			size_t len = random_text(&forms, text);

			oracle_mask(&forms, text, len, wanted);
			for (size_t step = 0; step < 3; step++) {
				assert_int_equal(run(r, text, len, step == 2 ? len : step), len);
				assert_memory_equal(out, wanted, len);
			}
			for (size_t k = 0; k < forms.count; k++)
				assert_null(memmem(
					wanted, len, forms.list[k].bytes, forms.list[k].len));
		}
		redact_forms_finish(&forms);
		redact_destroy(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_base64_inside),
		cmocka_unit_test(test_what_is_no_secret),
		cmocka_unit_test(test_holds_back_no_more),
		cmocka_unit_test(test_any_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
