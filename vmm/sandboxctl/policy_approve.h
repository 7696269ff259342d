/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `policy approve`, and what is said where a project's .sandbox.json is not the one that was approved (supervisor/project_approval.h). */
#include "vmm/sandboxctl/command.h"
#include "vmm/sandboxctl/document.h"

#define APPROVAL_TEXT_MAX 256

/* project: as status_project() has it; NULL allowed. "" where nothing has changed. Gives out. */
const char *approval_words(const struct document *project, char out[static APPROVAL_TEXT_MAX]);

/* Shows what would change, asks, and approves. The exit code. */
int policy_approve(const struct invocation *in);
