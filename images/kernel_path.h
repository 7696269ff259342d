/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Paths of the kernel cache, as its two halves build them: kernel_find.c, which names a kernel, and kernel_cache.c, which opens it.
 */
#include <limits.h>
#include <stdbool.h>

#include "vmm/base/err.h"

/* As snprintf(); -ENAMETOOLONG where it does not fit. */
int kernel_path(char out[static PATH_MAX], struct err *err, const char *pattern, ...)
	__attribute__((format(printf, 3, 4)));
bool kernel_is_file(const char *path);
