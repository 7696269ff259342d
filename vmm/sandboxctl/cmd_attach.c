/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/guest_exec.h"

static const struct option_def options[] = {
	{ "raw", 0, NULL, "do not filter the guest's bytes on this terminal" },
	OPTIONS_COMMON,
};

static int run(struct invocation *in)
{
	struct target target;
	int code = target_find_word(in, 0, &target);

	return code ? code : guest_attach_or_shell(in, &target, options_flag(&in->options, "raw"));
}

const struct command command_attach = {
	.name = "attach",
	.words_help = "[NAME]",
	.summary = "Join the main command's terminal, or open a shell where there is none",
	.details =
		"ctrl-p ctrl-q detaches; the command goes on. Exit code: the command's own where it ended, 0 after a detach.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.guest_exit = true,
	.run = run,
};
