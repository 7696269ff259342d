/* SPDX-License-Identifier: Apache-2.0 */
/* H7, the log on disk: what is appended is signed, sealed, given up from the front, and mended after a crash; and folding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/supervisor/audit/fold.h"
#include "vmm/supervisor/audit/log_copy.h"
#include "vmm/supervisor/audit/segment.h"
#include "vmm/supervisor/audit/store.h"
#include "vmm/supervisor/audit/verify.h"

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
	pid_t writer;
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

	if (rig->writer > 0) {
		kill(rig->writer, SIGKILL);
		waitpid(rig->writer, NULL, 0);
	}
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

static struct store *open_default(struct rig *rig)
{
	const struct store_limits limits = STORE_LIMITS_DEFAULT;
	struct store *store = NULL;

	assert_int_equal(open_with(rig, &limits, &store), 0);
	return store;
}

static void append(struct store *store, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(store_append(store, AUDIT_FROM_HOST, &event), 0);
}

static struct verify_finding verdict(struct rig *rig)
{
	struct verify_finding finding = {};
	struct err err = {};

	assert_int_equal(verify_folder(rig->dir_fd, "api", rig->key, &finding, &err), 0);
	return finding;
}

static size_t segment_count(struct rig *rig)
{
	uint64_t *firsts = NULL;
	size_t count = 0;

	assert_int_equal(segment_list(rig->dir_fd, &firsts, &count), 0);
	free(firsts);
	return count;
}

static void test_goes_on(void **state)
{
	struct rig *rig = *state;
	struct store *store = open_default(rig);

	append(store, 3);
	assert_int_equal(verdict(rig).verdict, VERIFY_UNSIGNED);
	assert_int_equal(store_sync(store), 0);
	assert_false(store_is_dirty(store));
	assert_int_equal(verdict(rig).sequence, 3);
	store_destroy(store);
	store = open_default(rig);
	append(store, 2);
	assert_int_equal(store_sync(store), 0);
	store_destroy(store);
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	assert_int_equal(verdict(rig).sequence, 5);
}

static void test_sealed_and_given_up(void **state)
{
	struct store_limits limits = {
		.segment_bytes = 1000, .segment_age_s = 1000, .total_bytes = 4000, .keep_s = 1000
	};
	struct rig *rig = *state;
	struct store *store = NULL;
	struct stat st;

	assert_int_equal(open_with(rig, &limits, &store), 0);
	for (int i = 0; i < 40; i++) {
		append(store, 1);
		assert_int_equal(store_sync(store), 0);
	}
	assert_true(segment_count(rig) > 1 && segment_count(rig) < 5);
	assert_int_equal(fstatat(rig->dir_fd, "segment-00000000000000000000.jsonl", &st, 0), -1);
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	assert_int_equal(verdict(rig).sequence, 40);
	store_destroy(store);
	/* By age: a clock that is behind keeps nothing. */
	limits.keep_s = 0;
	limits.segment_age_s = 0;
	assert_int_equal(open_with(rig, &limits, &store), 0);
	sleep(1);
	append(store, 1);
	assert_int_equal(store_sync(store), 0);
	assert_true(segment_count(rig) <= 1);
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	store_destroy(store);
}

