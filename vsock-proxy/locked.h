/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Memory for a secret: never swapped, in no core, wiped when it goes (E18). */
#include <stddef.h>

/* NULL: none can be had; its pages are locked where RLIMIT_MEMLOCK allows it. */
void *locked_alloc(size_t size);
void locked_free(void *memory, size_t size); /* NULL is allowed */
