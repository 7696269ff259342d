/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations, the denial form, and URLs as people type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/explain.h"
#include "tests/lib/policy_case.h"
#include "vmm/base/array.h"

static struct policy *make_policy(void)
{
	return POLICY_OF_USER(
		"'rules': ["
		"{'id':'docs','action':'allow','host':'docs.example.com','methods':'GET','paths':['/x/**','/open']},"
		"{'id':'up','action':'allow','host':'up.example.com','tier':'deployer'},"
		"{'id':'lan','action':'allow','cidr':'0.0.0.0/0','port':81},"
		"{'id':'must','action':'allow','host':'must.example.com'},"
		"{'id':'prod','action':'deny','host':'prod.example.com'}],"
		"'bindings':[{'id':'b','secret':'token','host':'must.example.com','methods':'GET','paths':'/in','scheme':'bearer','require':true},"
		"{'id':'f','secret':'token','host':'free.example.com','methods':'GET','paths':'/','scheme':'bearer'},"
		"{'id':'c','secret':'token','host':'bound.example.com','methods':'GET','paths':'/in','scheme':'bearer','require':true}]");
}

static void test_denials(void **state)
{
	_cleanup_policy_ struct policy *policy = make_policy();
	static const struct {
		const char *words, *reason, *rule, *command;
	} cases[] = {
		{ "GET https://new.example.com/a?token=secret", "no-rule", "",
			"sandboxctl policy allow new.example.com" },
		{ "GET https://new.example.com:8443/", "no-rule", "",
			"sandboxctl policy allow new.example.com:8443" },
		{ "GET wss://new.example.com/", "no-rule", "",
			"sandboxctl policy allow new.example.com --websocket" },
		{ "GET https://new.example.com/a%2Fb", "no-rule", "",
			"sandboxctl policy allow new.example.com --encoded-slash" },
		{ "ssh://new.example.com", "no-rule", "",
			"sandboxctl policy allow new.example.com --protocol ssh" },
		{ "tcp://new.example.com:5432", "no-rule", "",
			"sandboxctl policy allow new.example.com:5432 --protocol tcp" },
		{ "GET https://[2606:4700::2]/", "literal", "",
			"sandboxctl policy allow '[2606:4700::2]'" },
		{ "GET https://[2606:4700::1]:444/", "literal", "",
			"sandboxctl policy allow '[2606:4700::1]:444'" },
		{ "POST https://docs.example.com/x/y", "method", "docs",
			"sandboxctl policy allow docs.example.com --method POST --path /x/y" },
		{ "GET https://docs.example.com/it's$(id)", "path", "docs",
			"sandboxctl policy allow docs.example.com --method GET --path '/it'\\''s$(id)'" },
		{ "GET http://10.0.0.1:81/", "private", "lan",
			"sandboxctl policy allow 10.0.0.1:81 --private" },
		{ "GET https://127.0.0.1/", "forbidden", "", "" },
		/* Nothing is offered that would be refused, or would not help. */
		{ "GET https://github.io/", "no-rule", "", "" },
		{ "tls://bound.example.com", "no-rule", "", "" },
		{ "tls://free.example.com", "no-rule", "", "" },
		{ "GET https://bound.example.com/out", "no-rule", "", "" },
		{ "GET https://bound.example.com/in", "no-rule", "",
			"sandboxctl policy allow bound.example.com" },
		{ "get https://docs.example.com/open", "method", "docs", "" },
		{ "GET https://docs.example.com/a/..%2Fb", "path", "docs", "" },
		/* A star that was asked for is no wildcard. */
		{ "GET https://docs.example.com/*", "path", "docs",
			"sandboxctl policy allow docs.example.com --method GET --path /%2A" },
		{ "GET https://prod.example.com/", "rule", "prod", "" },
		{ "GET https://up.example.com/", "tier", "up", "" },
		{ "GET https://must.example.com/out", "binding", "must", "" },
		{ "CONNECT https://docs.example.com/", "method", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_explanation e;
		struct policy_asked asked;

		policy_ask(policy, cases[i].words, &asked);
		policy_explain(policy, &asked.request, &asked.decision, &e);
		assert_int_equal(e.verdict, POLICY_DENY);
		assert_string_equal(e.reason, cases[i].reason);
		assert_string_equal(e.rule, cases[i].rule);
		assert_string_equal(e.command, cases[i].command);
		assert_true(*e.detail);
		assert_true(!*e.command || *e.change);
		assert_null(strstr(e.what, "secret"));
	}
}

static void test_allowed(void **state)
{
	_cleanup_policy_ struct policy *policy = make_policy();
	struct policy_explanation e;
	struct policy_asked asked;

	(void)state;
	policy_ask(policy, "GET https://must.example.com/in", &asked);
	policy_explain(policy, &asked.request, &asked.decision, &e);
	assert_string_equal(e.what, "GET https://must.example.com/in");
	assert_string_equal(e.detail,
		"rule \"must\" of the user's policy allows it; binding \"b\" adds secret \"token\"");
	assert_string_equal(e.command, "");
	policy_ask(policy, "GET https://docs.example.com/open", &asked);
	policy_explain(policy, &asked.request, &asked.decision, &e);
	assert_non_null(strstr(e.detail, "without any credential"));
}

/* What the data path was given by a hostile guest: long, not printable, in no command and no text. */
static void test_hostile(void **state)
{
	_cleanup_policy_ struct policy *policy = make_policy();
	struct policy_request request = {
		.protocol = POLICY_PROTOCOL_HTTP, .port = 443, .secure = true
	};
	char path[3000] = "/", json[POLICY_DENIAL_JSON_MAX];
	struct policy_decision decision;
	struct policy_explanation e;
	size_t len;

	(void)state;
	memset(path + 1, '\'', sizeof(path) - 2);
	assert_true(policy_host_parse("docs.example.com", 16, &request.host));
	request.method = "GET\033]0;x\007";
	request.path = path;
	policy_decide(policy, &request, &decision);
	policy_explain(policy, &request, &decision, &e);
	assert_null(strchr(e.what, '\033'));
	assert_true(strlen(e.what) < 400);
	assert_string_equal(e.command, "");
	len = policy_explanation_json(&e, json);
	assert_int_equal(len, strlen(json));
	assert_int_equal(json[strlen(json) - 1], '}');
	memset(path + 1, '\\', POLICY_SUGGESTION_PATH_MAX);
	request.method = "\"\\\"";
	policy_explain(policy, &request, &decision, &e);
	memset(e.command, '"', sizeof(e.command) - 1);
	memset(e.detail, '\\', sizeof(e.detail) - 1);
	memset(e.change, '"', sizeof(e.change) - 1);
	memset(e.what, '"', sizeof(e.what) - 1);
	assert_true(policy_explanation_json(&e, json) < POLICY_DENIAL_JSON_MAX);
	assert_int_equal(json[strlen(json) - 1], '}');
}

static void test_json(void **state)
{
	const struct policy_explanation e = { .verdict = POLICY_DENY,
		.reason = "path",
		.what = "GET https://a/\"\\",
		.rule = "r",
		.detail = "d",
		.change = "c",
		.command = "sandboxctl x",
		.lifts_at_s = 7 };
	char json[POLICY_DENIAL_JSON_MAX];

	(void)state;
	policy_explanation_json(&e, json);
	assert_string_equal(json,
		"{\"error\":\"denied\",\"what\":\"GET https://a/\\\"\\\\\",\"reason\":\"path\",\"rule\":\"r\","
		"\"detail\":\"d\",\"change\":\"c\",\"command\":\"sandboxctl x\",\"lifts_at\":7}");
}

static void test_limits(void **state)
{
	_cleanup_policy_ struct policy *policy = make_policy();
	struct policy_limit_denial denial = { POLICY_LIMIT_REQUESTS, "hourly", 10, 12345 };
	struct policy_explanation e;
	struct policy_asked asked;

	(void)state;
	policy_ask(policy, "GET https://docs.example.com/open", &asked);
	policy_explain_limit(&asked.request, &denial, &e);
	assert_string_equal(e.reason, "limit:requests_per_hour");
	assert_string_equal(e.rule, "hourly");
	assert_int_equal(e.lifts_at_s, 12345);
	assert_string_equal(
		e.detail, "requests_per_hour is 10 in \"hourly\", and this would be more");
	for (unsigned int kind = POLICY_LIMIT_REQUESTS; kind <= POLICY_LIMIT_TIME; kind++) {
		denial = (struct policy_limit_denial){ (enum policy_limit_kind)kind, "x", 1, 0 };
		policy_explain_limit(&asked.request, &denial, &e);
		assert_string_equal(e.reason + strlen("limit:"),
			policy_limit_kind_name((enum policy_limit_kind)kind));
	}
}

static void test_urls_refused(void **state)
{
	static const char *const cases[] = { "", "example.com", "ftp://example.com/", "https://",
		"https:///x", "https://a b/", "https://user:pw@example.com/",
		"https://example.com/#x", "https://example.com/../x", "https://example.com//x",
		"https://example.com:0/", "https://example.com:99999/", "https://0x7f.1/",
		"https://example.com/?a b", "tcp://example.com", "tcp://example.com:5/x",
		"HTTPS://example.com/", "https://example.com\\@evil.com/",
		"https://example.com/%00" };
	struct policy_request request = { .port = 7 };
	struct policy_url url;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (policy_request_of_url(NULL, cases[i], &url, &request, &err) != -EINVAL)
			fail_msg("%s", cases[i]);
		assert_int_equal(request.port, 7);
	}
	/* Said for what it is: both would be refused as no host and no path, too. */
	policy_request_of_url(NULL, "https://user:pw@example.com/", &url, &request, &err);
	assert_non_null(strstr(err.text, "user"));
	assert_null(strstr(err.text, "pw"));
	policy_request_of_url(NULL, "https://example.com/#x", &url, &request, &err);
	assert_non_null(strstr(err.text, "fragment"));
	assert_int_equal(policy_request_of_url("G T", "https://example.com/", &url, &request, &err),
		-EINVAL);
	assert_int_equal(
		policy_request_of_url("GET", "ssh://example.com", &url, &request, &err), -EINVAL);
	assert_int_equal(policy_request_of_url("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC",
				 "https://example.com", &url, &request, &err),
		-EINVAL);
	assert_int_equal(
		policy_request_of_url(NULL, "https://EXAMPLE.com?q=1", &url, &request, &err), 0);
	assert_string_equal(request.host.text, "example.com");
	assert_string_equal(request.path, "/");
	assert_string_equal(request.query, "q=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denials),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_urls_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
