/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/document.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/preset.h"

static const char *const document_keys[] = { "$schema", "version", "note", "presets", "rules",
	"bindings", "limits", "blocked_hosts", NULL };
static const char *const project_refused[] = { "presets", "bindings", NULL };

static void read_presets(struct reader *r, struct policy_document *d)
{
	size_t count = reader_count(r, r->root, "presets", DOCUMENT_PRESETS_MAX),
	       mark = reader_enter(r, "presets", 0);

	for (size_t i = 0; i < count && !r->result; i++) {
		const char *name =
			reader_text(r, reader_item(r->root, "presets", i), POLICY_ID_MAX);

		if (!r->result && !policy_preset_find(name))
			reader_fail(r, "there is no preset \"%.40s\" (offline, builder, audit-all)",
				name);
		for (size_t j = 0; j < i && !r->result; j++)
			if (strcmp(d->presets[j], name) == 0)
				reader_fail(r, "names \"%.40s\" twice", name);
		d->presets[i] = name;
		d->preset_count = i + 1;
	}
	reader_leave(r, mark);
}

/* All of them are one deny rule, whose id is the key. */
static void read_blocked(struct reader *r, struct policy_document *d, size_t count)
{
	struct policy_rule all = { .layer = d->layer,
		.action = POLICY_ACTION_DENY,
		.tier = POLICY_TIER_BUILDER,
		.id = "blocked_hosts",
		.protocols = ~0u,
		.request_bytes_max = UINT64_MAX,
		.response_bytes_max = UINT64_MAX };

	if (!count)
		return;
	read_hosts(r, r->root, READ_HOSTS_ANY, &all.hosts);
	d->rules[d->rule_count++] = all;
}

static void read_rules(struct reader *r, struct policy_document *d, size_t count)
{
	size_t first = d->rule_count, mark = reader_enter(r, "rules", 0), list = r->path_len;

	for (size_t i = 0; i < count && !r->result; i++) {
		struct policy_rule *rule = &d->rules[d->rule_count++];

		reader_enter(r, NULL, i);
		read_rule(r, reader_item(r->root, "rules", i), d->layer, rule);
		for (size_t j = first; j + 1 < d->rule_count && !r->result; j++)
			if (strcmp(d->rules[j].id, rule->id) == 0)
				reader_fail_at(r, "id", "\"%s\" is rules[%zu]'s already", rule->id,
					j - first);
		reader_leave(r, list);
	}
	reader_leave(r, mark);
}

static void read_bindings(struct reader *r, struct policy_document *d, size_t count)
{
	size_t mark = reader_enter(r, "bindings", 0), list = r->path_len;

	for (size_t i = 0; i < count && !r->result; i++) {
		struct policy_binding *binding = &d->bindings[d->binding_count++];

		reader_enter(r, NULL, i);
		read_binding(r, reader_item(r->root, "bindings", i), d->layer, binding);
		for (size_t j = 0; j < i && !r->result; j++)
			if (strcmp(d->bindings[j].id, binding->id) == 0)
				reader_fail_at(r, "id", "\"%s\" is bindings[%zu]'s already",
					binding->id, j);
		reader_leave(r, list);
	}
	reader_leave(r, mark);
}

static void read_limits(struct reader *r, struct policy_document *d, size_t count)
{
	size_t mark = reader_enter(r, "limits", 0), list = r->path_len;

	for (size_t i = 0; i < count && !r->result; i++) {
		struct policy_limit *limit = &d->limits[d->limit_count++];

		reader_enter(r, NULL, i);
		read_limit(r, reader_item(r->root, "limits", i), limit);
		for (size_t j = 0; j < i && !r->result; j++)
			if (strcmp(d->limits[j].id, limit->id) == 0)
				reader_fail_at(
					r, "id", "\"%s\" is limits[%zu]'s already", limit->id, j);
		reader_leave(r, list);
	}
	reader_leave(r, mark);
}

static void read_head(struct reader *r, struct policy_document *d)
{
	if (!reader_object(r, r->root, document_keys))
		return;
	if (!reader_member(r->root, "version"))
		reader_fail(r, "has no \"version\" (1)");
	reader_get_number(r, r->root, "version", POLICY_VERSION, POLICY_VERSION, POLICY_VERSION);
	reader_get_text(r, r->root, "$schema", READER_TEXT_MAX, "");
	reader_get_text(r, r->root, "note", READER_TEXT_MAX, "");
	if (d->layer == POLICY_LAYER_PROJECT)
		read_refuse(r, r->root, project_refused,
			"can't stand in a project's policy: it may only narrow (H5)");
	read_presets(r, d);
}

static void read_lists(struct reader *r, struct policy_document *d)
{
	size_t blocked = reader_count(r, r->root, "blocked_hosts", POLICY_LIST_MAX);
	size_t rules = reader_list(r, r->root, "rules", POLICY_RULES_MAX);
	size_t bindings = reader_list(r, r->root, "bindings", POLICY_BINDINGS_MAX);
	size_t limits = reader_list(r, r->root, "limits", POLICY_LIMITS_MAX);

	d->rules = policy_memory_take(r->memory, rules + 1, sizeof(*d->rules));
	d->bindings = policy_memory_take(r->memory, bindings + 1, sizeof(*d->bindings));
	d->limits = policy_memory_take(r->memory, limits + 1, sizeof(*d->limits));
	if (!d->rules || !d->bindings || !d->limits) {
		reader_fail(r, "the policy is larger than %u MiB, or memory ran out",
			POLICY_MEMORY_MAX >> 20);
		return;
	}
	read_blocked(r, d, blocked);
	read_rules(r, d, rules);
	read_bindings(r, d, bindings);
	read_limits(r, d, limits);
}

int policy_document_read(const struct policy_source *source, struct policy_memory *memory,
	struct policy_document *ret, struct err *err)
{
	struct policy_document d = { .name = source->name, .layer = source->layer };
	struct reader r;

	if (source->len > POLICY_DOCUMENT_MAX)
		return err_set(err, -E2BIG, "%s: %zu bytes; a policy has at most %u", source->name,
			source->len, POLICY_DOCUMENT_MAX);
	if (reader_init(&r, memory, source->name, source->json, source->len, err) == 0) {
		read_head(&r, &d);
		if (!r.result)
			read_lists(&r, &d);
		if (!r.result)
			d.canonical = reader_canonical(&r);
	}
	reader_finish(&r);
	if (r.result == 0)
		*ret = d;
	return r.result;
}
