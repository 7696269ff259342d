/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of credentials: the guest's own go (E13), the bound one comes, into its place alone (E14, E15). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"
#include "vsock-proxy/inject.h"

static struct inject_output out;
static const struct inject_secret secret = { "s3cret/value+x", 14 };

static struct record_request make(const char *query)
{
	struct record_request m = {
		.request = { .protocol = POLICY_PROTOCOL_HTTP,
			.port = 443,
			.secure = true,
			.method = "GET",
			.path = "/",
			.query = query },
		.fields = { .count = 2, .list = { { "accept", "*/*" }, { "user-agent", "x" } } },
	};

	return m;
}

static struct policy_binding binding(enum policy_scheme scheme)
{
	return (struct policy_binding){ .id = "b",
		.secret = "KEY",
		.scheme = scheme,
		.header = scheme == POLICY_SCHEME_QUERY ? "" : "authorization",
		.prefix = "",
		.username = "user",
		.parameter = "api-key" };
}

static void test_the_guests_own_go(void **state)
{
	static const char *const gone[] = { "authorization", "proxy-authorization", "cookie",
		"x-api-key", "x_api_key", "private-token", "private_token", "job-token",
		"x-vault-token", "x-amz-security-token", "x-goog-api-key", "x-auth-token",
		"api-key", "apikey", "npm-otp", "x-client-secret", "x-nuget-apikey", "xi-api-key",
		"x-algolia-api-key", "x-serverless-authorization", "x-authorization",
		"x_master_key", "x-authtoken", "x-jfrog-art-api" };
	static const char *const kept[] = { "accept", "content-type", "user-agent",
		"idempotency-key", "sec-websocket-key", "if-none-match", "mcp-session-id",
		"x-idempotency-key", "anthropic-version", "authority", "x-request-id", "range",
		"npm-auth-type" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		struct record_request m = make(NULL);

		fields_add(&m.fields, gone[i], "guest's");
		assert_int_equal(inject_apply(&m, false, NULL, NULL, &out, NULL), 0);
		if (fields_get(&out.fields, gone[i]))
			fail_msg("%s passed", gone[i]);
		assert_int_equal(out.fields.count, 2);
		assert_int_equal(out.stripped, 1);
		assert_int_equal(inject_apply(&m, true, NULL, NULL, &out, NULL), 0);
		assert_string_equal(fields_get(&out.fields, gone[i]), "guest's");
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		struct record_request m = make(NULL);

		m.fields.count = 0;
		fields_add(&m.fields, kept[i], "x");
		assert_int_equal(inject_apply(&m, false, NULL, NULL, &out, NULL), 0);
		if (!fields_get(&out.fields, kept[i]))
			fail_msg("%s was taken out", kept[i]);
	}
}

