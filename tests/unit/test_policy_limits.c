/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: what is counted, when it lifts, what a restart and a reload keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/policy_case.h"

#define NOW UINT64_C(1000000)
#define RULES                                                                                      \
	"'rules': [{'id':'all','action':'allow','host':'**.example.com','request_bytes_max':'1K'}]"

static struct policy *limited(const char *limits)
{
	static char text[1024];

	snprintf(text, sizeof(text), "{'version':1," RULES ",'limits':[%s]}", limits);
	return policy_case_make(&(struct policy_case){ .layers[POLICY_LAYER_USER] = text });
}

/* A stream to `name`, begun. */
static bool begin(const struct policy *policy, const char *name, struct policy_counters *counters,
	uint64_t now_s, struct policy_stream *ret, struct policy_limit_denial *denial)
{
	struct policy_asked asked;
	char words[64];

	snprintf(words, sizeof(words), "https://%s/", name);
	policy_ask(policy, words, &asked);
	assert_int_equal(asked.decision.verdict, POLICY_ALLOW);
	return policy_stream_begin(
		policy, &asked.request, &asked.decision, counters, now_s, ret, denial);
}

static void assert_denied(const struct policy_limit_denial *denial, enum policy_limit_kind kind,
	const char *id, uint64_t limit, uint64_t lifts_at_s)
{
	assert_int_equal(denial->kind, kind);
	assert_string_equal(denial->id, id);
	assert_int_equal(denial->limit, limit);
	assert_int_equal(denial->lifts_at_s, lifts_at_s);
}

