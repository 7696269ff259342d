/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an egress stream and its answer, against golden bytes and against what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"

static const uint8_t captured_golden[] = { 1, 1, 0xbb, 1, 5, 0, 'a', '.', 'b', '-', 'c' };
static const uint8_t proxy_golden[] = { 1, 2, 0, 0, 0, 0 };
static const uint8_t accepted_golden[] = { 1, 1, 0, 0 };
static const uint8_t limited_golden[] = { 1, 3, 18, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 'r', 2, 0, 'n',
	'o', 1, 0, 'c' };

/* Whole, cut anywhere, and with more behind it. */
static void check_request(const uint8_t *golden, size_t size, const struct egress_request *request)
{
	uint8_t out[EGRESS_REQUEST_MAX + 1] = {};
	struct egress_request got;

	assert_int_equal(egress_request_encode(request, out), size);
	assert_memory_equal(out, golden, size);
	for (size_t len = 0; len < size; len++)
		assert_int_equal(egress_request_decode(golden, len, &got), 0);
	assert_int_equal(egress_request_decode(out, sizeof(out), &got), size);
	assert_int_equal(got.kind, request->kind);
	assert_int_equal(got.port, request->port);
	assert_string_equal(got.host, request->host);
}

static void test_request(void **state)
{
	struct egress_request captured = { EGRESS_CAPTURED, 443, "a.b-c" };
	struct egress_request proxy = { EGRESS_PROXY, 0, "" };

	(void)state;
	check_request(captured_golden, sizeof(captured_golden), &captured);
	check_request(proxy_golden, sizeof(proxy_golden), &proxy);
	memset(captured.host, 'a', EGRESS_HOST_MAX);
	assert_int_equal(egress_request_encode(&captured, (uint8_t[EGRESS_REQUEST_MAX]){}),
		EGRESS_REQUEST_MAX);
}

static void test_request_refused(void **state)
{
	static const struct egress_request bad[] = {
		{ 0, 443, "a" },
		{ 4, 443, "a" },
		{ EGRESS_CAPTURED, 0, "a" },
		{ EGRESS_CAPTURED, 443, "" },
		{ EGRESS_CAPTURED, 443, "A" },
		{ EGRESS_CAPTURED, 443, "a b" },
		{ EGRESS_CAPTURED, 443, "a%00b" },
		{ EGRESS_CAPTURED, 443, "a\r\nb" },
		{ EGRESS_CAPTURED, 443, "[::1]" },
		{ EGRESS_PROXY, 443, "" },
		{ EGRESS_REPORTS, 443, "" },
		{ EGRESS_REPORTS, 0, "a" },
		{ EGRESS_PROXY, 0, "a" },
	};
	uint8_t out[EGRESS_REQUEST_MAX];
	struct egress_request got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(egress_request_encode(&bad[i], out), 0);
	assert_int_equal(egress_request_decode("\2", 1, &got), -EPROTO);
	assert_int_equal(egress_request_decode("\1\4", 2, &got), -EPROTO);
	assert_int_equal(egress_request_decode("\1\1\1\0\376\0", 6, &got), -EPROTO); /* 254 */
	assert_int_equal(egress_request_decode("\1\1\1\0\3\0a\0b", 9, &got), -EPROTO);
	assert_int_equal(egress_request_decode("\1\1\1\0\2\0A.", 8, &got), -EPROTO);
	assert_int_equal(egress_request_decode("\1\2\1\0\0\0", 6, &got), -EPROTO);
}

static void test_answer(void **state)
{
	struct egress_answer accepted = { .verdict = EGRESS_ACCEPTED }, got = {};
	struct egress_answer limited = { EGRESS_LIMITED, 9, "r", "no", "c" };
	uint8_t out[EGRESS_ANSWER_MAX + 1] = {};

	(void)state;
	assert_int_equal(egress_answer_encode(&accepted, out), sizeof(accepted_golden));
	assert_memory_equal(out, accepted_golden, sizeof(accepted_golden));
	assert_int_equal(egress_answer_decode(out, sizeof(out), &got), sizeof(accepted_golden));
	assert_int_equal(got.verdict, EGRESS_ACCEPTED);
	assert_int_equal(egress_answer_encode(&limited, out), sizeof(limited_golden));
	assert_memory_equal(out, limited_golden, sizeof(limited_golden));
	for (size_t len = 0; len < sizeof(limited_golden); len++)
		assert_int_equal(egress_answer_decode(limited_golden, len, &got), 0);
	assert_int_equal(egress_answer_decode(out, sizeof(out), &got), sizeof(limited_golden));
	assert_int_equal(got.lifts_at_s, 9);
	assert_string_equal(got.rule, "r");
	assert_string_equal(got.reason, "no");
	assert_string_equal(got.command, "c");
	assert_string_equal(egress_verdict_word(got.verdict), "limited");
	assert_string_equal(egress_verdict_word(99), "unknown");
}

static void test_answer_refused(void **state)
{
	struct egress_answer bad[] = {
		{ .verdict = 0 },
		{ .verdict = 6, .reason = "no" },
		{ .verdict = EGRESS_DENIED },
		{ .verdict = EGRESS_DENIED, .reason = "n\no" },
		{ .verdict = EGRESS_DENIED, .reason = "no", .command = "\x1b[31m" },
		{ .verdict = EGRESS_ACCEPTED, .rule = "r" },
	};
	uint8_t out[EGRESS_ANSWER_MAX];
	struct egress_answer got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(egress_answer_encode(&bad[i], out), 0);
	memset(bad[2].reason, 'x', sizeof(bad[2].reason)); /* no NUL */
	assert_int_equal(egress_answer_encode(&bad[2], out), 0);
	assert_int_equal(egress_answer_decode("\1\1\1\0x", 5, &got), -EPROTO);
	assert_int_equal(egress_answer_decode("\1\2\0\0", 4, &got), -EPROTO);
	assert_int_equal(egress_answer_decode("\1\2\377\377", 4, &got), -EPROTO);
	memcpy(out, limited_golden, sizeof(limited_golden));
	out[2]++; /* a byte that belongs to no text */
	assert_int_equal(egress_answer_decode(out, sizeof(limited_golden) + 1, &got), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_refused),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_answer_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
