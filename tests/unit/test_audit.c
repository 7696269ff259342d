/* SPDX-License-Identifier: Apache-2.0 */
/* H7, the audit log's pure parts: messages, lines that keep every byte, and what a chain shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/audit/chain.h"

#define TEXT(s)                                                                                    \
	{                                                                                          \
		.data = (const uint8_t *)(s), .len = sizeof(s) - 1                                 \
	}

static const struct audit_origin origin = {
	.sandbox = "api", .instance = "i-1", .source = AUDIT_FROM_GUEST
};
static const struct audit_event denied = {
	.kind = AUDIT_EGRESS,
	.tier = AUDIT_TIER_BUILDER,
	.decision = AUDIT_DENIED,
	.status = 403,
	.count = 2,
	.time_ns = UINT64_C(1000000001),
	.sent_bytes = 3,
	.received_bytes = 4,
	.duration_us = 5,
	.text = { [AUDIT_RULE] = TEXT("r"),
		[AUDIT_METHOD] = TEXT("GET"),
		[AUDIT_PATH] = TEXT("/a") },
};
static const uint8_t denied_wire[] = { 1, 3, 1, 2, 0x93, 1, 0, 0, 2, 0, 0, 0, 0x01, 0xca, 0x9a,
	0x3b, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1,
	0, 'r', 0, 0, 0, 0, 3, 0, 'G', 'E', 'T', 0, 0, 2, 0, '/', 'a', 0, 0 };

static void test_golden_message(void **state)
{
	uint8_t wire[AUDIT_MESSAGE_MAX];
	struct audit_event event;

	(void)state;
	assert_int_equal(audit_event_encode(&denied, wire), sizeof(denied_wire));
	assert_memory_equal(wire, denied_wire, sizeof(denied_wire));
	assert_int_equal(audit_event_decode(denied_wire, sizeof(denied_wire), &event), 0);
	assert_int_equal(event.time_ns, denied.time_ns);
	assert_int_equal(event.text[AUDIT_METHOD].len, 3);
	assert_memory_equal(event.text[AUDIT_METHOD].data, "GET", 3);
}

static void test_message_refused(void **state)
{
	static const struct {
		size_t place;
		uint8_t byte;
	} wrong[] = { { 0, 2 }, { 1, 0 }, { 1, 8 }, { 2, 5 }, { 3, 4 }, { 6, 1 }, { 8, 0 },
		{ 44, 2 }, { 44 + 17, '?' }, { 44 + 17, '#' } };
	uint8_t wire[sizeof(denied_wire) + 1];
	struct audit_event event = { .count = 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		memcpy(wire, denied_wire, sizeof(denied_wire));
		wire[wrong[i].place] = wrong[i].byte;
		assert_int_equal(audit_event_decode(wire, sizeof(denied_wire), &event), -EPROTO);
	}
	memcpy(wire, denied_wire, sizeof(denied_wire));
	wire[sizeof(denied_wire)] = 0;
	for (size_t len = 0; len <= sizeof(wire); len++) {
		if (len != sizeof(denied_wire))
			assert_int_equal(audit_event_decode(wire, len, &event), -EPROTO);
	}
	assert_int_equal(event.count, 77);
}

static void test_limits(void **state)
{
	static uint8_t big[AUDIT_MESSAGE_MAX];
	static char line[AUDIT_LINE_MAX];
	uint8_t wire[AUDIT_MESSAGE_MAX], prev[AUDIT_HASH_SIZE] = {};
	struct audit_event event = denied;

	(void)state;
	/* Every text at its limit, each byte of the longest spelling: fits message and line. */
	for (int i = 0; i < AUDIT_TEXTS; i++)
		event.text[i] = (struct audit_bytes){ big, audit_text_max((enum audit_text)i) };
	assert_true(audit_event_encode(&event, wire) > 0);
	assert_true(audit_line_render(UINT64_MAX, prev, &origin, &event, line) > 0);
	for (int i = 0; i < AUDIT_TEXTS; i++) {
		event.text[i].len++;
		assert_int_equal(audit_event_encode(&event, wire), -EINVAL);
		event.text[i].len--;
	}
}

