/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/base/parse.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/start.h"

static const struct option_def options[] = {
	OPTION_JSON,
	{ "timeout", 0, "TIME", "give up after this long (30s, 5m, 2h)" },
	OPTIONS_COMMON,
};

static struct document *end_document(const struct record *record)
{
	struct document *d = document_object();

	document_set_text(d, "name", record->spec.name);
	document_set_text(d, "state", lifecycle_name(record->state));
	document_set_text(d, "reason", record->reason);
	if (record->exit_code >= 0)
		document_set_int(d, "exit_code", record->exit_code);
	else
		document_set_text(d, "exit_code", NULL);
	return d;
}

static int print_end(const struct invocation *in, const struct record *record)
{
	_cleanup_document_ struct document *d = end_document(record);
	char text[512];

	if (in->json)
		report_document("End", document_copy(d));
	else
		printf("%s: %s\n", lifecycle_name(record->state),
			document_show(d, "reason", text, sizeof(text)));
	return record->state == LIFECYCLE_STOPPED ? EXIT_OK : EXIT_GENERAL;
}

static int wait_for(struct invocation *in, const struct target *target, uint64_t timeout_ms)
{
	struct record record;
	struct err err = {};
	int r, code;

	record_init(&record);
	r = sandbox_wait(&target->paths, target->name, timeout_ms, &record, &err);
	if (r == -ETIME || r == -ETIMEDOUT)
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "timed-out", "wait" }, &err);
	if (r < 0)
		return report_general(in, "wait", &err);
	code = print_end(in, &record);
	record_finish(&record);
	return code;
}

static int run(struct invocation *in)
{
	const char *timeout = options_value(&in->options, "timeout");
	uint64_t timeout_ms = 0;
	struct target target;
	struct err err = {};
	int code;

	if (timeout && (!parse_duration_ms(timeout, &timeout_ms) || !timeout_ms)) {
		err_set(&err, -EINVAL, "--timeout %.40s: not a time (30s, 5m, 2h)", timeout);
		return report_usage(in, &err);
	}
	code = target_find_word(in, 0, &target);
	return code ? code : wait_for(in, &target, timeout_ms);
}

const struct command command_wait = {
	.name = "wait",
	.words_help = "[NAME]",
	.summary = "Wait until a sandbox has ended",
	.details = "Exit code: 0 where it was stopped, 1 where it failed (or the time ran out).",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
