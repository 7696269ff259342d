/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What stop, rm and restart share: the names they are about, the grace, and how their failure is told. */
#include <stdint.h>

#include "vmm/sandboxctl/target.h"

typedef int ending_fn(const struct invocation *in, const struct target *target, void *data);

/*
 * Calls fn for each name of the command line, or the folder's sandbox, or with --all every one. Goes on after a failure; gives
 * the first exit code that is not 0. With --json: one document of kind "Ended" with the names that went well.
 */
int ending_each(const struct invocation *in, ending_fn *fn, void *data);

int ending_grace(const struct invocation *in, uint64_t *ret_ms, struct err *err);
/* -EDEADLK: something survived; said loudly. */
int ending_failed(const struct invocation *in, int code, const struct err *err);

/* H13: rm and --fresh of a sandbox whose workspace is not around this folder are an error that names both. */
int ending_check_folder(
	const struct invocation *in, const struct target *target, const char *workspace);
