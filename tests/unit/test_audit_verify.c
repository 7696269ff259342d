/* SPDX-License-Identifier: Apache-2.0 */
/* H7: each way to change a log is found, with the place. Each case changes one thing of a log that is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/audit/verify.h"

#define LINES	  6 /* two in each file */
#define FILES	  3
#define FILE_SIZE 4096

struct log {
	struct audit_head head;
	struct audit_key *key;
	char file[FILES][FILE_SIZE];
	size_t len[FILES];
	uint64_t first[FILES];
	size_t second[FILES]; /* where its second line begins */
	char head_text[AUDIT_HEAD_MAX];
	size_t head_len;
};

static void sign(struct log *log)
{
	int n = audit_head_encode(&log->head, log->key, log->head_text);

	assert_true(n > 0);
	log->head_len = (size_t)n;
}

static int set_up(void **state)
{
	static const struct audit_origin origin = { "api", "i-1", AUDIT_FROM_HOST };
	const struct audit_event event = { .kind = AUDIT_EGRESS, .count = 1 };
	struct log *log = calloc(1, sizeof(*log));

	assert_int_equal(audit_key_generate(&log->key), 0);
	strcpy(log->head.log, "api");
	for (int i = 0; i < LINES; i++) {
		static char line[AUDIT_LINE_MAX];
		int f = i / 2, n = audit_line_render(log->head.end.sequence, log->head.end.prev,
				       &origin, &event, line);

		assert_true(n > 0);
		if (i % 2 == 0) {
			log->first[f] = log->head.end.sequence;
			log->head.active = log->head.end;
		} else {
			log->second[f] = log->len[f];
		}
		memcpy(log->file[f] + log->len[f], line, (size_t)n);
		log->len[f] += (size_t)n;
		assert_int_equal(chain_add(&log->head.end, line, (size_t)n), 0);
	}
	log->head.segments = FILES - 1;
	sign(log);
	*state = log;
	return 0;
}

static int tear_down(void **state)
{
	audit_key_destroy(((struct log *)*state)->key);
	free(*state);
	return 0;
}

static const char *name_of(int f)
{
	static const char *const names[] = { "segment-0", "segment-2", "active.jsonl" };

	return names[f];
}

static struct verify_finding look(struct log *log)
{
	struct verify v;

	if (!verify_begin(&v, "api", log->key, log->head_text, log->head_len))
		return v.finding;
	for (int f = 0; f < FILES; f++) {
		if (log->len[f])
			assert_int_equal(verify_file(&v, name_of(f), log->first[f], log->file[f],
						 log->len[f]),
				0);
	}
	verify_end(&v);
	return v.finding;
}

static void expect(struct log *log, enum verify_verdict verdict, const char *file, uint64_t line)
{
	struct verify_finding f = look(log);

	assert_int_equal(f.verdict, verdict);
	assert_string_equal(f.file, file);
	assert_int_equal(f.line, line);
}

static void test_whole(void **state)
{
	expect(*state, VERIFY_WHOLE, "", 0);
	assert_int_equal(look(*state).sequence, LINES);
}

/* Every single bit of every line: none is without consequence. */
static void test_any_edit(void **state)
{
	struct log *log = *state;

	for (int f = 0; f < FILES; f++) {
		for (size_t i = 0; i < log->len[f]; i++) {
			log->file[f][i] ^= 1;
			assert_int_not_equal(look(log).verdict, VERIFY_WHOLE);
			log->file[f][i] ^= 1;
		}
	}
	for (size_t i = 0; i < log->head_len; i++) {
		log->head_text[i] ^= 1;
		assert_int_not_equal(look(log).verdict, VERIFY_WHOLE);
		log->head_text[i] ^= 1;
	}
	expect(log, VERIFY_WHOLE, "", 0);
}

static void test_edited_word(void **state)
{
	struct log *log = *state;

	memcpy(strstr(log->file[1], "egress"), "EGRESS", 6);
	expect(log, VERIFY_EDITED, "segment-2", 2);
}

/* The very last line has no line behind it: the head tells. */
static void test_edited_last(void **state)
{
	struct log *log = *state;

	memcpy(strstr(log->file[2] + log->second[2], "egress"), "EGRESS", 6);
	assert_int_equal(look(log).verdict, VERIFY_EDITED);
}

static void remove_first_line(struct log *log, int f)
{
	memmove(log->file[f], log->file[f] + log->second[f], log->len[f] - log->second[f]);
	log->len[f] -= log->second[f];
}

static void test_removed(void **state)
{
	remove_first_line(*state, 1);
	expect(*state, VERIFY_REMOVED, "segment-2", 1);
}