static void test_every_byte_survives(void **state)
{
	uint8_t all[256], back[256];
	char text[6 * 256];
	int n;

	(void)state;
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	n = audit_escape(all, sizeof(all), text, sizeof(text));
	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		assert_in_range(text[i], 0x20, 0x7e);
	assert_int_equal(audit_unescape(text, (size_t)n, back, sizeof(back)), sizeof(all));
	assert_memory_equal(all, back, sizeof(all));
	assert_int_equal(audit_escape(all, sizeof(all), text, (size_t)n - 1), -ENOSPC);
	assert_int_equal(audit_unescape(text, (size_t)n, back, sizeof(back) - 1), -ENOSPC);
}

static void test_one_spelling(void **state)
{
	static const char *const wrong[] = { "\\u0041", "\\u00C3", "\\u01ff", "\\n", "\\", "\\u00",
		"\"", "\n", "\xc3\xa9", "\\u005c", "\\/" };
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(
			audit_unescape(wrong[i], strlen(wrong[i]), out, sizeof(out)), -EPROTO);
}

static void test_golden_line(void **state)
{
	static const char expected[] =
		"{\"schema_version\":1,\"sequence\":7,\"prev\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\""
		",\"event_id\":\"api/7\",\"sandbox\":\"api\",\"instance\":\"i-1\",\"source\":\"guest\""
		",\"time\":\"1970-01-01T00:00:01.000000001Z\",\"kind\":\"egress\",\"tier\":\"builder\""
		",\"decision\":\"denied\",\"rule\":\"r\",\"method\":\"GET\",\"path\":\"/a\",\"status\":403"
		",\"sent_bytes\":3,\"received_bytes\":4,\"duration_us\":5,\"count\":2}\n";
	static char line[AUDIT_LINE_MAX];
	uint8_t prev[AUDIT_HASH_SIZE] = {};
	int n = audit_line_render(7, prev, &origin, &denied, line);
	json_t *document;

	(void)state;
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(line, expected, sizeof(expected) - 1);
	document = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(document);
	json_decref(document);
}

#define LINES 5
struct log {
	char text[LINES * 1024];
	size_t start[LINES + 1]; /* of each line, and the end */
};

static void write_log(struct log *log)
{
	struct chain chain = {};
	static char line[AUDIT_LINE_MAX];
	size_t used = 0;

	for (int i = 0; i < LINES; i++) {
		int n = audit_line_render(chain.sequence, chain.prev, &origin, &denied, line);

		assert_true(n > 0 && used + (size_t)n <= sizeof(log->text));
		memcpy(log->text + used, line, (size_t)n);
		assert_int_equal(chain_add(&chain, line, (size_t)n), 0);
		log->start[i] = used;
		used += (size_t)n;
	}
	log->start[LINES] = used;
}

static enum chain_verdict verdict_of(const char *text, size_t len, size_t *ret_offset)
{
	struct chain chain = {};
	enum chain_verdict verdict;

	assert_int_equal(chain_read(&chain, text, len, &verdict, ret_offset), 0);
	return verdict;
}

static void test_chain_whole(void **state)
{
	struct log log;
	size_t offset;

	(void)state;
	write_log(&log);
	assert_int_equal(verdict_of(log.text, log.start[LINES], &offset), CHAIN_WHOLE);
	assert_int_equal(offset, log.start[LINES]);
}

static void test_chain_edit(void **state)
{
	struct log log;
	size_t offset;

	(void)state;
	write_log(&log);
	/*
	 * Any bit of any line but the last: the next line does not fit any more, or this one does not. (Without the newline
	 * between them the last two lines are one last line, which is for a signed head to find.)
	 */
	for (size_t i = 0; i < log.start[LINES - 1] - 1; i++) {
		for (int bit = 0; bit < 8; bit++) {
			log.text[i] ^= (char)(1 << bit);
			assert_int_not_equal(
				verdict_of(log.text, log.start[LINES], &offset), CHAIN_WHOLE);
			log.text[i] ^= (char)(1 << bit);
		}
	}
	/* An edit that leaves the line one of ours is told where the next one begins. */
	memcpy(strstr(log.text + log.start[1], "denied"), "learnt", 6);
	assert_int_equal(verdict_of(log.text, log.start[LINES], &offset), CHAIN_EDITED);
	assert_int_equal(offset, log.start[2]);
}

