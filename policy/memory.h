/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The memory of one policy: taken piece by piece while it is made, given back at once. Zeroed; NULL when there is none. */
#include <stddef.h>

#define POLICY_MEMORY_MAX (16u << 20) /* bytes of one policy */

struct policy_memory;

struct policy_memory *policy_memory_create(void);
void policy_memory_destroy(struct policy_memory *memory); /* NULL allowed */
void *policy_memory_take(struct policy_memory *memory, size_t count, size_t size);
char *policy_memory_text(struct policy_memory *memory, const char *text, size_t len);
