/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/log_view.h"

static const struct option_def options[] = { OPTIONS_LOG, OPTIONS_COMMON };

static int run(struct invocation *in)
{
	struct target target;
	int code = target_find_word(in, 0, &target);

	return code ? code : log_view(in, &target, "console.log");
}

const struct command command_console = {
	.name = "console",
	.words_help = "[NAME]",
	.summary = "Show the guest kernel's console",
	.details =
		"The log is capped: its newest part is kept. It is read-only: `sandboxctl shell` is the way in.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
