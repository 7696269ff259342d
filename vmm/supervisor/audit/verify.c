/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/verify.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/audit/segment.h"

#define TRIES_MAX    10 /* of the whole, where retention takes away what is next */
#define PAUSE_NS     10000000 /* longer each time */
#define CATCH_UP_MAX 1000 /* seals that are followed at the end of one */

static_assert((int)VERIFY_MALFORMED == (int)CHAIN_MALFORMED && (int)VERIFY_TORN == (int)CHAIN_TORN,
	"a chain's verdict is one of these");

static const char *const words[] = {
	[VERIFY_WHOLE] = "whole",
	[VERIFY_MALFORMED] = "malformed: no line of the log's writer",
	[VERIFY_REMOVED] = "removed: lines before this one are missing",
	[VERIFY_REORDERED] = "reordered: this line is not in its place",
	[VERIFY_EDITED] = "edited: this line or the one before it was changed",
	[VERIFY_TORN] = "torn: the last line has no end",
	[VERIFY_NO_HEAD] = "no signed head",
	[VERIFY_WRONG_KEY] = "wrong key: the head is not signed by this host's key, or was changed",
	[VERIFY_WRONG_LOG] = "the head is another log's",
	[VERIFY_MISSING] = "missing: a whole file of the log",
	[VERIFY_TRUNCATED] = "truncated: the log ends before its signed head says",
	[VERIFY_ROLLED_BACK] = "rolled back: the head is older than sealed lines",
	[VERIFY_UNSIGNED] = "unsigned: the head is older than the last lines",
};

const char *verify_verdict_word(enum verify_verdict verdict)
{
	return words[verdict];
}

static bool find(struct verify *v, enum verify_verdict verdict, const char *file, uint64_t line)
{
	v->finding.verdict = verdict;
	v->finding.line = line;
	v->finding.sequence = v->chain.sequence;
	snprintf(v->finding.file, sizeof(v->finding.file), "%s", file);
	return false;
}

bool verify_begin(struct verify *v, const char *log, const struct audit_key *key, const void *head,
	size_t head_len)
{
	int r;

	*v = (struct verify){};
	r = audit_head_decode(head, head_len, key, &v->head);
	if (r < 0)
		return find(
			v, r == -EKEYREJECTED ? VERIFY_WRONG_KEY : VERIFY_NO_HEAD, SEGMENT_HEAD, 0);
	if (strcmp(v->head.log, log) != 0)
		return find(v, VERIFY_WRONG_LOG, SEGMENT_HEAD, 0);
	v->chain = v->head.first;
	return true;
}

static uint64_t line_of(const char *text, size_t offset)
{
	uint64_t line = 1;

	for (size_t i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

/* Where the head's end lies in a file, its line must be the one the head names. */
static int read_to_head(
	struct verify *v, const char *text, size_t len, enum chain_verdict *verdict, size_t *offset)
{
	const uint64_t end = v->head.end.sequence;
	size_t part = 0;
	int r;

	for (uint64_t i = v->chain.sequence; i < end && part < len; i++) {
		const char *newline = memchr(text + part, '\n', len - part);

		part = newline ? (size_t)(newline - text) + 1 : len;
	}
	r = chain_read(&v->chain, text, part, verdict, offset);
	if (r < 0 || *verdict != CHAIN_WHOLE)
		return r;
	if (v->chain.sequence == end &&
		memcmp(v->chain.prev, v->head.end.prev, AUDIT_HASH_SIZE) != 0) {
		*verdict = CHAIN_EDITED;
		return 0;
	}
	r = chain_read(&v->chain, text + part, len - part, verdict, offset);
	*offset += part;
	return r;
}

int verify_file(struct verify *v, const char *name, uint64_t first, const void *data, size_t len)
{
	enum chain_verdict verdict = CHAIN_WHOLE;
	size_t offset = 0;
	int r;

	if (v->finding.verdict != VERIFY_WHOLE)
		return 0;
	if (first != v->chain.sequence) {
		find(v, first > v->chain.sequence ? VERIFY_MISSING : VERIFY_REORDERED, name, 0);
		return 0;
	}
	r = read_to_head(v, data, len, &verdict, &offset);
	if (r == 0 && verdict != CHAIN_WHOLE)
		find(v, (enum verify_verdict)verdict, name, line_of(data, offset));
	else if (r == 0 && strcmp(name, SEGMENT_ACTIVE) != 0 &&
		 v->chain.sequence > v->head.end.sequence)
		find(v, VERIFY_ROLLED_BACK, name, 0);
	return r;
}

void verify_end(struct verify *v)
{
	if (v->finding.verdict != VERIFY_WHOLE)
		return;
	if (v->chain.sequence < v->head.end.sequence)
		find(v, VERIFY_TRUNCATED, SEGMENT_ACTIVE, 0);
	else if (v->chain.sequence > v->head.end.sequence)
		find(v, VERIFY_UNSIGNED, SEGMENT_ACTIVE, 0);
	else
		find(v, VERIFY_WHOLE, "", 0);
}

/* What no writer of ours leaves: no file, or more than it ever writes into one. */
static bool is_no_segment(int r)
{
	return r == -EFBIG || r == -ELOOP || r == -EISDIR || r == -ENXIO;
}

/* The sealed files that come next, of those that are there. -ESTALE: one was given up meanwhile. */
static int read_segments(int dir_fd, struct verify *v, const uint64_t *firsts, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count && v->finding.verdict == VERIFY_WHOLE; i++) {
		_cleanup_free_ char *text = NULL;
		char name[SEGMENT_NAME_MAX];
		size_t len = 0;

		/* What retention gave up is no part of the log any more; and what was read is. */
		if (firsts[i] < v->head.first.sequence || firsts[i] < v->chain.sequence)
			continue;
		segment_name(firsts[i], name);
		r = segment_read(dir_fd, name, &text, &len);
		if (r == 0)
			r = verify_file(v, name, firsts[i], text, len);
		else if (is_no_segment(r))
			r = find(v, VERIFY_MALFORMED, name, 0);
	}
	return r == -ENOENT ? -ESTALE : r;
}

static int read_active(int dir_fd, struct verify *v)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = segment_read(dir_fd, SEGMENT_ACTIVE, &text, &len);

	if (v->finding.verdict != VERIFY_WHOLE)
		return 0;
	/* A writer that is sealing right now, or a file that was taken away: its lines tell. */
	if (r == -ENOENT)
		return 0;
	if (is_no_segment(r))
		return find(v, VERIFY_MALFORMED, SEGMENT_ACTIVE, 0);
	/* Sealed files up to where the active one begins. */
	if (r == 0 && v->chain.sequence < v->head.active.sequence) {
		find(v, VERIFY_MISSING, SEGMENT_ACTIVE, 0);
		return 0;
	}
	return r < 0 ? r : verify_file(v, SEGMENT_ACTIVE, v->chain.sequence, text, len);
}

