/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/supervisor/json.h"

static json_t *parse(const char *text)
{
	json_t *json = NULL;

	return json_parse_object(text, strlen(text), 4096, "test", &json, NULL) == 0 ? json : NULL;
}

static void test_only_one_object_is_taken(void **state)
{
	char deep[64] = "{\"a\":";

	(void)state;
	assert_null(parse("[]"));
	assert_null(parse("{} {}"));
	assert_null(parse("{\"a\":1,\"a\":2}"));
	assert_null(parse("{\"a\":\"x\\u0000y\"}"));
	memset(deep + 5, '[', 40);
	assert_null(parse(deep));
}

static void test_fields_are_asked_for_by_type_and_bound(void **state)
{
	_cleanup_json_ json_t *json =
		parse("{\"n\": 7, \"t\": \"word\", \"b\": true, \"l\": [\"x\", \"y\"]}");
	struct err err = {};
	struct json_reader r = json_reader(json, "test", &err);
	char **texts;

	(void)state;
	assert_int_equal(json_get_u64(&r, "n", 0, 7), 7);
	assert_string_equal(json_get_text(&r, "t", 4), "word");
	assert_true(json_get_bool(&r, "b"));
	texts = json_get_texts(&r, "l", 2, 1);
	assert_string_equal(texts[1], "y");
	assert_null(texts[2]);
	json_free_texts(texts);
	assert_int_equal(json_get_u64_or(&r, "absent", 0, 9, 3), 3);
	assert_int_equal(json_reader_done(&r), 0);
}

static void test_the_first_mistake_stays(void **state)
{
	_cleanup_json_ json_t *json = parse("{\"n\": 8, \"t\": \"words\"}");
	struct err err = {};
	struct json_reader r = json_reader(json, "test", &err);

	(void)state;
	assert_int_equal(json_get_u64(&r, "n", 0, 7), 0);
	assert_null(json_get_text(&r, "t", 4));
	assert_int_equal(json_reader_done(&r), -EINVAL);
	assert_non_null(strstr(err.text, "field n"));
}

static void test_what_was_not_asked_for_is_an_error(void **state)
{
	_cleanup_json_ json_t *json = parse("{\"n\": 1, \"other\": 2}");
	struct json_reader r = json_reader(json, "test", NULL);

	(void)state;
	json_get_u64(&r, "n", 0, 1);
	assert_int_equal(json_reader_done(&r), -EINVAL);
}

static void test_wrong_types(void **state)
{
	static const char *const wrong[] = { "{\"n\": \"1\"}", "{\"n\": -1}", "{\"n\": 1.5}",
		"{\"n\": null}", "{\"n\": [1]}" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		_cleanup_json_ json_t *json = parse(wrong[i]);
		struct json_reader r = json_reader(json, "test", NULL);

		assert_non_null(json);
		json_get_u64(&r, "n", 0, 10);
		assert_true(r.failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_one_object_is_taken),
		cmocka_unit_test(test_fields_are_asked_for_by_type_and_bound),
		cmocka_unit_test(test_the_first_mistake_stays),
		cmocka_unit_test(test_what_was_not_asked_for_is_an_error),
		cmocka_unit_test(test_wrong_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
