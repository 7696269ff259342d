/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Policies and requests for tests: documents with ' for ", requests by URL. Include after cmocka.h. */
#include <string.h>

#include "policy/decide.h"
#include "policy/policy.h"
#include "policy/url.h"

#define POLICY_CASE_MAX 8192

struct policy_case {
	const char *layers[POLICY_LAYER_COUNT]; /* NULL: none */
	enum policy_tier tier; /* 0: builder */
};

/* A failure and its text, or a policy that the caller destroys. */
static inline int policy_case_try(const struct policy_case *c, struct policy **ret, struct err *err)
{
	static char texts[POLICY_LAYER_COUNT][POLICY_CASE_MAX];
	struct policy_source sources[POLICY_LAYER_COUNT] = {};
	size_t count = 0;

	for (unsigned int i = 0; i < POLICY_LAYER_COUNT; i++) {
		size_t len = c->layers[i] ? strlen(c->layers[i]) : 0;

		if (!c->layers[i])
			continue;
		assert_true(len < POLICY_CASE_MAX);
		memcpy(texts[count], c->layers[i], len + 1);
		for (char *p = texts[count]; *p; p++)
			*p = *p == '\'' ? '"' : *p;
		sources[count] = (struct policy_source){ (enum policy_layer)i, "document",
			texts[count], len };
		count++;
	}
	return policy_create(sources, count, c->tier ? c->tier : POLICY_TIER_BUILDER, ret, err);
}

static inline struct policy *policy_case_make(const struct policy_case *c)
{
	struct policy *policy = NULL;
	struct err err = {};

	if (policy_case_try(c, &policy, &err) < 0)
		fail_msg("%s", err.text);
	return policy;
}

/* One user's document: its `rules` and what stands beside them. */
#define POLICY_OF_USER(text)                                                                       \
	policy_case_make(                                                                          \
		&(struct policy_case){ .layers[POLICY_LAYER_USER] = "{'version': 1, " text "}" })

struct policy_asked {
	struct policy_url url;
	struct policy_request request;
	struct policy_decision decision;
};

/* "GET https://example.com/" or "ssh://example.com"; the decision borrows from *ret. */
static inline void policy_ask(
	const struct policy *policy, const char *words, struct policy_asked *ret)
{
	const char *space = strchr(words, ' ');
	char method[40] = "";
	struct err err = {};

	if (space)
		memcpy(method, words, (size_t)(space - words));
	if (policy_request_of_url(space ? method : NULL, space ? space + 1 : words, &ret->url,
		    &ret->request, &err) < 0)
		fail_msg("%s: %s", words, err.text);
	policy_decide(policy, &ret->request, &ret->decision);
}
