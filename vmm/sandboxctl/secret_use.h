/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where secrets are used: the bindings of all policies here that name them, and the last request that had one, by the audit logs. */
#include "vmm/sandboxctl/document.h"
#include "vmm/supervisor/paths.h"

struct secret_use;

int secret_use_find(const struct paths *paths, struct secret_use **ret, struct err *err);
void secret_use_destroy(struct secret_use *use);
/* When (as the log has it), or NULL. */
const char *secret_use_last(const struct secret_use *use, const char *name);
/* "BINDING" of the user's policy, "SANDBOX: BINDING" of a sandbox's, appended to list. */
void secret_use_bindings(const struct secret_use *use, const char *name, struct document *list);
