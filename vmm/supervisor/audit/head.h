/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The signed head of a log (H7): what a chain cannot show by itself, namely where it begins and where it ends. It is a small
 * text of one spelling, so that it can be checked by hand (docs/audit-events.md):
 *
 *   sandboxctl-audit-head 1
 *   log NAME
 *   first N HASH      the first line that is kept is the Nth of the log; HASH is that of the line before it
 *   active N HASH     the same of the active file's first line
 *   end N HASH        N lines were written so far, and HASH is that of the last
 *   segments N        sealed ones that are kept
 *   signature HEX     Ed25519 over all bytes before this line
 *
 * Pure; outputs are untouched on failure.
 */
#include "vmm/supervisor/audit/chain.h"
#include "vmm/supervisor/audit/key.h"

#define AUDIT_HEAD_MAX 1024

struct audit_head {
	char log[AUDIT_NAME_MAX + 1];
	struct chain first, active, end;
	uint64_t segments;
};

/* The length, or -EINVAL, -EIO. */
int audit_head_encode(const struct audit_head *head, const struct audit_key *key,
	char out[static AUDIT_HEAD_MAX]);
/* -EPROTO: no head; -EKEYREJECTED: not signed by this key, or changed since. */
int audit_head_decode(
	const void *data, size_t len, const struct audit_key *key, struct audit_head *ret);
