/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/ending.h"
#include "vmm/sandboxctl/start_run.h"
#include "vmm/supervisor/start.h"

static const struct option_def options[] = {
	{ "grace", 0, "TIME", "what the guest gets for an orderly end (default 10s)" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

static int load_plan(
	const struct invocation *in, const struct target *target, struct start_plan *plan)
{
	struct record record;
	struct err err = {};
	int r;

	plan->paths = target->paths;
	record_init(&record);
	r = registry_load(&target->paths, target->name, &record, &err);
	if (r == 0)
		r = spec_copy(&record.spec, &plan->spec);
	if (r == 0)
		r = spec_resolve(&plan->spec, &err);
	record_finish(&record);
	plan->spec.await_attach = false;
	return r < 0 ? report_general(in, "lookup", &err) : 0;
}

static int restart(const struct invocation *in, struct start_plan *plan, uint64_t grace_ms)
{
	_cleanup_document_ struct document *status = NULL;
	struct err err = {};
	int r, code = start_check_kvm(in, &plan->paths);

	if (!code)
		code = start_check(in, plan);
	if (code)
		return code;
	report_progress(in, "stopping %s", plan->spec.name);
	r = sandbox_stop(
		&plan->paths, plan->spec.name, grace_ms, "stopped by sandboxctl restart", &err);
	report_progress_end(in);
	if (r < 0)
		return ending_failed(in, r, &err);
	code = start_launch(in, plan, &status);
	if (code)
		return code;
	start_announce(in, status);
	return in->json ? report_document("Sandbox", TAKE_PTR(status)) : EXIT_OK;
}

static int run(struct invocation *in)
{
	uint64_t grace_ms = START_GRACE_MS;
	struct start_plan plan;
	struct target target;
	struct err err = {};
	int code;

	if (ending_grace(in, &grace_ms, &err) < 0)
		return report_usage(in, &err);
	code = target_find_word(in, 0, &target);
	if (code)
		return code;
	start_plan_init(&plan);
	code = load_plan(in, &target, &plan);
	if (!code)
		code = restart(in, &plan, grace_ms);
	start_plan_finish(&plan);
	return code;
}

const struct command command_restart = {
	.name = "restart",
	.words_help = "[NAME]",
	.summary = "Stop a sandbox and start it again with the same flags",
	.details = "What was written outside shares and disks is lost, as with stop.",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
