/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Masks the slow way, for the tests of redact.h: every form, at every place. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vsock-proxy/redact.h"

static inline bool oracle_form_at(
	const struct redact_forms *forms, size_t i, const uint8_t *bytes, size_t at, size_t len)
{
	return forms->list[i].len <= len - at &&
	       memcmp(bytes + at, forms->list[i].bytes, forms->list[i].len) == 0;
}

static inline void oracle_mask(
	const struct redact_forms *forms, const uint8_t *in, size_t len, uint8_t *out)
{
	memcpy(out, in, len);
	for (size_t at = 0; at < len; at++)
		for (size_t i = 0; i < forms->count; i++)
			if (oracle_form_at(forms, i, in, at, len))
				memset(out + at, REDACT_MARK, forms->list[i].len);
}

/* How much of the end might go on to be a form. */
static inline size_t oracle_begun(const struct redact_forms *forms, const uint8_t *in, size_t len)
{
	size_t longest = 0;

	for (size_t i = 0; i < forms->count; i++)
		for (size_t part = 1; part < forms->list[i].len && part <= len; part++)
			if (part > longest &&
				memcmp(in + len - part, forms->list[i].bytes, part) == 0)
				longest = part;
	return longest;
}
