/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/ending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/parse.h"
#include "vmm/sandboxctl/project.h"
#include "vmm/supervisor/registry.h"

struct each {
	const struct invocation *in;
	ending_fn *fn;
	void *data;
	struct document *done;
	int code;
};

static void call_one(struct each *e, const struct target *target)
{
	int code = e->fn(e->in, target, e->data);

	if (code == EXIT_OK)
		document_append_text(e->done, target->name);
	else if (e->code == EXIT_OK)
		e->code = code;
}

static int call_all(struct each *e)
{
	struct target target = {};
	struct err err = {};
	char **names;
	int code = target_paths(e->in, &target.paths);

	if (code)
		return code;
	if (registry_list(&target.paths, &names, &err) < 0)
		return report_general(e->in, "lookup", &err);
	for (char **name = names; *name; name++) {
		snprintf(target.name, sizeof(target.name), "%s", *name);
		call_one(e, &target);
	}
	json_free_texts(names);
	return e->code;
}

static int call_words(struct each *e)
{
	const struct options *o = &e->in->options;

	for (size_t i = 0; i < o->word_count || i == 0; i++) {
		struct target target;
		int code = target_find_word(e->in, i, &target);

		if (code && e->code == EXIT_OK)
			e->code = code;
		if (!code)
			call_one(e, &target);
	}
	return e->code;
}

/* One document, whatever became of each: of kind Error with the first failure's fields, and with all of them. */
static int report_each(const struct each *e)
{
	const struct document *failures = e->in->failures;
	struct document *d = document_count(failures) ? document_copy(document_at(failures, 0))
						      : document_object();
	int code;

	document_set_child(d, "names", document_copy(e->done));
	if (document_count(failures))
		document_set_child(d, "failures", document_copy(failures));
	code = report_document(document_count(failures) ? "Error" : "Ended", d);
	return e->code ? e->code : code;
}

int ending_each(const struct invocation *in, ending_fn *fn, void *data)
{
	struct invocation kept = *in;
	struct each e = { .in = &kept, .fn = fn, .data = data, .done = document_list() };
	int code;

	kept.failures = in->json ? document_list() : NULL;
	code = options_flag(&in->options, "all") ? call_all(&e) : call_words(&e);
	if (in->json) {
		e.code = code;
		code = report_each(&e);
		document_destroy(kept.failures);
	}
	document_destroy(e.done);
	return code;
}

int ending_grace(const struct invocation *in, uint64_t *ret_ms, struct err *err)
{
	const char *text = options_value(&in->options, "grace");

	if (text && !parse_duration_ms(text, ret_ms))
		return err_set(err, -EINVAL, "--grace %.40s: not a time (5s, 1m)", text);
	return 0;
}

int ending_failed(const struct invocation *in, int code, const struct err *err)
{
	if (code == -ENOENT)
		return target_missing(in, err);
	if (code == -EDEADLK)
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "survived", "verify" }, err);
	return report_general(in, "stop", err);
}

static bool same_folder(const char *workspace, const struct spec_share *share)
{
	char path[PATH_MAX];

	if (!workspace)
		return project_is_inside(".", share->device, share->inode);
	/* A workspace that is gone can still be named. */
	return strcmp(workspace, share->host) == 0 ||
	       (realpath(workspace, path) && strcmp(path, share->host) == 0);
}

static int wrong_folder(const struct invocation *in, const struct record *record)
{
	char here[PATH_MAX], quoted[PATH_MAX + 8];
	struct err err = {};

	if (!getcwd(here, sizeof(here)))
		strcpy(here, "a folder that is gone");
	err_set(&err, -EEXIST, "sandbox %s belongs to %.150s, and this is %.150s",
		record->spec.name, record->spec.workspace.host, here);
	err_next_step(&err, "if you mean it: sandboxctl %s --workspace %s %s", in->command->name,
		report_shell_quote(record->spec.workspace.host, quoted, sizeof(quoted)),
		record->spec.name);
	return report_failure(
		in, (struct failure){ EXIT_GENERAL, "other-workspace", "lookup" }, &err);
}

int ending_check_folder(
	const struct invocation *in, const struct target *target, const char *workspace)
{
	struct record record;
	int code = 0;

	record_init(&record);
	/* A record that cannot be read says nothing about a workspace, and must not stand in the way of its removal. */
	if (registry_load(&target->paths, target->name, &record, NULL) == 0 &&
		record.spec.workspace.host && !same_folder(workspace, &record.spec.workspace))
		code = wrong_folder(in, &record);
	record_finish(&record);
	return code;
}
