/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/layers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/match.h"

static void *take(struct policy *policy, size_t count, size_t size)
{
	return policy_memory_take(policy->memory, count + 1, size);
}

static bool lists_allow_rules(const struct policy_document *d)
{
	for (size_t i = 0; i < d->rule_count; i++)
		if (d->rules[i].action == POLICY_ACTION_ALLOW)
			return true;
	return false;
}

/* A project's document names no presets, so there are at most as many of its documents as sources. */
static int join_rules(
	const struct policy_documents *documents, struct policy *policy, enum policy_layer layer)
{
	struct policy_rule *rules;
	size_t count = 0;

	for (size_t i = 0; i < documents->count; i++)
		if (documents->items[i].layer == layer)
			count += documents->items[i].rule_count;
	rules = take(policy, count, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	policy->rules[layer] = rules;
	for (size_t i = 0; i < documents->count; i++) {
		const struct policy_document *d = &documents->items[i];

		if (d->layer != layer)
			continue;
		if (layer == POLICY_LAYER_PROJECT && lists_allow_rules(d))
			policy->narrowing[policy->narrowing_count++] =
				(struct policy_part){ policy->rule_count[layer], d->rule_count };
		for (size_t j = 0; j < d->rule_count; j++)
			rules[policy->rule_count[layer]++] = d->rules[j];
	}
	return 0;
}

static int join_bindings(const struct policy_documents *documents, struct policy *policy)
{
	struct policy_binding *bindings = take(policy, POLICY_BINDINGS_MAX, sizeof(*bindings));

	if (!bindings)
		return -ENOMEM;
	policy->bindings = bindings;
	for (unsigned int layer = 0; layer < POLICY_LAYER_COUNT; layer++) {
		for (size_t i = 0; i < documents->count; i++) {
			const struct policy_document *d = &documents->items[i];

			for (size_t j = 0; d->layer == layer && j < d->binding_count; j++) {
				if (policy->binding_count == POLICY_BINDINGS_MAX)
					return -E2BIG;
				bindings[policy->binding_count++] = d->bindings[j];
			}
		}
	}
	return 0;
}

/*
 * Counters are found by id, so an id is one limit's. The project's documents may be the same one at two times: what they both
 * limit under one id has one counter, and both numbers hold.
 */
static int add_limit(const struct policy_document *d, const struct policy_limit *limit,
	struct policy *policy, struct policy_limit *limits, struct err *err)
{
	if (policy->limit_count == POLICY_LIMITS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < policy->limit_count; i++)
		if (strcmp(limits[i].id, limit->id) == 0 &&
			(d->layer != POLICY_LAYER_PROJECT ||
				limits[i].layer != POLICY_LAYER_PROJECT))
			return err_set(err, -EINVAL,
				"%s: limits: \"%s\" is another document's limit already", d->name,
				limit->id);
	limits[policy->limit_count] = *limit;
	limits[policy->limit_count++].layer = d->layer;
	return 0;
}

static int join_limits(
	const struct policy_documents *documents, struct policy *policy, struct err *err)
{
	struct policy_limit *limits = take(policy, POLICY_LIMITS_MAX, sizeof(*limits));

	if (!limits)
		return -ENOMEM;
	policy->limits = limits;
	for (size_t i = 0; i < documents->count; i++) {
		const struct policy_document *d = &documents->items[i];

		for (size_t j = 0; j < d->limit_count; j++) {
			int r = add_limit(d, &d->limits[j], policy, limits, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* A line for the tier, then two for each document: its layer, itself. */
static int join_digest(const struct policy_documents *documents, struct policy *policy)
{
	size_t size = 64, used;
	char *text;

	for (size_t i = 0; i < documents->count; i++)
		size += strlen(documents->items[i].canonical) + 64;
	text = policy_memory_take(policy->memory, size, 1);
	if (!text)
		return -ENOMEM;
	used = (size_t)snprintf(text, size, "tier %s\n", policy_tier_name(policy->tier));
	for (size_t i = 0; i < documents->count; i++)
		used += (size_t)snprintf(text + used, size - used, "%s\n%s\n",
			policy_layer_name(documents->items[i].layer),
			documents->items[i].canonical);
	policy->digest_input = text;
	policy->digest_len = used;
	return 0;
}

int policy_layers_join(
	const struct policy_documents *documents, struct policy *policy, struct err *err)
{
	size_t rules = 0;
	int r = 0;

	for (unsigned int layer = 0; layer < POLICY_LAYER_COUNT && r == 0; layer++) {
		r = join_rules(documents, policy, (enum policy_layer)layer);
		rules += policy->rule_count[layer];
	}
	if (r == 0 && rules > POLICY_RULES_MAX)
		r = -E2BIG;
	if (r == 0)
		r = join_bindings(documents, policy);
	if (r == 0)
		r = join_limits(documents, policy, err);
	if (r == 0)
		r = join_digest(documents, policy);
	if (r == -E2BIG)
		return err_set(err, r,
			"policy: too much: %d rules, %d bindings and %d limits are the most",
			POLICY_RULES_MAX, POLICY_BINDINGS_MAX, POLICY_LIMITS_MAX);
	if (r == -ENOMEM)
		return err_set(err, r, "policy: memory ran out");
	return r;
}

/* A rule that lets every host pass, to learn. */
static bool learns(const struct policy_rule *rule)
{
	for (size_t i = 0; rule->audit && i < rule->hosts.pattern_count; i++)
		if (!*rule->hosts.patterns[i].suffix)
			return true;
	return false;
}

static bool opaque_over(const struct policy_rule *rule, const struct policy_binding *binding)
{
	bool private = false;

	return !(rule->protocols & 1u << POLICY_PROTOCOL_HTTP) &&
	       policy_ports_match(rule->ports, rule->port_count, binding->port) &&
	       policy_hosts_match(&rule->hosts, &binding->host, &private);
}

static int check_rule(const struct policy *policy, const struct policy_rule *rule, struct err *err)
{
	if (rule->action != POLICY_ACTION_ALLOW)
		return 0;
	if (policy->binding_count && learns(rule))
		return err_set(err, -EINVAL,
			"%s: rule \"%s\" lets every host pass to learn, and binding \"%s\" would give a secret beside it (E21)",
			policy_layer_name(rule->layer), rule->id, policy->bindings[0].id);
	for (size_t i = 0; i < policy->binding_count; i++)
		if (opaque_over(rule, &policy->bindings[i]))
			return err_set(err, -EINVAL,
				"%s: binding \"%s\" is for %s:%u, which rule \"%s\" of %s lets through unseen: an opaque rule carries no credential (E25)",
				policy_layer_name(policy->bindings[i].layer),
				policy->bindings[i].id, policy->bindings[i].host.text,
				policy->bindings[i].port, rule->id, policy_layer_name(rule->layer));
	return 0;
}

int policy_layers_check(const struct policy *policy, struct err *err)
{
	for (unsigned int layer = 0; layer < POLICY_LAYER_PROJECT; layer++) {
		for (size_t i = 0; i < policy->rule_count[layer]; i++) {
			int r = check_rule(policy, &policy->rules[layer][i], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}
