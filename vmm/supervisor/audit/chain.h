/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The chain over a log's lines (H7): each line carries its sequence and the SHA-256 of the whole line before it, newline
 * included. So a line that was changed, taken out, put in or moved does not fit its neighbour. What a chain alone cannot show,
 * and a signed head has to, is that its last lines are missing or that all of it was written anew.
 *
 * No file, no clock: bytes in, a verdict out.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/supervisor/audit/audit_line.h"

/* Where a chain stands: what its next line must say. All zero: before the first line of a log. */
struct chain {
	uint64_t sequence;
	uint8_t prev[AUDIT_HASH_SIZE];
};

enum chain_verdict {
	CHAIN_WHOLE = 0,
	CHAIN_MALFORMED, /* a line that this writer does not write */
	CHAIN_REMOVED, /* a sequence too high: lines before it are missing */
	CHAIN_REORDERED, /* a sequence too low: moved, or written twice */
	CHAIN_EDITED, /* the hash is not that of the line before: that one, or this one's own, was changed */
	CHAIN_TORN, /* the last line has no newline: a writer that died, or a file cut short */
};

/* The word that a person reads. */
const char *chain_verdict_word(enum chain_verdict verdict);

/* A line that stands where *chain is: *chain moves behind it. len counts the newline. -EIO: no SHA-256. */
int chain_add(struct chain *chain, const char *line, size_t len);
/*
 * Reads lines from *chain on and leaves it behind the last one that fits. 0 with *ret_verdict; *ret_offset is where the line
 * that does not fit begins, len where all did. -EIO as above.
 */
int chain_read(struct chain *chain, const void *data, size_t len, enum chain_verdict *ret_verdict,
	size_t *ret_offset);
