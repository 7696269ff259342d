/* SPDX-License-Identifier: Apache-2.0 */
/* Field names, values and lists; what never passes (E24). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"

static void test_names_and_values(void **state)
{
	static const char *const bad_names[] = { "", "A", "a b", "a:", "a\r", "a\n", "a(", "a,b",
		"\xc3\xa9", "a\x7f", "a/b", "a\"", "a\tb" };
	static const char *const bad_values[] = { " a", "a ", "\ta", "a\t", "a\rb", "a\nb",
		"a\r\nb", "a\x01", "a\x7f", "\x1b[0m" };
	static char name[RECORD_NAME_MAX + 2], value[RECORD_FIELD_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++)
		if (field_name_valid(bad_names[i]))
			fail_msg("name '%s'", bad_names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad_values); i++)
		if (field_value_valid(bad_values[i]))
			fail_msg("value '%s'", bad_values[i]);
	assert_true(field_name_valid("!#$%&'*+-.^_`|~09az"));
	assert_true(field_value_valid("") && field_value_valid("a \t b; \"\xc3\xa9\""));
	memset(name, 'a', RECORD_NAME_MAX);
	assert_true(field_name_valid(name));
	name[RECORD_NAME_MAX] = 'a';
	assert_false(field_name_valid(name));
	memset(value, 'a', RECORD_FIELD_MAX);
	assert_true(field_value_valid(value));
	value[RECORD_FIELD_MAX] = 'a';
	assert_false(field_value_valid(value));
	assert_true(field_token_valid("GET", 3) && !field_token_valid("GETS", 3));
	assert_true(field_name_is("x_forwarded-For", "X-Forwarded_For"));
	assert_false(field_name_is("x-a", "x-ab") || field_name_is("x-ab", "x-a"));
}

static void test_lists(void **state)
{
	struct record_fields fields = {};

	(void)state;
	assert_true(fields_add(&fields, "connection", ", , Keep-Alive ,\tCLOSE"));
	assert_true(fields_add(&fields, "a", "1"));
	assert_true(fields_add(&fields, "a", "2"));
	assert_true(fields_list_has(&fields, "connection", "close"));
	assert_true(fields_list_has(&fields, "connection", "keep-alive"));
	assert_false(fields_list_has(&fields, "connection", "clos"));
	assert_false(fields_list_has(&fields, "connection", "close2"));
	assert_false(fields_list_has(&fields, "upgrade", "close"));
	assert_string_equal(fields_get(&fields, "a"), "1");
	assert_null(fields_get(&fields, "b"));
	assert_int_equal(fields_count(&fields, "a"), 2);
	fields_remove(&fields, "A");
	assert_int_equal(fields.count, 1);
	while (fields.count < RECORD_FIELDS_MAX)
		assert_true(fields_add(&fields, "x", "y"));
	assert_false(fields_add(&fields, "x", "y"));
}

static void test_what_never_passes(void **state)
{
	static const char *const dropped[] = { "connection", "keep-alive", "proxy-connection",
		"proxy-authorization", "proxy-authenticate", "te", "trailer", "transfer-encoding",
		"transfer_encoding", "upgrade", "http2-settings", "content-length",
		"content_length", "host", "x-http-method", "x-http-method-override",
		"x_http_method_override", "x-method-override", "x-original-url", "x_original_url",
		"x-rewrite-url", "forwarded", "forwarded-for", "x-forwarded", "x-forwarded-for",
		"x-forwarded-host", "x_forwarded_proto", "x-host", "alt-svc", "alt-used" };
	static const char *const kept[] = { "accept", "x-forward", "x-original", "content-type",
		"hosts", "tea", "cookie", "x-http", "alt", "connections" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
		struct record_fields fields = {};

		assert_true(fields_add(&fields, "accept", "*/*"));
		assert_true(fields_add(&fields, dropped[i], "x"));
		assert_true(fields_add(&fields, dropped[i], "y"));
		assert_true(fields_add(&fields, "user-agent", "z"));
		assert_true(fields_strip(&fields));
		if (fields.count != 2)
			fail_msg("%s passes", dropped[i]);
		assert_string_equal(fields.list[1].value, "z");
		assert_false(field_name_in_trailers(dropped[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		struct record_fields fields = {};

		assert_true(fields_add(&fields, kept[i], "x"));
		assert_true(fields_strip(&fields));
		assert_int_equal(fields.count, 1);
	}
	assert_false(field_name_in_trailers("authorization"));
	assert_true(field_name_in_trailers("grpc-status"));
}

static void test_what_connection_names(void **state)
{
	struct record_fields fields = {};
	char many[3 * FIELDS_CONNECTION_MAX + 8] = "";

	(void)state;
	fields_add(&fields, "x-one", "1");
	fields_add(&fields, "connection", "close, X-One ,x-two");
	fields_add(&fields, "x_two", "2");
	fields_add(&fields, "connection", "x-three,connection,connection");
	fields_add(&fields, "x-three", "3");
	fields_add(&fields, "x-four", "4");
	assert_true(fields_strip(&fields));
	assert_int_equal(fields.count, 1);
	assert_string_equal(fields.list[0].name, "x-four");

	fields.count = 0;
	fields_add(&fields, "connection", "a b");
	assert_false(fields_strip(&fields));
	fields.count = 0;
	fields_add(&fields, "connection", "x;y");
	assert_false(fields_strip(&fields));
	for (size_t i = 0; i < FIELDS_CONNECTION_MAX; i++)
		strcat(many, "a, ");
	fields.count = 0;
	fields_add(&fields, "connection", many);
	assert_true(fields_strip(&fields));
	strcat(many, "a");
	fields_add(&fields, "connection", many);
	assert_false(fields_strip(&fields));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_values),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_what_never_passes),
		cmocka_unit_test(test_what_connection_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