/* Into v->head alone. False: a finding. */
static int read_head(int dir_fd, const char *log, const struct audit_key *key, struct verify *v)
{
	_cleanup_free_ char *text = NULL;
	struct verify fresh;
	size_t len = 0;
	int r = segment_read(dir_fd, SEGMENT_HEAD, &text, &len);

	if (r < 0 && r != -ENOENT && !is_no_segment(r))
		return r;
	if (verify_begin(&fresh, log, key, text ? text : "", len))
		v->head = fresh.head;
	else
		v->finding = fresh.finding;
	return 0;
}

/*
 * From before the active file on: whether anything was sealed meanwhile, so that what was read of it is a sealed file now. Then the
 * sealed ones that came are read, and a head that covers them. 1: go on.
 */
static int catch_up(int dir_fd, const char *log, const struct audit_key *key,
	const struct verify *before, struct verify *v)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t count = 0;
	int r = segment_list(dir_fd, &firsts, &count);

	if (r < 0 || !count || firsts[count - 1] < before->chain.sequence)
		return r;
	*v = *before;
	r = read_head(dir_fd, log, key, v);
	if (r == 0 && v->head.end.sequence < v->chain.sequence)
		return -ESTALE;
	if (r == 0)
		r = read_segments(dir_fd, v, firsts, count);
	return r < 0 ? r : v->finding.verdict == VERIFY_WHOLE;
}

/* -ESTALE: it was sealed and given up faster than it could be read. */
static int read_folder(int dir_fd, const char *log, const struct audit_key *key, struct verify *v)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	struct verify before;
	size_t count = 0;
	/* The files first: each was signed before it was sealed, so the head covers them all. */
	int r = segment_list(dir_fd, &firsts, &count), more;

	*v = (struct verify){};
	if (r == 0)
		r = read_head(dir_fd, log, key, v);
	v->chain = v->head.first;
	if (r == 0)
		r = read_segments(dir_fd, v, firsts, count);
	for (unsigned int i = 0; r == 0 && v->finding.verdict == VERIFY_WHOLE; i++) {
		if (i == CATCH_UP_MAX)
			return -ESTALE;
		before = *v;
		r = read_active(dir_fd, v);
		more = r == 0 ? catch_up(dir_fd, log, key, &before, v) : r;
		if (more <= 0)
			return more;
	}
	return r;
}

/* The last line has no end: a writer that is at it just now, or one that was killed. */
static bool is_being_written(int r, const struct verify *v)
{
	return r == 0 && v->finding.verdict == VERIFY_TORN &&
	       strcmp(v->finding.file, SEGMENT_ACTIVE) == 0;
}

int verify_folder(int dir_fd, const char *log, const struct audit_key *key,
	struct verify_finding *ret, struct err *err)
{
	struct verify v = {};
	int r = -ESTALE;

	for (unsigned int i = 0; (r == -ESTALE || is_being_written(r, &v)) && i < TRIES_MAX; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = i * PAUSE_NS }, NULL);
		r = read_folder(dir_fd, log, key, &v);
	}
	if (r == -ESTALE)
		return err_set(err, -EBUSY,
			"audit log %s: files of it go while they are read, again and again", log);
	if (r < 0)
		return err_set(err, r, "audit log %s: %s", log, strerror(-r));
	verify_end(&v);
	*ret = v.finding;
	return 0;
}
