/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The verbs below a noun (`policy allow`), as its words_help lists them: "ls [NAME] | allow HOST | ...". */
#include "vmm/sandboxctl/command.h"

/*
 * Says what was wrong with the words: how the verb is used, or that there is none of this name and which is near. Gives
 * EXIT_USAGE.
 */
int subverb_usage(const struct invocation *in);
