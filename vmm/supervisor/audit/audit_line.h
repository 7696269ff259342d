/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One audit record as one line of JSON (JSONL): the event, and what the writer alone knows. Fields are only ever added, before
 * the closing brace; the first three stand at the front in this form, for chain.h reads them:
 *   {"schema_version":1,"sequence":N,"prev":"64 hex digits", ...}\n
 *
 * Bytes are kept without loss (H7): a string's code points are U+0000 to U+00FF and each is one byte. Printable ASCII stands
 * for itself, '"' and '\' behind a '\', every other byte as \u00XX with lower-case digits; so a line is ASCII, has no control byte
 * (H6) and no newline but its last, and there is one spelling for any bytes.
 * Pure.
 */
#include <stdint.h>

#include "vmm/supervisor/audit/audit_event.h"

#define AUDIT_SCHEMA_VERSION 1
#define AUDIT_HASH_SIZE	     32
#define AUDIT_LINE_MAX	     (24u << 10) /* newline included */
#define AUDIT_NAME_MAX	     64 /* of a sandbox, of an instance */

enum audit_source { AUDIT_FROM_HOST = 1, AUDIT_FROM_GUEST = 2 };

/* By the socket an event came from, never by what it says. */
struct audit_origin {
	const char *sandbox, *instance; /* at most AUDIT_NAME_MAX bytes */
	enum audit_source source;
};

/* The line's length, newline included and no NUL after it; -EINVAL where origin or event breaks a limit. */
int audit_line_render(uint64_t sequence, const uint8_t prev[static AUDIT_HASH_SIZE],
	const struct audit_origin *origin, const struct audit_event *event,
	char out[static AUDIT_LINE_MAX]);

/* len bytes as the inside of a string; the number of characters, or -ENOSPC (at most 6 for a byte). */
int audit_escape(const void *data, size_t len, char *out, size_t size);
/* The bytes again; -EPROTO for what audit_escape() does not write, -ENOSPC. */
int audit_unescape(const char *text, size_t len, uint8_t *out, size_t size);
/* 2 * AUDIT_HASH_SIZE lower-case digits, no NUL. */
void audit_hash_write(
	const uint8_t hash[static AUDIT_HASH_SIZE], char out[static 2 * AUDIT_HASH_SIZE]);