static void add_bytes(struct rig *rig, const char *name, const char *text)
{
	int fd = openat(rig->dir_fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_torn_line_mended(void **state)
{
	struct rig *rig = *state;
	struct store *store = open_default(rig);
	char *text = NULL;
	size_t len;

	append(store, 2);
	assert_int_equal(store_sync(store), 0);
	append(store, 1);
	store_destroy(store);
	add_bytes(rig, SEGMENT_ACTIVE, "{\"schema_version\":1,\"seq");
	assert_int_equal(verdict(rig).verdict, VERIFY_TORN);
	store_destroy(open_default(rig));
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	assert_int_equal(verdict(rig).sequence, 4);
	assert_int_equal(segment_read(rig->dir_fd, SEGMENT_ACTIVE, &text, &len), 0);
	assert_non_null(strstr(text, "1 records not signed yet, 24 bytes of a torn one cut off"));
	free(text);
}

static void test_seal_cut_short(void **state)
{
	struct rig *rig = *state;
	struct store *store = open_default(rig);

	append(store, 2);
	assert_int_equal(store_sync(store), 0);
	store_destroy(store);
	assert_int_equal(renameat(rig->dir_fd, SEGMENT_ACTIVE, rig->dir_fd,
				 "segment-00000000000000000000.jsonl"),
		0);
	store = open_default(rig);
	append(store, 1);
	assert_int_equal(store_sync(store), 0);
	store_destroy(store);
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	assert_int_equal(verdict(rig).sequence, 3);
}

/* What no crash leaves is not written over. */
static void test_tampered_refused(void **state)
{
	const struct store_limits limits = STORE_LIMITS_DEFAULT;
	struct rig *rig = *state;
	struct store *store = open_default(rig), *none = NULL;
	struct audit_key *mine = rig->key;

	append(store, 2);
	assert_int_equal(store_sync(store), 0);
	store_destroy(store);
	assert_int_equal(audit_key_generate(&rig->key), 0);
	assert_int_equal(open_with(rig, &limits, &none), -EBADMSG);
	audit_key_destroy(rig->key);
	rig->key = mine;
	add_bytes(rig, SEGMENT_ACTIVE, "{}\n");
	assert_int_equal(open_with(rig, &limits, &none), -EBADMSG);
	assert_int_equal(unlinkat(rig->dir_fd, SEGMENT_ACTIVE, 0), 0);
	assert_int_equal(open_with(rig, &limits, &none), -EBADMSG);
	assert_int_equal(unlinkat(rig->dir_fd, SEGMENT_HEAD, 0), 0);
	add_bytes(rig, SEGMENT_ACTIVE, "x");
	assert_int_equal(open_with(rig, &limits, &none), -EBADMSG);
	assert_null(none);
}

static size_t count_of(struct rig *rig, const char *part)
{
	uint64_t *firsts = NULL;
	size_t count = 0, found = 0, len;

	assert_int_equal(segment_list(rig->dir_fd, &firsts, &count), 0);
	for (size_t i = 0; i <= count; i++) {
		char name[SEGMENT_NAME_MAX] = SEGMENT_ACTIVE, *text = NULL;

		if (i < count)
			segment_name(firsts[i], name);
		if (segment_read(rig->dir_fd, name, &text, &len) < 0)
			continue;
		for (const char *at = text; (at = strstr(at, part)); at++)
			found++;
		free(text);
	}
	free(firsts);
	return found;
}

static void append_and_sync(struct store *store, int count)
{
	for (int i = 0; i < count; i++) {
		append(store, 1);
		assert_int_equal(store_sync(store), 0);
	}
}

/* The oldest sealed file is not what was written: it stays, is said, and stops nothing; verify names it. */
static void damaged(struct rig *rig, const char *damage, enum verify_verdict wanted)
{
	static const char oldest[] = "segment-00000000000000000000.jsonl";
	const struct store_limits wide = { 600, 1000, 1u << 20, 1000 },
				  narrow = { 600, 1000, 2000, 1000 };
	struct store *store = NULL;
	char command[200];
	size_t before;

	assert_int_equal(open_with(rig, &wide, &store), 0);
	append_and_sync(store, 20);
	store_destroy(store);
	before = segment_count(rig);
	assert_true(before > 3);
	snprintf(command, sizeof(command), "cd %s && f=%s && %s", rig->folder, oldest, damage);
	assert_int_equal(system(command), 0);
	assert_int_equal(open_with(rig, &narrow, &store), 0);
	append_and_sync(store, 20);
	assert_true(segment_count(rig) >= before);
	assert_int_equal(count_of(rig, "is not what was written"), 1);
	store_destroy(store);
	assert_int_equal(verdict(rig).verdict, wanted);
	assert_non_null(strstr(verdict(rig).file, "segment-0000000000000000"));
	/* And so it is for the next writer. */
	assert_int_equal(open_with(rig, &narrow, &store), 0);
	append_and_sync(store, 20);
	store_destroy(store);
	assert_int_equal(count_of(rig, "is not what was written"), 2);
}

static void test_oldest_edited(void **state)
{
	damaged(*state, "sed -i s/a.test/b.test/ $f", VERIFY_EDITED);
}

static void test_oldest_too_large(void **state)
{
	damaged(*state, "truncate -s 100M $f", VERIFY_MALFORMED);
}

static void test_oldest_a_link(void **state)
{
	damaged(*state, "rm $f && ln -s /dev/zero $f", VERIFY_MALFORMED);
}

static void test_oldest_gone(void **state)
{
	damaged(*state, "rm $f", VERIFY_MISSING);
}

/* More files than are ever listed: nothing is written, and the reason has words. */
static void test_too_many_files(void **state)
{
	const struct store_limits limits = { 600, 1000, 2000, 1000 };
	struct rig *rig = *state;
	struct store *store = NULL;
	struct err err = {};
	int r = 0;

	assert_int_equal(open_with(rig, &limits, &store), 0);
	for (uint64_t i = 1; i <= SEGMENTS_MAX; i++) {
		char name[SEGMENT_NAME_MAX];

		segment_name(1000000 + i, name);
		close(openat(rig->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	for (int i = 0; r == 0 && i < 10; i++) {
		append(store, 1);
		r = store_sync(store);
	}
	assert_int_equal(r, -E2BIG);
	assert_non_null(strstr(store_error_words(E2BIG), "audit verify"));
	store_destroy(store);
	assert_int_equal(store_open(rig->dir_fd, rig->key, &origin, &limits, &store, &err), -E2BIG);
	assert_non_null(strstr(err.text, "audit verify"));
}

/* What comes between two syncs is sealed all the same before a file is longer than what is read of one. */
static void test_sealed_between_syncs(void **state)
{
	const struct store_limits limits = { 600, 1000, 1u << 20, 1000 };
	struct rig *rig = *state;
	struct store *store = NULL;
	struct stat st;

	assert_int_equal(open_with(rig, &limits, &store), 0);
	for (int i = 0; i < 50; i++) {
		append(store, 1);
		assert_int_equal(fstatat(rig->dir_fd, SEGMENT_ACTIVE, &st, 0), 0);
		assert_true(st.st_size < 1200);
	}
	assert_true(segment_count(rig) > 10);
	assert_int_equal(store_sync(store), 0);
	store_destroy(store);
	assert_int_equal(verdict(rig).verdict, VERIFY_WHOLE);
	assert_int_equal(verdict(rig).sequence, 50);
}

static void until_segments(struct rig *rig, size_t wanted)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (int i = 0; i < 2000 && segment_count(rig) < wanted; i++)
		nanosleep(&pause, NULL);
	assert_true(segment_count(rig) >= wanted);
}

/* Seals after every few records, and gives up the oldest, until it is killed. */
static void write_on(struct rig *rig)
{
	const struct store_limits limits = {
		.segment_bytes = 600, .segment_age_s = 1000, .total_bytes = 30000, .keep_s = 1000
	};
	struct store *store = NULL;

	rig->writer = fork();
	if (rig->writer != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (open_with(rig, &limits, &store) < 0)
		_exit(1);
	for (;;)
		if (store_append(store, AUDIT_FROM_HOST, &event) < 0 || store_sync(store) < 0)
			_exit(1);
}

static void expect_sound(int dir_fd, const struct audit_key *key, const char *what)
{
	struct verify_finding f = {};
	struct err err = {};

	if (verify_folder(dir_fd, "api", key, &f, &err) < 0)
		fail_msg("%s: %s", what, err.text);
	if (f.verdict != VERIFY_WHOLE && f.verdict != VERIFY_UNSIGNED)
		fail_msg("%s: %s: %s", what, f.file, verify_verdict_word(f.verdict));
}

/* A log is read, and copied, while its writer seals and gives up all the time. */
static void test_read_under_the_writer(void **state)
{
	struct rig *rig = *state;
	char copy[80];

	write_on(rig);
	until_segments(rig, 10);
	for (int i = 0; i < 150; i++)
		expect_sound(rig->dir_fd, rig->key, "the log");
	for (int i = 0; i < 20; i++) {
		int fd;

		snprintf(copy, sizeof(copy), "%s/copy%d", rig->folder, i);
		assert_int_equal(mkdir(copy, 0700), 0);
		fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(log_copy(rig->dir_fd, fd), 0);
		expect_sound(fd, rig->key, "its copy");
		close(fd);
	}
	/* It was at it all the while. */
	assert_int_equal(waitpid(rig->writer, NULL, WNOHANG), 0);
}

static void test_fold(void **state)
{
	enum audit_source source;
	struct audit_event e = event, out;
	struct fold *fold = NULL;

	(void)state;
	assert_int_equal(fold_create(&fold), 0);
	assert_false(fold_take(fold, AUDIT_FROM_HOST, &e, 0));
	for (int i = 0; i < 7; i++)
		assert_true(fold_take(fold, AUDIT_FROM_HOST, &e, 5));
	/* Another source's is of another kind. */
	assert_false(fold_take(fold, AUDIT_FROM_GUEST, &e, 5));
	assert_false(fold_next(fold, FOLD_INTERVAL_MS - 1, false, &source, &out));
	assert_true(fold_next(fold, FOLD_INTERVAL_MS, false, &source, &out));
	assert_int_equal(out.count, 7);
	assert_int_equal(source, AUDIT_FROM_HOST);
	/* Not recorded: still due. */
	assert_true(fold_next(fold, FOLD_INTERVAL_MS, false, &source, &out));
	fold_done(fold, FOLD_INTERVAL_MS);
	assert_false(fold_next(fold, FOLD_INTERVAL_MS, true, &source, &out));
	/* What was let through is never folded. */
	e.decision = AUDIT_ALLOWED;
	assert_false(fold_take(fold, AUDIT_FROM_HOST, &e, 5));
	assert_false(fold_take(fold, AUDIT_FROM_HOST, &e, 5));
	fold_destroy(fold);
}

/* Ten thousand hosts asked for in one interval: a bounded number of records, and the sum is right. */
static void test_fold_many(void **state)
{
	enum audit_source source;
	struct audit_event e = event, out;
	struct fold *fold = NULL;
	unsigned int records = 0, sum = 0;
	char host[32];

	(void)state;
	assert_int_equal(fold_create(&fold), 0);
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(host, sizeof(host), "h%d.test", i);

		e.text[AUDIT_HOST] = (struct audit_bytes){ (const uint8_t *)host, (size_t)n };
		records += !fold_take(fold, AUDIT_FROM_HOST, &e, 1);
	}
	assert_int_equal(records, FOLD_PLACES_MAX);
	while (fold_next(fold, 1, true, &source, &out)) {
		sum += out.count;
		fold_done(fold, 1);
	}
	assert_int_equal(records + sum, 10000);
	fold_destroy(fold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_and_given_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn_line_mended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_seal_cut_short, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tampered_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_oldest_edited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_oldest_too_large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_oldest_a_link, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_oldest_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_between_syncs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_under_the_writer, set_up, tear_down),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_fold_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
