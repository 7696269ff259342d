/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A policy on its way to the processes that decide by it: the tier and the documents of policy_create(), packed into one
 * sealed memfd. The supervisor encodes; proxy and injectors decode, and make the same policy of it (E19).
 *
 * Wire form, little endian: u8 version, u8 tier, u16 count; then for each document u8 layer, u8 0, u16 length of its name,
 * u32 length of its text, name, text. Names are 1 to BUNDLE_NAME_MAX bytes without NUL.
 * Pure but for bundle_read().
 */
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"
#include "vmm/base/err.h"

#define BUNDLE_VERSION	1
#define BUNDLE_NAME_MAX 4096
#define BUNDLE_MAX	(4u << 20) /* bytes of the whole */

struct bundle {
	enum policy_tier tier;
	struct policy_source sources[POLICY_SOURCES_MAX];
	size_t count;
	char *text; /* the sources' names and documents lie here; owned */
};

/* How many bytes bundle_encode() writes; 0 where it is more than BUNDLE_MAX, or a limit above or of policy.h is passed. */
size_t bundle_size(const struct policy_source *sources, size_t count);
void bundle_encode(
	const struct policy_source *sources, size_t count, enum policy_tier tier, uint8_t *out);
/* -EPROTO: not what bundle_encode() writes; -ENOMEM. */
int bundle_decode(const void *data, size_t len, struct bundle *ret);
void bundle_finish(struct bundle *bundle);

/* Reads fd (a regular file or memfd, from its start) and makes the policy. fd stays the caller's. -EINVAL with policy_create()'s words. */
int bundle_read(int fd, struct policy **ret, struct err *err);
