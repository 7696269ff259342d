/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "vmm/sandboxctl/guest_exec.h"
#include "vmm/sandboxctl/start_run.h"
#include "vmm/supervisor/start.h"
#include "vmm/supervisor/status.h"

static const struct option_def options[] = {
	{ "fresh", 0, NULL, "end what runs under this name, verify it, and boot a new machine" },
	{ "no-attach", 0, NULL, "leave it running and return" },
	{ "dry-run", 0, NULL, "say what would be done, and do nothing" },
	OPTIONS_SPEC,
	{ "raw", 0, NULL, "do not filter the guest's bytes on this terminal" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

static const char *planned_action(bool runs, bool fresh)
{
	if (runs)
		return fresh ? "replace" : "attach";
	return "start";
}

static int dry_run(
	const struct invocation *in, const struct start_plan *plan, bool runs, bool fresh)
{
	struct document *d = document_object();

	document_set_text(d, "action", planned_action(runs, fresh));
	document_set_child(d, "spec", document_of_json(spec_encode(&plan->spec)));
	if (in->json)
		return report_document("Plan", d);
	document_print(stdout, d, false);
	document_destroy(d);
	return EXIT_OK;
}

static int print_status(const struct target *target, const struct invocation *in)
{
	struct err err = {};
	json_t *status;

	if (status_of(&target->paths, target->name, &status, &err) < 0)
		return report_general(in, "lookup", &err);
	return report_document("Sandbox", document_of_json(status));
}

/* Without a terminal and without a command there is nothing to attach to that anybody could want. */
static bool attach_wanted(const struct invocation *in, const struct start_plan *plan)
{
	if (in->json || options_flag(&in->options, "no-attach"))
		return false;
	return guest_terminal_here() || (plan->spec.command && plan->spec.command[0]);
}

static int join(const struct invocation *in, const struct start_plan *plan)
{
	struct target target = { .paths = plan->paths };

	snprintf(target.name, sizeof(target.name), "%s", plan->spec.name);
	if (in->json)
		return print_status(&target, in);
	if (!attach_wanted(in, plan))
		return EXIT_OK;
	return guest_attach_or_shell(in, &target, options_flag(&in->options, "raw"));
}

/* H1: what holds the name and does not run. 0 where it is something to join. */
static int check_joinable(const struct invocation *in, const struct start_plan *plan)
{
	_cleanup_document_ struct document *status = NULL;
	const char *name = plan->spec.name;
	struct err err = {};
	json_t *json = NULL;

	if (status_of(&plan->paths, name, &json, &err) < 0)
		return report_general(in, "lookup", &err);
	status = document_of_json(json);
	if (strcmp(document_text(status, "state", ""), "quarantined") != 0)
		return 0;
	err_set(&err, -EDEADLK, "sandbox %s: it is quarantined: %.200s", name,
		document_text(status, "reason", ""));
	err_next_step(&err, "sandboxctl stop %s tries again", name);
	return report_failure(in, (struct failure){ EXIT_GENERAL, "survived", "verify" }, &err);
}

static int join_running(const struct invocation *in, const struct start_plan *plan)
{
	int code = check_joinable(in, plan);

	if (code)
		return code;
	if (plan->flags_given && !in->json)
		fprintf(stderr,
			"sandbox %s runs already, with the flags of its start; --fresh would apply these\n",
			plan->spec.name);
	else if (!in->json)
		fprintf(stderr, "sandbox %s runs already\n", plan->spec.name);
	return join(in, plan);
}

static int start_now(const struct invocation *in, struct start_plan *plan, bool fresh)
{
	_cleanup_document_ struct document *status = NULL;
	struct err err = {};
	int code = start_check_kvm(in, &plan->paths);

	if (!code && fresh)
		code = start_replace(in, plan);
	if (code)
		return code;
	if (sandbox_clean_stale(&plan->paths, plan->spec.name, &err) < 0 && err.code != -ENOENT)
		return report_general(in, "prepare", &err);
	plan->spec.await_attach = attach_wanted(in, plan);
	start_note_open_files(in);
	code = start_launch(in, plan, &status);
	if (code)
		return code;
	start_note_path(in, &plan->spec);
	start_announce(in, status);
	return join(in, plan);
}

static int act(const struct invocation *in, struct start_plan *plan)
{
	bool fresh = options_flag(&in->options, "fresh");
	bool runs = registry_is_locked(&plan->paths, plan->spec.name) == 1;

	if (options_flag(&in->options, "dry-run"))
		return dry_run(in, plan, runs, fresh);
	return runs && !fresh ? join_running(in, plan) : start_now(in, plan, fresh);
}

static int run(struct invocation *in)
{
	struct start_plan plan;
	int code;

	start_plan_init(&plan);
	code = start_plan_make(
		in, in->options.word_count ? in->options.words[0] : NULL, true, &plan);
	if (!code)
		code = act(in, &plan);
	start_plan_finish(&plan);
	return code;
}

const struct command command_start = {
	.name = "start",
	.words_help = "[NAME] [-- CMD ...]",
	.summary = "Start a sandbox on this project folder, and attach to it",
	.details =
		"The folder is at /workspace, writable. Attaching joins CMD's terminal, or opens a shell where there is no CMD; leaving\n"
		"it leaves the sandbox running. A later start has the same flags; those given then replace them one by one.\n"
		"Exit code: of management verbs, 4 where KVM is not fit; once attached, the code of CMD or of the shell.",
	.options = options,
	.tail = TAIL_COMMAND,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
