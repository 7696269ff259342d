/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whether a log is what its writer wrote (H7): every line against the chain, the chain's ends against the signed head. Finds edits,
 * removals, reordering, a missing segment, a log cut short, and a head that is not of this log's end. What only heads that were kept elsewhere can
 * show is that log and head were both put back to what they were.
 *
 * verify_begin(), verify_file() for each file in order, verify_end(): pure. verify_folder() reads a folder for them.
 */
#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/audit/head.h"

enum verify_verdict {
	VERIFY_WHOLE = 0,
	VERIFY_MALFORMED, /* as chain.h's, in its order */
	VERIFY_REMOVED,
	VERIFY_REORDERED,
	VERIFY_EDITED,
	VERIFY_TORN,
	VERIFY_NO_HEAD, /* no head, or a text that is none */
	VERIFY_WRONG_KEY, /* a head of another key, or changed since */
	VERIFY_WRONG_LOG, /* a head of another log */
	VERIFY_MISSING, /* a whole file */
	VERIFY_TRUNCATED, /* the log ends before its head says */
	VERIFY_ROLLED_BACK, /* sealed lines behind the head's end */
	VERIFY_UNSIGNED, /* lines of the active file behind the head's end: a writer at work, or one that was killed */
};

struct verify_finding {
	enum verify_verdict verdict;
	char file[64];
	uint64_t line; /* in that file, from 1; 0: the file as a whole */
	uint64_t sequence; /* how far the log is sound */
};

/* For people. */
const char *verify_verdict_word(enum verify_verdict verdict);

struct verify {
	struct audit_head head;
	struct chain chain;
	struct verify_finding finding; /* the first; verdict VERIFY_WHOLE: none so far */
};

/* False at a finding, here and below; only verify_begin() is to be followed by the others then. */
bool verify_begin(struct verify *v, const char *log, const struct audit_key *key, const void *head,
	size_t head_len);
/* first: what its name says its first line is; that of the active file: v->chain.sequence. */
int verify_file(struct verify *v, const char *name, uint64_t first, const void *data, size_t len);
void verify_end(struct verify *v);

/*
 * The log may be written, sealed and given up meanwhile. -errno where it cannot be read, -EBUSY where it changes faster than
 * that; a finding is no error.
 */
int verify_folder(int dir_fd, const char *log, const struct audit_key *key,
	struct verify_finding *ret, struct err *err);