static void test_reordered(void **state)
{
	struct log *log = *state;
	char first[FILE_SIZE];
	size_t len = log->second[1];

	memcpy(first, log->file[1], len);
	remove_first_line(log, 1);
	memcpy(log->file[1] + log->len[1], first, len);
	log->len[1] += len;
	assert_int_not_equal(look(log).verdict, VERIFY_WHOLE);
	/* A line twice. */
	memcpy(log->file[0] + log->len[0], log->file[0] + log->second[0],
		log->len[0] - log->second[0]);
	log->len[0] += log->len[0] - log->second[0];
	expect(log, VERIFY_REORDERED, "segment-0", 3);
}

static void test_truncated(void **state)
{
	struct log *log = *state;

	log->len[2] = log->second[2];
	expect(log, VERIFY_TRUNCATED, "active.jsonl", 0);
	log->len[2] -= 3;
	expect(log, VERIFY_TORN, "active.jsonl", 1);
}

static void test_missing(void **state)
{
	struct log *log = *state;

	log->len[1] = 0;
	expect(log, VERIFY_MISSING, "active.jsonl", 0);
}

static void test_first_missing(void **state)
{
	struct log *log = *state;

	log->len[0] = 0;
	expect(log, VERIFY_MISSING, "segment-2", 0);
}

/* Retention says where the chain begins, signed. */
static void test_given_up(void **state)
{
	struct log *log = *state;
	enum chain_verdict verdict;
	size_t offset;

	assert_int_equal(
		chain_read(&log->head.first, log->file[0], log->len[0], &verdict, &offset), 0);
	log->head.segments--;
	log->len[0] = 0;
	sign(log);
	expect(log, VERIFY_WHOLE, "", 0);
}

static void test_rolled_back(void **state)
{
	struct log *log = *state;

	log->head.end = (struct chain){ .sequence = 1 };
	sign(log);
	assert_int_equal(look(log).verdict, VERIFY_EDITED);
	assert_int_equal(chain_add(&log->head.first, "", 0), 0);
	log->head.end = log->head.first = (struct chain){};
	log->head.active = log->head.end;
	sign(log);
	expect(log, VERIFY_ROLLED_BACK, "segment-0", 0);
}

static void test_unsigned_tail(void **state)
{
	struct log *log = *state;

	log->head.end = log->head.active;
	sign(log);
	expect(log, VERIFY_UNSIGNED, "active.jsonl", 0);
}

static void test_wrong_head(void **state)
{
	struct log *log = *state;
	struct audit_key *mine = log->key;

	assert_int_equal(audit_key_generate(&log->key), 0);
	expect(log, VERIFY_WRONG_KEY, "head", 0);
	audit_key_destroy(log->key);
	log->key = mine;
	strcpy(log->head.log, "other");
	sign(log);
	expect(log, VERIFY_WRONG_LOG, "head", 0);
	log->head_len = 0;
	expect(log, VERIFY_NO_HEAD, "head", 0);
}

/* The host's key as files: what openssl writes and reads. */
static void test_key(void **state)
{
	static const char p256[] = "-----BEGIN PUBLIC KEY-----\n"
				   "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
				   "-----END PUBLIC KEY-----\n";
	struct log *log = *state;
	struct audit_key *private = NULL, *public = NULL, *none = NULL;
	char pem[AUDIT_KEY_PEM_MAX];
	uint8_t signature[AUDIT_SIGNATURE_SIZE];
	int n = audit_key_write_private(log->key, pem);

	assert_true(n > 0);
	assert_int_equal(audit_key_parse_private(pem, (size_t)n, &private), 0);
	assert_int_equal(audit_key_parse_public(pem, (size_t)n, &none), -EINVAL);
	n = audit_key_write_public(log->key, pem);
	assert_true(n > 0);
	assert_int_equal(audit_key_parse_public(pem, (size_t)n, &public), 0);
	assert_int_equal(audit_key_sign(private, "abc", 3, signature), 0);
	assert_int_equal(audit_key_verify(public, "abc", 3, signature), 0);
	assert_true(audit_key_verify(public, "abd", 3, signature) < 0);
	assert_int_equal(audit_key_parse_public(p256, sizeof(p256) - 1, &none), -EINVAL);
	assert_null(none);
	audit_key_destroy(private);
	audit_key_destroy(public);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_any_edit),
		TEST(test_edited_word),
		TEST(test_edited_last),
		TEST(test_removed),
		TEST(test_reordered),
		TEST(test_truncated),
		TEST(test_missing),
		TEST(test_first_missing),
		TEST(test_given_up),
		TEST(test_rolled_back),
		TEST(test_unsigned_tail),
		TEST(test_wrong_head),
		TEST(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