static void test_requests_per_hour(void **state)
{
	_cleanup_policy_ struct policy *policy = limited("{'id':'h','requests_per_hour':2}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_true(begin(policy, "b.example.com", &counters, NOW + 10, &stream, &denial));
	assert_false(begin(policy, "a.example.com", &counters, NOW + 20, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_REQUESTS, "h", 2, NOW + 3600);
	assert_false(begin(policy, "a.example.com", &counters, NOW + 3599, &stream, &denial));
	assert_true(begin(policy, "a.example.com", &counters, NOW + 3600, &stream, &denial));
}

/* H5: the project's document at two times: of what both call by one name the lower number holds. */
static void test_project_twice(void **state)
{
	static const char user[] =
		"{\"version\":1,\"rules\":[{\"id\":\"a\",\"action\":\"allow\",\"host\":\"**.example.com\"}]}";
	static const char low[] =
		"{\"version\":1,\"limits\":[{\"id\":\"h\",\"requests_per_hour\":1}]}";
	static const char high[] =
		"{\"version\":1,\"limits\":[{\"id\":\"h\",\"requests_per_hour\":9}]}";
	const struct policy_source sources[] = {
		{ POLICY_LAYER_USER, "user", user, sizeof(user) - 1 },
		{ POLICY_LAYER_PROJECT, "approved", low, sizeof(low) - 1 },
		{ POLICY_LAYER_PROJECT, "present", high, sizeof(high) - 1 },
	};
	_cleanup_policy_ struct policy *policy = NULL;
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_int_equal(policy_create(sources, 3, POLICY_TIER_BUILDER, &policy, NULL), 0);
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_int_equal(stream.slots, 1);
	assert_false(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_REQUESTS, "h", 1, NOW + 3600);
}

static void test_clock_set_back(void **state)
{
	_cleanup_policy_ struct policy *policy = limited("{'id':'h','requests_per_hour':1}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_false(begin(policy, "a.example.com", &counters, NOW - 500000, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_REQUESTS, "h", 1, NOW - 500000 + 3600);
	assert_true(
		begin(policy, "a.example.com", &counters, NOW - 500000 + 3600, &stream, &denial));
}

static void test_streams(void **state)
{
	_cleanup_policy_ struct policy *policy =
		limited("{'id':'s','host':'a.example.com','streams_max':1}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream first, second, other;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &first, &denial));
	assert_true(begin(policy, "b.example.com", &counters, NOW, &other, &denial));
	assert_false(begin(policy, "a.example.com", &counters, NOW, &second, &denial));
	assert_denied(&denial, POLICY_LIMIT_STREAMS, "s", 1, 0);
	policy_stream_end(&other, &counters);
	assert_false(begin(policy, "a.example.com", &counters, NOW, &second, &denial));
	policy_stream_end(&first, &counters);
	assert_true(begin(policy, "a.example.com", &counters, NOW, &second, &denial));
	policy_stream_end(
		&first, &counters); /* once more is nothing: the second one's place is kept */
	assert_false(begin(policy, "a.example.com", &counters, NOW, &first, &denial));
}

static void test_bytes_per_day(void **state)
{
	_cleanup_policy_ struct policy *policy =
		limited("{'id':'d','egress_bytes_per_day':100,'ingress_bytes_per_day':1000}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 60, 1000, NOW, &denial));
	assert_false(policy_stream_count(policy, &stream, &counters, 41, 0, NOW + 5, &denial));
	assert_denied(&denial, POLICY_LIMIT_EGRESS, "d", 100, NOW + 86400);
	assert_false(policy_stream_count(policy, &stream, &counters, 0, 1, NOW + 5, &denial));
	assert_denied(&denial, POLICY_LIMIT_INGRESS, "d", 1000, NOW + 86400);
	assert_false(
		policy_stream_count(policy, &stream, &counters, UINT64_MAX, 0, NOW + 5, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 40, 0, NOW + 5, &denial));
	/* Full: no stream begins until the day is over, whichever of the two it is. */
	counters.slots[0].ingress_bytes = 0;
	assert_false(begin(policy, "a.example.com", &counters, NOW + 6, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_EGRESS, "d", 100, NOW + 86400);
	counters.slots[0].egress_bytes = 0;
	counters.slots[0].ingress_bytes = 1000;
	assert_false(begin(policy, "a.example.com", &counters, NOW + 86399, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_INGRESS, "d", 1000, NOW + 86400);
	assert_true(begin(policy, "a.example.com", &counters, NOW + 86400, &stream, &denial));
}

static void test_one_body_and_time(void **state)
{
	_cleanup_policy_ struct policy *policy = limited(
		"{'id':'b','request_bytes_max':2000,'response_bytes_max':'1K','stream_seconds_max':60}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 1024, 1024, NOW + 60, &denial));
	assert_false(policy_stream_count(policy, &stream, &counters, 1, 0, NOW, &denial));
	assert_denied(&denial, POLICY_LIMIT_REQUEST_BYTES, "all", 1024,
		0); /* the rule's own cap is the lower one */
	assert_false(policy_stream_count(policy, &stream, &counters, 0, 1, NOW, &denial));
	assert_denied(&denial, POLICY_LIMIT_RESPONSE_BYTES, "b", 1024, 0);
	assert_false(policy_stream_count(policy, &stream, &counters, 0, 0, NOW + 61, &denial));
	assert_denied(&denial, POLICY_LIMIT_TIME, "b", 60, 0);
}

/* One full limit, and no other has counted the request. */
static void test_all_or_nothing(void **state)
{
	_cleanup_policy_ struct policy *policy = limited(
		"{'id':'wide','requests_per_hour':100},{'id':'elsewhere','tier':'admin','requests_per_hour':0},"
		"{'id':'narrow','requests_per_hour':0}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream = { .slots = 77 };

	(void)state;
	assert_false(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_string_equal(denial.id, "narrow");
	assert_int_equal(stream.slots, 77);
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++) {
		assert_int_equal(counters.slots[i].requests, 0);
		assert_int_equal(counters.slots[i].streams, 0);
	}
}

static void test_restart(void **state)
{
	_cleanup_policy_ struct policy *policy =
		limited("{'id':'h','requests_per_hour':1},{'id':'d','egress_bytes_per_day':10}");
	struct policy_counters counters = {}, after = {};
	struct policy_limit_denial denial = {};
	uint8_t bytes[POLICY_COUNTERS_SIZE + 1];
	struct policy_stream stream;
	struct err err = {};
	size_t len;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 7, 0, NOW, &denial));
	len = policy_counters_encode(&counters, bytes);
	assert_int_equal(policy_counters_decode(bytes, len, &after, &err), 0);
	assert_int_equal(after.slots[1].egress_bytes, 7);
	assert_int_equal(after.slots[0].streams, 0);
	assert_false(begin(policy, "a.example.com", &after, NOW + 3599, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_REQUESTS, "h", 1, NOW + 3600);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(policy_counters_decode(bytes, i, &after, &err), -EPROTO);
	bytes[len] = 0;
	assert_int_equal(policy_counters_decode(bytes, len + 1, &after, &err), -EPROTO);
	bytes[3 + 2] = 'd'; /* "h" becomes the other's id: one counter twice */
	assert_int_equal(policy_counters_decode(bytes, len, &after, &err), -EPROTO);
	bytes[3 + 2] = 'h';
	assert_int_equal(policy_counters_decode(bytes, len, &after, &err), 0);
	bytes[0] = 2;
	assert_int_equal(policy_counters_decode(bytes, len, &after, &err), -EPROTO);
}

/* A stream that lasts over midnight counts in the new day. */
static void test_day_turns_within_a_stream(void **state)
{
	_cleanup_policy_ struct policy *policy = limited("{'id':'d','egress_bytes_per_day':10}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 10, 0, NOW, &denial));
	assert_false(policy_stream_count(policy, &stream, &counters, 1, 0, NOW + 86399, &denial));
	assert_true(policy_stream_count(policy, &stream, &counters, 10, 0, NOW + 86400, &denial));
	assert_false(policy_stream_count(policy, &stream, &counters, 1, 0, NOW + 86401, &denial));
}

/* Counters are found by id: two layers can't have one. */
static void test_ids_are_unique(void **state)
{
	static const char text[] = "{'version':1,'limits':[{'id':'x','streams_max':1}]}";
	struct policy *policy = NULL;
	struct err err = {};

	(void)state;
	assert_int_equal(
		policy_case_try(&(struct policy_case){ .layers = { [POLICY_LAYER_USER] = text,
							       [POLICY_LAYER_SYSTEM] = text } },
			&policy, &err),
		-EINVAL);
	assert_non_null(strstr(err.text, "\"x\" is another document's limit"));
}

/* A reload: limits come and go, ids keep their counts, open streams stay counted where they were. */
static void test_reload(void **state)
{
	_cleanup_policy_ struct policy *before =
		limited("{'id':'a','requests_per_hour':5},{'id':'b','streams_max':1}");
	_cleanup_policy_ struct policy *after =
		limited("{'id':'b','streams_max':1},{'id':'c','requests_per_hour':9}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream open, next;

	(void)state;
	assert_true(begin(before, "a.example.com", &counters, NOW, &open, &denial));
	assert_false(begin(after, "a.example.com", &counters, NOW, &next, &denial));
	assert_string_equal(denial.id, "b");
	assert_true(policy_stream_count(after, &open, &counters, 5, 5, NOW, &denial));
	policy_stream_end(&open, &counters);
	assert_true(begin(after, "a.example.com", &counters, NOW, &next, &denial));
}

/* Every slot is taken by limits that are gone: those without a stream make room. */
static void test_slots_are_reused(void **state)
{
	_cleanup_policy_ struct policy *policy = limited("{'id':'new','requests_per_hour':5}");
	struct policy_counters counters = {};
	struct policy_limit_denial denial = {};
	struct policy_stream stream;

	(void)state;
	for (unsigned int i = 0; i < POLICY_LIMITS_MAX; i++) {
		snprintf(counters.slots[i].id, sizeof(counters.slots[i].id), "old%u", i);
		counters.slots[i].streams = i != 9;
	}
	assert_true(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_string_equal(counters.slots[9].id, "new");
	strcpy(counters.slots[9].id, "old9");
	assert_false(begin(policy, "a.example.com", &counters, NOW, &stream, &denial));
	assert_denied(&denial, POLICY_LIMIT_STREAMS, "new", POLICY_LIMITS_MAX, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_per_hour),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_project_twice),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_bytes_per_day),
		cmocka_unit_test(test_one_body_and_time),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_day_turns_within_a_stream),
		cmocka_unit_test(test_ids_are_unique),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_slots_are_reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
