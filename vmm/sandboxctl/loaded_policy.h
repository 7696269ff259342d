/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The policy that a sandbox has, or that one of this folder would get, put together as its supervisor does it. */
#include "policy/policy.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/policy_sources.h"
#include "vmm/supervisor/registry.h"

struct loaded_policy {
	struct paths paths;
	struct record record;
	char name[SANDBOX_NAME_MAX + 1]; /* "": there is none yet */
	struct policy_sources sources;
	struct policy *policy;
};

/* word NULL: of this folder, with a sandbox or without. 0 or an exit code; loaded_policy_finish() in any case. */
int loaded_policy_find(const struct invocation *in, const char *word, struct loaded_policy *ret);
void loaded_policy_finish(struct loaded_policy *l);