static void test_chain_removal_and_order(void **state)
{
	struct log log;
	char text[sizeof(log.text)];
	size_t offset, first, second;

	(void)state;
	write_log(&log);
	memcpy(text, log.text, log.start[1]);
	memcpy(text + log.start[1], log.text + log.start[2], log.start[LINES] - log.start[2]);
	assert_int_equal(
		verdict_of(text, log.start[LINES] - (log.start[2] - log.start[1]), &offset),
		CHAIN_REMOVED);
	assert_int_equal(offset, log.start[1]);
	assert_int_equal(verdict_of(log.text + log.start[1], log.start[2] - log.start[1], &offset),
		CHAIN_REMOVED);

	/* Written twice. */
	memcpy(text, log.text, log.start[2]);
	memcpy(text + log.start[2], log.text + log.start[1], log.start[2] - log.start[1]);
	assert_int_equal(verdict_of(text, log.start[2] + (log.start[2] - log.start[1]), &offset),
		CHAIN_REORDERED);

	/* Swapped. */
	first = log.start[2] - log.start[1];
	second = log.start[3] - log.start[2];
	memcpy(text, log.text, log.start[LINES]);
	memcpy(text + log.start[1], log.text + log.start[2], second);
	memcpy(text + log.start[1] + second, log.text + log.start[1], first);
	assert_int_equal(verdict_of(text, log.start[LINES], &offset), CHAIN_REMOVED);
}

static void test_chain_torn(void **state)
{
	struct log log;
	size_t offset;

	(void)state;
	write_log(&log);
	for (size_t len = log.start[4] + 1; len < log.start[LINES]; len++) {
		assert_int_equal(verdict_of(log.text, len, &offset), CHAIN_TORN);
		assert_int_equal(offset, log.start[4]);
	}
}

static void test_chain_malformed(void **state)
{
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define FRONT "{\"schema_version\":1,\"sequence\":"
#define PREV  ",\"prev\":\"" ZEROS "\""
	static const char *const wrong[] = {
		"\n",
		"{}\n",
		"{\"schema_version\":2,\"sequence\":0" PREV "}\n",
		FRONT "" PREV "}\n",
		FRONT "00" PREV "}\n",
		FRONT "-0" PREV "}\n",
		FRONT "18446744073709551616" PREV "}\n",
		FRONT "99999999999999999999" PREV "}\n",
		FRONT "0,\"prev\":\"" ZEROS "0\"}\n",
		FRONT "0,\"prev\":\"" ZEROS "\n",
		FRONT "0" PREV ",\"x\":\"\033]0;title\a\"}\n",
		FRONT "0" PREV ",\"x\":\"\x9b\"}\n",
		FRONT "0" PREV ",\"x\":1\n",
	};
	static char line[AUDIT_LINE_MAX + 1] = FRONT "0" PREV ",\"x\":\"";
	size_t offset, used = strlen(line);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(verdict_of(wrong[i], strlen(wrong[i]), &offset), CHAIN_MALFORMED);
	assert_int_equal(verdict_of(FRONT "0" PREV "}\n", strlen(FRONT "0" PREV "}\n"), &offset),
		CHAIN_WHOLE);
	/* The longest line, and one byte more. */
	memset(line + used, 'y', sizeof(line) - used);
	memcpy(line + AUDIT_LINE_MAX - 3, "\"}\n", 3);
	assert_int_equal(verdict_of(line, AUDIT_LINE_MAX, &offset), CHAIN_WHOLE);
	line[AUDIT_LINE_MAX - 3] = 'y';
	memcpy(line + AUDIT_LINE_MAX - 2, "\"}\n", 3);
	assert_int_equal(verdict_of(line, AUDIT_LINE_MAX + 1, &offset), CHAIN_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_message),
		cmocka_unit_test(test_message_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_byte_survives),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_golden_line),
		cmocka_unit_test(test_chain_whole),
		cmocka_unit_test(test_chain_edit),
		cmocka_unit_test(test_chain_removal_and_order),
		cmocka_unit_test(test_chain_torn),
		cmocka_unit_test(test_chain_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
