/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/preset.h"

#include <string.h>

const struct policy_preset *policy_preset_find(const char *name)
{
	for (const struct policy_preset *p = policy_presets; p->name; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}
