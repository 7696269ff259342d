/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/guest_exec.h"

static const struct option_def options[] = { OPTIONS_EXEC, OPTIONS_COMMON };

static int run(struct invocation *in)
{
	const struct options *o = &in->options;
	struct guest_exec exec = {
		.options = o,
		.user = options_value(o, "user"),
		.folder = options_value(o, "cwd"),
		.tty = guest_tty_choice(in),
		.raw = options_flag(o, "raw"),
	};
	struct target target;
	int code = target_find_word(in, 0, &target);

	return code ? code : guest_exec_run(in, &target, &exec);
}

const struct command command_shell = {
	.name = "shell",
	.words_help = "[NAME]",
	.summary = "Open a shell in a running sandbox",
	.details =
		"Leaving it leaves the sandbox running. Without a terminal the shell reads commands from stdin.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.guest_exit = true,
	.run = run,
};
