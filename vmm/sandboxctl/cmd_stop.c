/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/base/parse.h"
#include "vmm/sandboxctl/ending.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/start.h"

static const struct option_def options[] = {
	{ "all", 'a', NULL, "every sandbox that runs" },
	{ "grace", 0, "TIME", "what the guest gets for an orderly end (default 10s)" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

static int stop_one(const struct invocation *in, const struct target *target, void *data)
{
	const uint64_t *grace_ms = data;
	bool ran = registry_is_locked(&target->paths, target->name) == 1;
	struct err err = {};
	int r;

	report_progress(in, "stopping %s", target->name);
	r = sandbox_stop(
		&target->paths, target->name, *grace_ms, "stopped by sandboxctl stop", &err);
	report_progress_end(in);
	if (r < 0)
		return ending_failed(in, r, &err);
	if (!in->json)
		printf(ran ? "%s stopped; what was written outside shares and disks is gone\n"
			   : "%s was not running\n",
			target->name);
	return EXIT_OK;
}

static int run(struct invocation *in)
{
	uint64_t grace_ms = START_GRACE_MS;
	struct err err = {};

	if (ending_grace(in, &grace_ms, &err) < 0)
		return report_usage(in, &err);
	return ending_each(in, stop_one, &grace_ms);
}

const struct command command_stop = {
	.name = "stop",
	.words_help = "[NAME ...]",
	.summary =
		"Stop sandboxes: the guest is asked, then ended, then it is verified that nothing is left",
	.details =
		"Flags and logs are kept: `start` starts it again. What was written outside shares and disks is lost.",
	.options = options,
	.words = WORDS_NAMES,
	.words_max = OPTIONS_WORDS_MAX,
	.run = run,
};
