/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Telling sandboxes that run that a file of theirs is another now. One that does not run reads it when it starts. */
#include "vmm/sandboxctl/target.h"

/* op: policy_reload, secrets_reload (supervisor/control.h). 0 or the exit code; one that has it now is told on stderr. */
int reload_one(
	const struct invocation *in, const struct paths *paths, const char *name, const char *op);
int reload_all(const struct invocation *in, const struct paths *paths, const char *op);
