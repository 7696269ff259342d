/* SPDX-License-Identifier: Apache-2.0 */
/* policy_load LAYER FILE...: what the loader says of each document, a line each: "ok", or its error. */
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"

static void load(enum policy_layer layer, const char *name)
{
	static char text[POLICY_DOCUMENT_MAX + 1];
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_fclose_ FILE *file = fopen(name, "re");
	size_t len = file ? fread(text, 1, sizeof(text), file) : 0;
	const struct policy_source source = { layer, "document", text, len };
	struct err err = {};

	if (!file)
		puts("no such file");
	else if (policy_create(&source, 1, POLICY_TIER_BUILDER, &policy, &err) == 0)
		puts("ok");
	else
		puts(err.text);
}

int main(int argc, char **argv)
{
	static const char *const layers[] = { "command", "user", "system", "project" };

	for (unsigned int i = 0; argc > 1 && i < POLICY_LAYER_COUNT; i++)
		for (int j = 2; strcmp(argv[1], layers[i]) == 0 && j < argc; j++)
			load((enum policy_layer)i, argv[j]);
	return 0;
}
