/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/document.h"
#include "policy/layers.h"
#include "policy/preset.h"
#include "vmm/base/array.h"

const char *policy_tier_name(enum policy_tier tier)
{
	return tier >= POLICY_TIER_BUILDER && tier <= POLICY_TIER_ADMIN ? read_tier_words[tier - 1]
									: NULL;
}

bool policy_tier_parse(const char *text, enum policy_tier *ret)
{
	for (unsigned int i = 0; read_tier_words[i]; i++) {
		if (strcmp(text, read_tier_words[i]) == 0) {
			*ret = (enum policy_tier)(i + 1);
			return true;
		}
	}
	return false;
}

const char *policy_layer_name(enum policy_layer layer)
{
	static const char *const names[] = {
		[POLICY_LAYER_COMMAND] = "the command line",
		[POLICY_LAYER_USER] = "the user's policy",
		[POLICY_LAYER_SYSTEM] = "the system's policy",
		[POLICY_LAYER_PROJECT] = "the project's .sandbox.json",
	};

	static_assert(ARRAY_SIZE(names) == POLICY_LAYER_COUNT, "a name for each layer");
	return (unsigned int)layer < ARRAY_SIZE(names) ? names[layer] : NULL;
}

const char *policy_protocol_name(enum policy_protocol protocol)
{
	static const char *const names[] = {
		[POLICY_PROTOCOL_HTTP] = "http",
		[POLICY_PROTOCOL_TLS] = "tls",
		[POLICY_PROTOCOL_TCP] = "tcp",
		[POLICY_PROTOCOL_SSH] = "ssh",
	};

	return (unsigned int)protocol < ARRAY_SIZE(names) ? names[protocol] : NULL;
}

/* The documents and, behind all of them, the presets that they name, in the layer of who names them. */
static int read_documents(const struct policy_source *sources, size_t count,
	struct policy_memory *memory, struct policy_documents *ret, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int r = policy_document_read(&sources[i], memory, &ret->items[ret->count++], err);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ret->items[i].preset_count; j++) {
			const struct policy_preset *preset =
				policy_preset_find(ret->items[i].presets[j]);
			struct policy_source source = { sources[i].layer, preset->name,
				preset->json, preset->len };
			int r = policy_document_read(
				&source, memory, &ret->items[ret->count++], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int make(
	struct policy *policy, const struct policy_source *sources, size_t count, struct err *err)
{
	struct policy_documents *documents =
		policy_memory_take(policy->memory, 1, sizeof(*documents));
	int r;

	if (!documents)
		return err_set(err, -ENOMEM, "policy: memory ran out");
	r = read_documents(sources, count, policy->memory, documents, err);
	if (r == 0)
		r = policy_layers_join(documents, policy, err);
	if (r == 0)
		r = policy_layers_check(policy, err);
	return r;
}

int policy_create(const struct policy_source *sources, size_t count, enum policy_tier tier,
	struct policy **ret, struct err *err)
{
	_cleanup_policy_ struct policy *policy = calloc(1, sizeof(*policy));
	int r;

	if (count > POLICY_SOURCES_MAX)
		return err_set(err, -E2BIG, "policy: %zu documents; %d are the most", count,
			POLICY_SOURCES_MAX);
	if (policy)
		policy->memory = policy_memory_create();
	if (!policy || !policy->memory)
		return err_set(err, -ENOMEM, "policy: memory ran out");
	if (!policy_tier_name(tier))
		return err_set(err, -EINVAL, "policy: no such tier");
	policy->tier = tier;
	r = make(policy, sources, count, err);
	if (r == 0)
		*ret = TAKE_PTR(policy);
	return r;
}

void policy_destroy(struct policy *policy)
{
	if (!policy)
		return;
	policy_memory_destroy(policy->memory);
	free(policy);
}

const char *policy_digest_input(const struct policy *policy, size_t *ret_len)
{
	*ret_len = policy->digest_len;
	return policy->digest_input;
}