static void test_parameters_of_the_guests(void **state)
{
	static const struct {
		const char *query, *left;
	} cases[] = {
		{ "a=b", "a=b" },
		{ "access_token=x", NULL },
		{ "a=b&access_token=x&c=d", "a=b&c=d" },
		{ "Access-Token=x&a=b", "a=b" },
		{ "%61ccess%5Ftoken=x&a=b", "a=b" },
		{ "a=b;api_key=x;c=d", "a=b;c=d" },
		{ "key=x", NULL },
		{ "X-Amz-Signature=x&X-Amz-Date=1", "X-Amz-Date=1" },
		{ "sig=1&se=2", "se=2" },
		{ "a&token&b", "a&b" },
		{ "monkey=x&keyword=y", "monkey=x&keyword=y" },
		{ "pageToken=x", "pageToken=x" },
		{ "accessToken=x&apiKey=y&clientSecret=z&subscription-key=k&a=b", "a=b" },
		{ "+key=x&%20key=y&api+key=z&api.key=z&api[key=z&a=b", "a=b" },
		{ "sort.key=x&a[b]=c", "sort.key=x&a[b]=c" },
		{ "", "" },
		{ "&&a", "a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record_request m = make(cases[i].query);

		assert_int_equal(inject_apply(&m, false, NULL, NULL, &out, NULL), 0);
		if (!cases[i].left)
			assert_null(out.query);
		else
			assert_string_equal(out.query, cases[i].left);
		assert_int_equal(inject_apply(&m, true, NULL, NULL, &out, NULL), 0);
	}
}

/* E24: whatever else may pass. */
static void test_no_other_method(void **state)
{
	struct record_request m =
		make("_method=DELETE&a=b&X-HTTP-Method-Override=PUT&%5fHttpMethod=PATCH&method=x");

	(void)state;
	assert_int_equal(inject_apply(&m, true, NULL, NULL, &out, NULL), 0);
	assert_string_equal(out.query, "a=b&method=x");
}

/* Where browsers' clients put what they may put into no field. */
static void test_a_websockets_subprotocols(void **state)
{
	static const struct {
		const char *value;
		bool passes;
	} cases[] = {
		{ "graphql-transport-ws", true },
		{ "v5.channel.k8s.io, chat", true },
		{ "realtime, openai-insecure-api-key.sk-1", false },
		{ "base64url.bearer.authorization.k8s.io.dG9r, v5.channel.k8s.io", false },
		{ "chat,access_token,eyJh", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record_request m = make(NULL);

		fields_add(&m.fields, "sec-websocket-protocol", cases[i].value);
		assert_int_equal(inject_apply(&m, false, NULL, NULL, &out, NULL), 0);
		if (!fields_get(&out.fields, "sec-websocket-protocol") == cases[i].passes)
			fail_msg("%s", cases[i].value);
		assert_int_equal(inject_apply(&m, true, NULL, NULL, &out, NULL), 0);
		assert_non_null(fields_get(&out.fields, "sec-websocket-protocol"));
	}
}

static void test_the_bound_one_comes(void **state)
{
	struct policy_binding b = binding(POLICY_SCHEME_BEARER);
	struct record_request m = make("a=b");

	(void)state;
	fields_add(&m.fields, "authorization", "guest's");
	assert_int_equal(inject_apply(&m, false, &b, &secret, &out, NULL), 0);
	assert_int_equal(fields_count(&out.fields, "authorization"), 1);
	assert_string_equal(fields_get(&out.fields, "authorization"), "Bearer s3cret/value+x");
	assert_string_equal(out.query, "a=b");
	b = binding(POLICY_SCHEME_BASIC);
	assert_int_equal(inject_apply(&m, false, &b, &secret, &out, NULL), 0);
	assert_string_equal(
		fields_get(&out.fields, "authorization"), "Basic dXNlcjpzM2NyZXQvdmFsdWUreA==");
	b = binding(POLICY_SCHEME_HEADER);
	b.header = "x-key";
	b.prefix = "key:";
	assert_int_equal(inject_apply(&m, false, &b, &secret, &out, NULL), 0);
	assert_string_equal(fields_get(&out.fields, "x-key"), "key:s3cret/value+x");
	assert_null(fields_get(&out.fields, "authorization"));
	b = binding(POLICY_SCHEME_QUERY);
	m = make("a=b&API-KEY=guests&+api.key=guests&c=d");
	assert_int_equal(inject_apply(&m, true, &b, &secret, &out, NULL), 0);
	assert_string_equal(out.query, "a=b&c=d&api-key=s3cret%2Fvalue%2Bx");
	m = make(NULL);
	assert_int_equal(inject_apply(&m, true, &b, &secret, &out, NULL), 0);
	assert_string_equal(out.query, "api-key=s3cret%2Fvalue%2Bx");
}

/* Even where the guest's own may pass, nothing of its stands in the bound one's place, however it is spelt. */
static void test_the_bound_place_is_ours(void **state)
{
	struct policy_binding b = binding(POLICY_SCHEME_HEADER);
	struct record_request m = make(NULL);

	(void)state;
	b.header = "x-plain-name";
	fields_add(&m.fields, "x-plain-name", "guest's");
	fields_add(&m.fields, "x_plain_name", "guest's");
	assert_int_equal(inject_apply(&m, true, &b, &secret, &out, NULL), 0);
	assert_int_equal(fields_count(&out.fields, "x-plain-name"), 1);
	assert_int_equal(fields_count(&out.fields, "x_plain_name"), 0);
	assert_string_equal(fields_get(&out.fields, "x-plain-name"), "s3cret/value+x");
}

static void test_secrets_that_cannot_stand(void **state)
{
	static char longest[INJECT_SECRET_MAX + 1];
	static const struct {
		const char *value;
		size_t len;
	} bad[] = { { "", 0 }, { "a\r\nb", 4 }, { "a\nb", 3 }, { "a\0b", 3 }, { "line\n", 5 },
		{ "a b", 3 }, { "\x7f", 1 }, { longest, INJECT_SECRET_MAX + 1 } };
	enum policy_scheme schemes[] = { POLICY_SCHEME_BEARER, POLICY_SCHEME_BASIC,
		POLICY_SCHEME_HEADER, POLICY_SCHEME_QUERY };
	struct record_request m = make(NULL);

	(void)state;
	memset(longest, 'a', sizeof(longest));
	for (size_t s = 0; s < ARRAY_SIZE(schemes); s++) {
		struct policy_binding b = binding(schemes[s]);
		struct inject_secret most = { longest, INJECT_SECRET_MAX };

		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			struct inject_secret spoilt = { bad[i].value, bad[i].len };
			struct err err = {};

			assert_int_equal(inject_apply(&m, false, &b, &spoilt, &out, &err), -EINVAL);
			assert_non_null(strstr(err.text, "KEY"));
			assert_null(strstr(err.text, "line"));
			assert_int_equal(out.fields.count, 0);
		}
		assert_int_equal(inject_apply(&m, false, &b, &most, &out, NULL), 0);
	}
}

static void test_a_full_list(void **state)
{
	struct policy_binding b = binding(POLICY_SCHEME_BEARER);
	struct record_request m = make(NULL);

	(void)state;
	while (fields_add(&m.fields, "x-more", "y"))
		;
	assert_int_equal(inject_apply(&m, false, &b, &secret, &out, NULL), -E2BIG);
}

static void test_nothing_is_left_in_memory(void **state)
{
	static const enum policy_scheme schemes[] = { POLICY_SCHEME_QUERY, POLICY_SCHEME_BEARER,
		POLICY_SCHEME_BASIC, POLICY_SCHEME_HEADER };
	struct record_request m = make("a=1&b=2");

	(void)state;
	memset(&out, 0, sizeof(out));
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		struct policy_binding b = binding(schemes[i]);

		assert_int_equal(inject_apply(&m, false, &b, &secret, &out, NULL), 0);
		assert_true(out.value_used > 1 || out.query_used > strlen("a=1&b=2") + 1);
		inject_output_finish(&out);
		for (size_t k = 0; k < sizeof(out.value); k++)
			assert_int_equal(out.value[k], 0);
		for (size_t k = 0; k < sizeof(out.query_text); k++)
			assert_int_equal(out.query_text[k], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_guests_own_go),
		cmocka_unit_test(test_parameters_of_the_guests),
		cmocka_unit_test(test_no_other_method),
		cmocka_unit_test(test_a_websockets_subprotocols),
		cmocka_unit_test(test_the_bound_one_comes),
		cmocka_unit_test(test_the_bound_place_is_ours),
		cmocka_unit_test(test_secrets_that_cannot_stand),
		cmocka_unit_test(test_a_full_list),
		cmocka_unit_test(test_nothing_is_left_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
