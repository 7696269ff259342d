/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Completion scripts, generated from the command table (H15). They offer verbs, options and names of sandboxes; the
 * names come from the registry, never from a guest, and each is checked against the pattern of names again in the
 * shell. Nothing is ever evaluated: no eval, and in bash no compgen -W, which expands $(...).
 */
#include <stdio.h>

void completion_print_bash(FILE *out);
void completion_print_zsh(FILE *out);
void completion_print_fish(FILE *out);
