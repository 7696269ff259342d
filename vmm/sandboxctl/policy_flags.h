/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * start's `--allow-host`, `--secret`, `--policy` and `--tier` as the command line's policy document (policy/schema.json), which the spec keeps.
 * `--policy` is a preset's name or a file whose document is taken as it is; `--allow-host` adds rules to that. Port 22 is SSH and
 * passes unseen; every other one is HTTP, read. `--secret NAME@HOST[:PORT]` adds a rule and a binding: bearer, or for hosts of code basic.
 */
#include "vmm/base/err.h"
#include "vmm/sandboxctl/options.h"

#define POLICY_FLAG_HOSTS_MAX 256

/* *ret: the document's text, the caller's; NULL where none of them was given. -EINVAL with what is wrong with which. */
int policy_flags_document(const struct options *options, char **ret, struct err *err);
