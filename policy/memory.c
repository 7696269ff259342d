/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/checked.h"

struct piece {
	struct piece *next;
	max_align_t data[];
};

struct policy_memory {
	struct piece *pieces;
	size_t used;
};

struct policy_memory *policy_memory_create(void)
{
	return calloc(1, sizeof(struct policy_memory));
}

void policy_memory_destroy(struct policy_memory *memory)
{
	if (!memory)
		return;
	while (memory->pieces) {
		struct piece *next = memory->pieces->next;

		free(memory->pieces);
		memory->pieces = next;
	}
	free(memory);
}

void *policy_memory_take(struct policy_memory *memory, size_t count, size_t size)
{
	struct piece *piece;
	size_t bytes;

	if (!checked_mul(count, size, &bytes) ||
		!range_fits(memory->used, bytes, POLICY_MEMORY_MAX))
		return NULL;
	piece = calloc(1, sizeof(*piece) + bytes);
	if (!piece)
		return NULL;
	piece->next = memory->pieces;
	memory->pieces = piece;
	memory->used += bytes;
	return piece->data;
}

char *policy_memory_text(struct policy_memory *memory, const char *text, size_t len)
{
	char *copy = policy_memory_take(memory, len + 1, 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}
