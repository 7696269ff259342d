/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/log_view.h"

static const struct option_def options[] = {
	OPTIONS_LOG,
	{ "supervisor", 0, NULL, "what the supervisor wrote, instead of the main command" },
	{ "vmm", 0, NULL, "what the VMM wrote" },
	{ "link", 0, NULL, "what the link wrote" },
	OPTIONS_COMMON,
};

static const char *file_of(const struct invocation *in)
{
	if (options_flag(&in->options, "supervisor"))
		return "supervisor.log";
	if (options_flag(&in->options, "vmm"))
		return "vmm.log";
	return options_flag(&in->options, "link") ? "link.log" : "session.log";
}

static int run(struct invocation *in)
{
	struct target target;
	int code = target_find_word(in, 0, &target);

	return code ? code : log_view(in, &target, file_of(in));
}

const struct command command_logs = {
	.name = "logs",
	.words_help = "[NAME]",
	.summary = "Show the output of a sandbox's main command",
	.details = "The log is capped: its newest part is kept.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
