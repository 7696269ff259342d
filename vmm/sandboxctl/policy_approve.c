/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/policy_approve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "policy/policy.h"
#include "vmm/base/cleanup.h"
#include "vmm/sandboxctl/line_diff.h"
#include "vmm/sandboxctl/project.h"
#include "vmm/sandboxctl/report.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/policy_sources.h"
#include "vmm/supervisor/status.h"

#define SHORT_DIGEST 12

const char *approval_words(const struct document *project, char out[static APPROVAL_TEXT_MAX])
{
	out[0] = '\0';
	if (document_bool(project, "changed", false))
		snprintf(out, APPROVAL_TEXT_MAX,
			"%s has changed since it was approved (%.*s, now %.*s): what was approved holds as well, until sandboxctl policy approve",
			POLICY_PROJECT, SHORT_DIGEST, document_text(project, "approved", "?"),
			SHORT_DIGEST, document_text(project, "present", "?"));
	return out;
}

struct approval {
	const struct invocation *in;
	struct paths paths;
	char folder[PATH_MAX];
	struct policy_sources sources;
};

/* A folder that was approved already is itself; else the project that it is in. */
static int find_folder(struct approval *a)
{
	const char *word = options_value(&a->in->options, "project");
	struct project_policy kept = {};
	struct project project;
	struct err err = {};
	bool exact;
	int r;

	if (word && realpath(word, a->folder) &&
		project_approval_load(&a->paths, a->folder, &kept, &exact, NULL) != 0) {
		project_policy_finish(&kept);
		return 0;
	}
	r = project_find(&a->paths, word ? word : ".", &project, &err);
	if (r < 0)
		return report_general(a->in, "lookup", &err);
	memcpy(a->folder, project.folder, sizeof(a->folder));
	return 0;
}

/* What is found there, whatever is kept: damage of what is kept is what an approval mends. */
static int load(struct approval *a, struct err *err)
{
	const struct policy_inputs in = { .paths = &a->paths, .workspace = a->folder };
	struct policy *policy = NULL;
	int r = policy_sources_load_project(&in, &a->sources, err);

	if (r == 0)
		r = policy_create(
			a->sources.list, a->sources.count, POLICY_TIER_BUILDER, &policy, err);
	policy_destroy(policy);
	return r;
}

/* H6: a guest may have chosen what the file says. Only printable ASCII is left of it, on a terminal or not. */
static char *lines_of(const char *json)
{
	json_t *object = json ? json_loads(json, 0, NULL) : NULL;
	char *text =
		object ? json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII)
		       : strdup("");

	json_decref(object);
	return text;
}

static void print_line(void *data, char mark, const char *line, size_t len)
{
	(void)data;
	if (mark == '.')
		printf("  ...\n");
	else
		printf("%c %.*s\n", mark, (int)len, line);
}

static void print_change(const struct approval *a)
{
	const struct policy_project *project = &a->sources.project;
	_cleanup_free_ char *old = lines_of(project->approved.json),
			    *new = lines_of(project->present.json);
	char shown[PATH_MAX];

	printf("%s: %.*s, now %.*s\n", terminal_filter_text(a->folder, shown, sizeof(shown)),
		SHORT_DIGEST, project->known ? project->approved.digest : "nothing", SHORT_DIGEST,
		project->present.digest);
	if (old && new)
		(void)line_diff(old, new, print_line, NULL);
}

static int report(const struct approval *a, bool approved)
{
	const struct policy_project *project = &a->sources.project;
	struct document *d;

	if (!a->in->json) {
		fputs(approved ? "approved; sandboxes of this folder have it from their next start on\n"
			       : "approved already\n",
			stderr);
		return EXIT_OK;
	}
	d = document_object();
	document_set_text(d, "folder", a->folder);
	document_set_text(d, "file", project->present.name);
	document_set_text(d, "before", project->known ? project->approved.digest : NULL);
	document_set_text(d, "approved", project->present.digest);
	document_set_bool(d, "changed", approved);
	return report_document("PolicyApproval", d);
}

static int approve(struct approval *a)
{
	const struct policy_project *project = &a->sources.project;
	struct err err = {};

	if (project->known && !policy_project_changed(project))
		return report(a, false);
	if (!a->in->json)
		print_change(a);
	if (!report_confirmed(a->in, "approve this?", "nothing was approved",
		    "sandboxctl policy approve --yes approves", &err))
		return report_failure(
			a->in, (struct failure){ EXIT_GENERAL, "not-confirmed", "confirm" }, &err);
	if (project_approval_store(&a->paths, a->folder, &project->present, &err) < 0)
		return report_general(a->in, "policy", &err);
	return report(a, true);
}

int policy_approve(const struct invocation *in)
{
	struct approval a = { .in = in };
	struct err err = {};
	int code = target_paths(in, &a.paths);

	if (!code)
		code = find_folder(&a);
	if (!code && load(&a, &err) < 0)
		code = report_general(in, "policy", &err);
	if (!code)
		code = approve(&a);
	policy_sources_finish(&a.sources);
	return code;
}
