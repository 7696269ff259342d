/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/loaded_policy.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/sandboxctl/project.h"

void loaded_policy_finish(struct loaded_policy *l)
{
	policy_destroy(l->policy);
	policy_sources_finish(&l->sources);
	record_finish(&l->record);
}

static int load_policy(struct loaded_policy *l, const char *workspace, struct err *err)
{
	struct policy_inputs in = { .paths = &l->paths,
		.sandbox = *l->name ? l->name : NULL,
		.workspace = workspace,
		.command = l->record.spec.policy };
	enum policy_tier tier = POLICY_TIER_BUILDER;
	struct policy_project started = {};
	int r = 0;

	/* E19: one that runs keeps the project's part that it was started with. */
	if (*l->name && registry_is_locked(&l->paths, l->name) == 1) {
		r = policy_project_saved(&l->paths, l->name, &started, err);
		if (r == 0)
			in.project = &started;
	}
	if (r == 0 || r == -ENOENT) /* a start that has not come so far */
		r = policy_sources_load(&in, &l->sources, err);
	policy_project_finish(&started);
	if (l->record.spec.tier)
		policy_tier_parse(l->record.spec.tier, &tier);
	return r < 0 ? r : policy_create(l->sources.list, l->sources.count, tier, &l->policy, err);
}

int loaded_policy_find(const struct invocation *in, const char *word, struct loaded_policy *l)
{
	struct project project = {};
	struct err err = {};
	int code, r = 0;

	*l = (struct loaded_policy){};
	record_init(&l->record);
	code = target_paths(in, &l->paths);
	if (code)
		return code;
	if (word && !sandbox_name_valid(word))
		return target_bad_name(in, word);
	if (!word)
		r = project_find(&l->paths, ".", &project, &err);
	if (r < 0)
		return report_general(in, "lookup", &err);
	if (word || project.has_sandbox)
		snprintf(l->name, sizeof(l->name), "%s", word ? word : project.name);
	if (*l->name)
		r = registry_load(&l->paths, l->name, &l->record, &err);
	if (r == -ENOENT)
		return target_missing(in, &err);
	if (r == 0)
		r = load_policy(l, *l->name ? l->record.spec.workspace.host : project.folder, &err);
	return r < 0 ? report_general(in, "policy", &err) : 0;
}
