/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One document, read: JSON of schema.json's shape to rules, bindings and limits. What it says about the others (a
 * binding beside an opaque rule) is policy_create()'s to judge.
 */
#include "policy/memory.h"
#include "policy/policy.h"
#include "policy/reader.h"

#define DOCUMENT_PRESETS_MAX 4

struct policy_document {
	const char *name;
	enum policy_layer layer;
	struct policy_rule *rules; /* blocked_hosts first, as one deny rule */
	size_t rule_count;
	struct policy_binding *bindings;
	size_t binding_count;
	struct policy_limit *limits;
	size_t limit_count;
	const char *presets[DOCUMENT_PRESETS_MAX];
	size_t preset_count;
	const char *canonical;
};

/* 0, -EINVAL with the place and what is allowed there. All memory is `memory`'s. */
int policy_document_read(const struct policy_source *source, struct policy_memory *memory,
	struct policy_document *ret, struct err *err);

/* Parts of it, each in a file of its own; a failure stays in the reader. */
void read_rule(
	struct reader *r, const struct json_t *v, enum policy_layer layer, struct policy_rule *ret);
void read_binding(struct reader *r, const struct json_t *v, enum policy_layer layer,
	struct policy_binding *ret);
void read_limit(struct reader *r, const struct json_t *v, struct policy_limit *ret);

/* What those have in common. */
enum read_hosts_as {
	READ_HOSTS_ALLOW, /* no pattern that is too wide, no address that is never reachable */
	READ_HOSTS_LEARN, /* the same, but `**` may stand: mode audit */
	READ_HOSTS_ANY,
};
const char *read_id(struct reader *r, const struct json_t *object, const char *key);
void read_hosts(struct reader *r, const struct json_t *object, enum read_hosts_as as,
	struct policy_hosts *ret);
void read_ports(struct reader *r, const struct json_t *object, const struct policy_ports **ret,
	size_t *ret_count);
void read_methods(struct reader *r, const struct json_t *object, struct policy_texts *ret);
void read_paths(struct reader *r, const struct json_t *object, struct policy_texts *ret);
enum policy_tier read_tier(struct reader *r, const struct json_t *object);
/* Fails where the object has one of these keys: "KEY: WHY". */
void read_refuse(
	struct reader *r, const struct json_t *object, const char *const *keys, const char *why);
/* The tiers' words, by enum policy_tier - 1. */
extern const char *const read_tier_words[];
