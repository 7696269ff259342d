/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* --help, from the tables. */
#include <stdio.h>

#include "vmm/sandboxctl/command.h"

void help_print_verbs(FILE *out);
void help_print_verb(FILE *out, const struct command *command);
/* Every verb and option as lines "verb" and "verb --option": what the lint test compares with the man page. */
void help_print_table(FILE *out);
