/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/completion.h"
#include "vmm/sandboxctl/help.h"
#include "vmm/sandboxctl/report.h"

static const struct option_def options[] = { OPTIONS_COMMON };

struct shell {
	const char *name;
	void (*print)(FILE *out);
};

static const struct shell shells[] = {
	{ "bash", completion_print_bash }, { "zsh", completion_print_zsh },
	{ "fish", completion_print_fish },
	{ "table", help_print_table }, /* for the lint test of the man page */
};

static int run(struct invocation *in)
{
	const char *name = in->options.words[0];
	struct err err = {};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(shells[i].name, name) == 0) {
			shells[i].print(stdout);
			return EXIT_OK;
		}
	}
	err_set(&err, -EINVAL, "no completion for '%.40s'", name);
	err_next_step(&err, "sandboxctl completion bash, zsh or fish");
	return report_usage(in, &err);
}

const struct command command_completion = {
	.name = "completion",
	.words_help = "bash|zsh|fish",
	.summary = "Print a completion script",
	.details = "In ~/.bashrc: source <(sandboxctl completion bash)",
	.options = options,
	.words = WORDS_OTHER,
	.words_min = 1,
	.words_max = 1,
	.run = run,
};
