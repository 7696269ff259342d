/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/audit_view.h"
#include "vmm/supervisor/registry.h"

static const struct option_def options[] = {
	OPTIONS_AUDIT_VIEW,
	{ "json", 0, NULL, "print one JSON document per line" },
	OPTIONS_COMMON,
};

/* Of the machine that runs, or ran last. */
static int this_instance(
	const struct invocation *in, const struct audit_target *target, struct audit_view *view)
{
	struct record record;
	struct err err = {};
	int r;

	record_init(&record);
	r = registry_load(&target->paths, target->name, &record, &err);
	snprintf(view->instance, sizeof(view->instance), "%s", r == 0 ? record.instance : "");
	record_finish(&record);
	return r < 0 ? target_missing(in, &err) : 0;
}

static int run(struct invocation *in)
{
	const char *word = in->options.word_count ? in->options.words[0] : NULL;
	struct audit_target target;
	struct audit_view view;
	int code = audit_target_find(in, word, &target);

	if (!code)
		code = audit_view_options(in, 0, &view);
	if (!code)
		code = this_instance(in, &target, &view);
	view.until_end = true;
	if (!code)
		code = audit_view_show(in, &target, &view);
	audit_target_finish(&target);
	return code;
}

const struct command command_events = {
	.name = "events",
	.words_help = "[NAME]",
	.summary = "Show what happened in a sandbox since it was started; -f: as it happens",
	.details =
		"Its states, what was run in it, every request it made and what became of it. The whole log, of earlier runs too: sandboxctl audit.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
