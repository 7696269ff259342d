/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shipped documents of presets/, embedded when the tree is built. */
#include <stddef.h>

struct policy_preset {
	const char *name;
	const char *json;
	size_t len;
};

extern const struct policy_preset policy_presets[]; /* ended by a NULL name */
const struct policy_preset *policy_preset_find(const char *name); /* NULL: there is none */
