/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/status.h"

static const struct option_def options[] = { OPTION_JSON, OPTIONS_COMMON };

static int add_record(const struct target *target, struct document *data, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	struct document *d = NULL;
	struct record record;
	size_t len;
	int r;

	record_init(&record);
	r = registry_load(&target->paths, target->name, &record, err);
	if (r == 0)
		r = record_format(&record, &text, &len, err);
	if (r == 0)
		r = document_parse(text, len, &d, err);
	if (r == 0)
		document_set_child(data, "record", d);
	record_finish(&record);
	return r;
}

static void add_folders(const struct target *target, struct document *data)
{
	char path[PATH_MAX];

	if (paths_of_state(&target->paths, target->name, NULL, path, NULL) == 0)
		document_set_text(data, "state_folder", path);
	if (paths_of_runtime(&target->paths, target->name, NULL, path, NULL) == 0)
		document_set_text(data, "runtime_folder", path);
}

static int run(struct invocation *in)
{
	_cleanup_document_ struct document *data = document_object();
	struct target target;
	struct err err = {};
	json_t *status = NULL;
	int code = target_find_word(in, 0, &target);

	if (code)
		return code;
	if (add_record(&target, data, &err) < 0 ||
		status_of(&target.paths, target.name, &status, &err) < 0)
		return report_general(in, "lookup", &err);
	document_set_child(data, "status", document_of_json(status));
	add_folders(&target, data);
	return report_document("Inspect", TAKE_PTR(data));
}

const struct command command_inspect = {
	.name = "inspect",
	.words_help = "[NAME]",
	.summary = "Print everything that is known about a sandbox, as JSON",
	.options = options,
	.words = WORDS_NAME,
	.words_max = 1,
	.run = run,
};
