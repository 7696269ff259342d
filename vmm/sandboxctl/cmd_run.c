/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run = start, attach, remove. CMD runs as an exec beside an otherwise idle machine, so that its pipes, its back-pressure and
 * its exit code are exactly those of exec, and nothing it writes is kept.
 */
#include <errno.h>
#include <signal.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/guest_exec.h"
#include "vmm/sandboxctl/start_run.h"
#include "vmm/sandboxctl/terminal.h"
#include "vmm/supervisor/start.h"

/* The signal that asked us to end, while no session has them. What was begun is removed all the same. */
static volatile sig_atomic_t interrupted;

static const struct option_def options[] = {
	OPTIONS_SPEC,
	{ "user", 'u', "USER", "run as this guest user (default: sandbox)" },
	{ "cwd", 'w', "DIR", "start in this guest folder (default: /workspace)" },
	{ "raw", 0, NULL, "do not filter the guest's bytes on this terminal" },
	OPTIONS_COMMON,
};

static int remove_sandbox(const struct invocation *in, const struct start_plan *plan)
{
	struct err err = {};
	int r;

	report_progress(in, "removing %s", plan->spec.name);
	r = sandbox_remove(&plan->paths, plan->spec.name, START_GRACE_MS, &err);
	report_progress_end(in);
	if (r == -EDEADLK)
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "survived", "verify" }, &err);
	return r < 0 ? report_general(in, "remove", &err) : 0;
}

static int run_command(const struct invocation *in, const struct start_plan *plan)
{
	const struct options *o = &in->options;
	const struct guest_exec exec = {
		.argv = o->command_count ? (const char *const *)o->command : NULL,
		.user = options_value(o, "user"),
		.folder = options_value(o, "cwd"),
		.tty = guest_tty_choice(in),
		.raw = options_flag(o, "raw"),
	};
	struct target target = { .paths = plan->paths };

	snprintf(target.name, sizeof(target.name), "%s", plan->spec.name);
	return guest_exec_run(in, &target, &exec);
}

static void note_interrupt(int number)
{
	interrupted = number;
}

/* Without SA_RESTART: a start that is waited for ends at once. What is ignored (nohup) stays so. */
static void catch_interrupts(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = note_interrupt }, before;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

static int start_and_run(const struct invocation *in, struct start_plan *plan)
{
	int removal, code = start_check_kvm(in, &plan->paths);
	sigset_t before;

	if (code)
		return code;
	catch_interrupts();
	code = start_launch(in, plan, NULL);
	if (!code && !interrupted)
		code = run_command(in, plan);
	(void)terminal_block_signals(
		&before); /* an impatient ctrl-C must not leave the machine behind */
	removal = remove_sandbox(in, plan);
	if (interrupted)
		return EXIT_SIGNAL_BASE + interrupted;
	return code ? code : removal;
}

/* A sandbox that is known is not run's to remove. */
static int refuse_known(const struct invocation *in, const struct start_plan *plan)
{
	struct err err = {};

	err_set(&err, -EEXIST, "there is a sandbox %s already, and run would remove it",
		plan->spec.name);
	err_next_step(&err,
		"another name: sandboxctl run NAME ...; in that one: sandboxctl exec %s -- CMD",
		plan->spec.name);
	return report_failure(in, (struct failure){ EXIT_GENERAL, "exists", "lookup" }, &err);
}

/* Without NAME a free one, so that run works beside the folder's own sandbox. */
static int name_of_run(const struct invocation *in, char name[static SANDBOX_NAME_MAX + 1])
{
	struct paths paths;
	struct err err = {};
	int code = target_paths(in, &paths);

	if (code)
		return code;
	return registry_free_name(&paths, "run", name) < 0 ? report_general(in, "lookup", &err) : 0;
}

static int run(struct invocation *in)
{
	char name[SANDBOX_NAME_MAX + 1];
	struct start_plan plan;
	int code = 0;

	if (in->options.word_count)
		snprintf(name, sizeof(name), "%s", in->options.words[0]);
	else
		code = name_of_run(in, name);
	if (code)
		return code;
	start_plan_init(&plan);
	code = start_plan_make(in, name, false, &plan);
	if (!code)
		code = plan.exists ? refuse_known(in, &plan) : start_and_run(in, &plan);
	start_plan_finish(&plan);
	return code;
}

const struct command command_run = {
	.name = "run",
	.words_help = "[NAME] [-- CMD ...]",
	.summary = "Start a sandbox, run CMD or a shell in it, and remove it",
	.details =
		"Exit code: the command's own; 128+n where signal n ended it; 125 where we failed, 126 where CMD cannot be invoked,\n"
		"127 where it is not there. Without NAME a free one is taken.",
	.options = options,
	.tail = TAIL_COMMAND,
	.words = WORDS_OTHER,
	.words_max = 1,
	.guest_exit = true,
	.run = run,
};
