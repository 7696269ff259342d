/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bytes for a child: a memfd that nobody can change any more, read from its start. */
#include <stddef.h>

#include "vmm/base/err.h"

/* *ret_fd is the caller's (CLOEXEC). what: for messages and /proc. */
int sealed_memfd(const char *what, const void *data, size_t len, int *ret_fd, struct err *err);
