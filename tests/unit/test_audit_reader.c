/* SPDX-License-Identifier: Apache-2.0 */
/* H7: the log read in order while its writer seals, gives up and goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/supervisor/audit/reader.h"
#include "vmm/supervisor/audit/segment.h"
#include "vmm/supervisor/audit/store.h"

#define TEXT(s)                                                                                    \
	{                                                                                          \
		.data = (const uint8_t *)(s), .len = sizeof(s) - 1                                 \
	}

static const struct audit_origin origin = { .sandbox = "api", .instance = "i-1" };
static const struct audit_event event = { .kind = AUDIT_EGRESS,
	.decision = AUDIT_DENIED,
	.count = 1,
	.text = { [AUDIT_RULE] = TEXT("r"), [AUDIT_HOST] = TEXT("a.test") } };

struct rig {
	char folder[64];
	int dir_fd;
	struct audit_key *key;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	strcpy(rig->folder, "/tmp/test_audit_store_XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	rig->dir_fd = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(rig->dir_fd >= 0);
	assert_int_equal(audit_key_generate(&rig->key), 0);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", rig->folder);
	assert_int_equal(system(command), 0);
	close(rig->dir_fd);
	audit_key_destroy(rig->key);
	free(rig);
	return 0;
}

static int open_with(struct rig *rig, const struct store_limits *limits, struct store **ret)
{
	struct err err = {};

	return store_open(rig->dir_fd, rig->key, &origin, limits, ret, &err);
}

static void append(struct store *store, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(store_append(store, AUDIT_FROM_HOST, &event), 0);
}

/* The next lines have these sequences. */
static void expect(struct reader *reader, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		const char *line = NULL;
		char start[64];
		size_t len = 0;

		assert_int_equal(reader_next(reader, &line, &len), 1);
		snprintf(start, sizeof(start), "{\"schema_version\":1,\"sequence\":%llu,",
			(unsigned long long)i);
		assert_memory_equal(line, start, strlen(start));
		assert_int_equal(strlen(line), len);
		assert_int_equal(line[len - 1], '}');
	}
}

static void expect_none(struct reader *reader)
{
	const char *line;
	size_t len;

	assert_int_equal(reader_next(reader, &line, &len), 0);
}

static const struct store_limits small = {
	.segment_bytes = 1000, .segment_age_s = 86400, .total_bytes = 100000, .keep_s = 86400
};

static void test_follows(void **state)
{
	struct rig *rig = *state;
	struct reader *reader = NULL;
	struct store *store = NULL;
	uint64_t at = 0;

	assert_int_equal(reader_create(rig->dir_fd, 0, &reader), 0);
	expect_none(reader);
	assert_int_equal(open_with(rig, &small, &store), 0);
	expect_none(reader);
	/* Of every number of lines between two looks, and so over no, one and several sealings. */
	for (int count = 1; count <= 12; count++) {
		for (int i = 0; i < count; i++) {
			append(store, 1);
			assert_int_equal(store_sync(store), 0);
		}
		expect(reader, at, at + (uint64_t)count);
		at += (uint64_t)count;
		expect_none(reader);
	}
	reader_destroy(reader);
	store_destroy(store);
}

/* What is sealed between the look at one file and at the next is found. */
static void test_sealed_in_between(void **state)
{
	struct rig *rig = *state;
	struct reader *reader = NULL;
	struct store *store = NULL;

	assert_int_equal(open_with(rig, &small, &store), 0);
	append(store, 2);
	assert_int_equal(reader_create(rig->dir_fd, 0, &reader), 0);
	expect(reader, 0, 1);
	for (int i = 0; i < 20; i++) {
		append(store, 1);
		assert_int_equal(store_sync(store), 0);
	}
	expect(reader, 1, 22);
	expect_none(reader);
	reader_destroy(reader);
	assert_int_equal(reader_create(rig->dir_fd, 9, &reader), 0);
	expect(reader, 9, 22);
	reader_destroy(reader);
	store_destroy(store);
}

static void test_what_was_given_up(void **state)
{
	struct store_limits limits = small;
	struct rig *rig = *state;
	struct reader *reader = NULL;
	struct store *store = NULL;
	const char *line = NULL;
	size_t len;

	limits.total_bytes = 3000;
	assert_int_equal(open_with(rig, &limits, &store), 0);
	for (int i = 0; i < 100; i++) {
		append(store, 1);
		assert_int_equal(store_sync(store), 0);
	}
	assert_int_equal(reader_create(rig->dir_fd, 0, &reader), 0);
	assert_int_equal(reader_next(reader, &line, &len), 1);
	assert_null(strstr(line, "\"sequence\":0,"));
	reader_destroy(reader);
	assert_int_equal(reader_create(rig->dir_fd, 99, &reader), 0);
	expect(reader, 99, 100);
	expect_none(reader);
	reader_destroy(reader);
	store_destroy(store);
}

static void test_not_ours(void **state)
{
	struct rig *rig = *state;
	struct reader *reader = NULL;
	const char *line;
	size_t len;
	int fd = openat(rig->dir_fd, SEGMENT_ACTIVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "{\"torn", 6), 6);
	assert_int_equal(reader_create(rig->dir_fd, 0, &reader), 0);
	expect_none(reader); /* its end may come */
	assert_int_equal(write(fd, "\n", 1), 1);
	assert_int_equal(reader_next(reader, &line, &len), -EPROTO);
	reader_destroy(reader);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "x", 1, 1 << 20), 1);
	assert_int_equal(reader_create(rig->dir_fd, 0, &reader), 0);
	assert_int_equal(
		reader_next(reader, &line, &len), -EPROTO); /* no end within a line's length */
	reader_destroy(reader);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_follows),
		TEST(test_sealed_in_between),
		TEST(test_what_was_given_up),
		TEST(test_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
