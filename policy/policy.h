/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A policy: documents in, decisions out. Pure: no fd, clock, environment or log; memory is all it takes.
 *
 * Layers: system, user and command line each may allow, and a deny in any of them wins. The project's layer may only
 * narrow (H5): its denies hold, and where it lists allow rules a request must match one of those as well, of each of its
 * documents that lists any; bindings, guest_credentials, private_addresses, tiers, presets and mode audit are errors there. Documents: docs/policy.md, schema.json.
 *
 * A policy never changes once made. A reload or a change of tier makes a new one; whoever holds decisions of the old
 * one keeps it until they are done. Any number of threads may ask the same one.
 * jansson seeds its hash tables from /dev/urandom when a process first parses: a jailed one does that before its jail.
 */
#include "policy/binding.h"
#include "policy/limits.h"
#include "policy/rule.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/err.h"

#define POLICY_DOCUMENT_MAX (1u << 20) /* bytes of one document */
#define POLICY_SOURCES_MAX  16
#define POLICY_VERSION	    1

/* One document. Several may make up a layer. */
struct policy_source {
	enum policy_layer layer;
	const char *name; /* what errors call it: a file, "the command line" */
	const char *json;
	size_t len;
};

struct policy {
	struct policy_memory *memory;
	enum policy_tier tier;
	const struct policy_rule *rules[POLICY_LAYER_COUNT]; /* in document order; presets' last */
	size_t rule_count[POLICY_LAYER_COUNT];
	/* The project's documents that list allow rules, as parts of its rules: one of each must match. */
	struct policy_part {
		size_t first, count;
	} narrowing[POLICY_SOURCES_MAX];
	size_t narrowing_count;
	const struct policy_binding *bindings; /* of all layers, in their order */
	size_t binding_count;
	const struct policy_limit *limits;
	size_t limit_count;
	const char *digest_input;
	size_t digest_len;
};

/*
 * -EINVAL with "NAME: rules[3].host: ..." for what a document may not say, alone or beside the others: a binding on a
 * host that an opaque rule lets through (E25), or beside a rule that lets everything pass to learn (E21). -E2BIG past
 * a limit, -ENOMEM. No source: a policy that denies everything.
 */
int policy_create(const struct policy_source *sources, size_t count, enum policy_tier tier,
	struct policy **ret, struct err *err);
void policy_destroy(struct policy *policy);
DEFINE_CLEANUP(policy, policy_destroy)
#define _cleanup_policy_ _cleanup_(cleanup_policy_)

/* What the policy's digest is made of: tier and documents, in canonical form. Equal input, equal decisions. */
const char *policy_digest_input(const struct policy *policy, size_t *ret_len);

/* Words of documents and of the command line: NULL or false where there is none. */
const char *policy_tier_name(enum policy_tier tier);
bool policy_tier_parse(const char *text, enum policy_tier *ret);
const char *policy_layer_name(enum policy_layer layer); /* "the user's policy" */
const char *policy_protocol_name(enum policy_protocol protocol);
