/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/command.h"

#include <string.h>

const struct command *const command_table[] = {
	&command_version,
	&command_completion,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (strcmp((*c)->name, name) == 0 ||
			((*c)->alias && strcmp((*c)->alias, name) == 0))
			return *c;
	return NULL;
}
