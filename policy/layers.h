/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Documents to one policy: each layer's rules in order, all bindings, all limits, and what they say about each other. */
#include "policy/document.h"
#include "policy/policy.h"

struct policy_documents {
	struct policy_document items[POLICY_SOURCES_MAX * (1 + DOCUMENT_PRESETS_MAX)];
	size_t count;
};

/* Fills rules, bindings, limits and digest of *policy. -E2BIG, -EINVAL (two limits of one id). */
int policy_layers_join(
	const struct policy_documents *documents, struct policy *policy, struct err *err);
/* E21 and E25: what may not stand beside each other. */
int policy_layers_check(const struct policy *policy, struct err *err);
