/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/sandboxctl/ending.h"
#include "vmm/sandboxctl/project.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/start.h"

static const struct option_def options[] = {
	{ "all", 'a', NULL, "every sandbox of this user" },
	{ "force", 'f', NULL, "also one of another folder; no error where there is none" },
	{ "workspace", 0, "DIR", "the workspace of the sandbox, where it is not this folder's" },
	{ "grace", 0, "TIME", "what the guest gets for an orderly end (default 10s)" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

static int remove_one(const struct invocation *in, const struct target *target, void *data)
{
	const uint64_t *grace_ms = data;
	struct err err = {};
	int r, code = 0;

	if (!options_flag(&in->options, "all") && !options_flag(&in->options, "force"))
		code = ending_check_folder(in, target, options_value(&in->options, "workspace"));
	if (code)
		return code;
	report_progress(in, "removing %s", target->name);
	r = sandbox_remove(&target->paths, target->name, *grace_ms, &err);
	report_progress_end(in);
	if (r < 0)
		return ending_failed(in, r, &err);
	if (!in->json)
		printf("%s removed\n", target->name);
	return EXIT_OK;
}

/* With --force a sandbox that is not there is well. */
static bool nothing_to_remove(const struct invocation *in)
{
	const struct options *o = &in->options;
	struct project project;
	struct paths paths;

	if (!options_flag(o, "force") || options_flag(o, "all") || paths_load(&paths, NULL) < 0)
		return false;
	if (o->word_count == 0)
		return project_find(&paths, ".", &project, NULL) == 0 && !project.has_sandbox;
	return o->word_count == 1 && sandbox_name_valid(o->words[0]) &&
	       registry_is_locked(&paths, o->words[0]) == -ENOENT;
}

static int run(struct invocation *in)
{
	uint64_t grace_ms = START_GRACE_MS;
	struct err err = {};

	if (ending_grace(in, &grace_ms, &err) < 0)
		return report_usage(in, &err);
	if (nothing_to_remove(in))
		return EXIT_OK;
	return ending_each(in, remove_one, &grace_ms);
}

const struct command command_rm = {
	.name = "rm",
	.words_help = "[NAME ...]",
	.summary = "Stop sandboxes and forget them: flags, logs and keys",
	.details =
		"The workspace is not touched. A sandbox of another folder needs its --workspace named, or --force.",
	.options = options,
	.words = WORDS_NAMES,
	.words_max = OPTIONS_WORDS_MAX,
	.run = run,
};
