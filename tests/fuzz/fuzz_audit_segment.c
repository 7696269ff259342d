/* SPDX-License-Identifier: Apache-2.0 */
/* A log's bytes: read whole or in two pieces at a line's end, the verdict and its place are the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/supervisor/audit/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chain whole = {}, parts = {};
	enum chain_verdict verdict, second;
	const uint8_t *newline = memchr(data, '\n', size);
	size_t offset, first_end, rest;

	if (chain_read(&whole, data, size, &verdict, &offset) < 0)
		return 0;
	if (offset > size || (verdict == CHAIN_WHOLE) != (offset == size))
		abort();
	first_end = newline ? (size_t)(newline - data) + 1 : 0;
	if (offset < first_end || first_end == 0)
		return 0;
	if (chain_read(&parts, data, first_end, &second, &rest) < 0 || second != CHAIN_WHOLE)
		abort();
	if (chain_read(&parts, data + first_end, size - first_end, &second, &rest) < 0 ||
		second != verdict || rest + first_end != offset ||
		parts.sequence != whole.sequence ||
		memcmp(parts.prev, whole.prev, AUDIT_HASH_SIZE) != 0)
		abort();
	return 0;
}
