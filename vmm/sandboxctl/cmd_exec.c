/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/sandboxctl/guest_exec.h"

static const struct option_def options[] = {
	OPTIONS_EXEC,
	{ "interactive", 'i', NULL, "pass stdin on (the default)" },
	{ "no-stdin", 'n', NULL, "leave stdin alone" },
	OPTIONS_COMMON,
};

static int no_command(const struct invocation *in)
{
	const struct options *o = &in->options;
	char quoted[300];
	struct err err = {};

	err_set(&err, -EINVAL, "exec needs a command");
	if (o->word_count)
		err_next_step(&err, "if %.100s is the command: sandboxctl exec -- %s", o->words[0],
			report_shell_quote(o->words[0], quoted, sizeof(quoted)));
	else
		err_next_step(&err, "sandboxctl exec [NAME] -- CMD ...; a shell: sandboxctl shell");
	return report_usage(in, &err);
}

static int run(struct invocation *in)
{
	const struct options *o = &in->options;
	struct guest_exec exec = {
		.argv = (const char *const *)o->command,
		.options = o,
		.user = options_value(o, "user"),
		.folder = options_value(o, "cwd"),
		.tty = guest_tty_choice(in),
		.raw = options_flag(o, "raw"),
		.no_stdin = options_flag(o, "no-stdin"),
	};
	struct target target;
	int code;

	if (!o->command_count)
		return no_command(in);
	code = target_find_word(in, 0, &target);
	return code ? code : guest_exec_run(in, &target, &exec);
}

const struct command command_exec = {
	.name = "exec",
	.words_help = "[NAME] -- CMD ...",
	.summary = "Run a command in a running sandbox",
	.details =
		"Exit code: the command's own; 128+n where signal n ended it; 125 where we failed, 126 where CMD cannot be invoked,\n"
		"127 where it is not there. stdin is passed on until its end.",
	.options = options,
	.tail = TAIL_LOOSE,
	.words = WORDS_NAME,
	.words_max = 1,
	.guest_exit = true,
	.run = run,
};
