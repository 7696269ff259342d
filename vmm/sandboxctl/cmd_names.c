/* SPDX-License-Identifier: Apache-2.0 */
/* For completion: the names of the registry, one a line. No guest has a word in it (H15). */
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/registry.h"

static const struct option_def options[] = { OPTIONS_COMMON };

static int run(struct invocation *in)
{
	struct paths paths;
	char **names;

	(void)in;
	if (paths_load(&paths, NULL) < 0 || registry_list(&paths, &names, NULL) < 0)
		return EXIT_GENERAL;
	for (char **name = names; *name; name++)
		printf("%s\n", *name);
	json_free_texts(names);
	return EXIT_OK;
}

const struct command command_names = {
	.name = "names",
	.summary = "Print the names of all sandboxes (for completion scripts)",
	.options = options,
	.hidden = true,
	.run = run,
};
