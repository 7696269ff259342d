/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A decision in words, and the one denial form of every path (HTTP body, CONNECT status, the guest's denials file, the
 * audit log): what, by which rule, and the exact command that would allow it. Pure; every text is one line of printable
 * ASCII, and the command is quoted for a shell, for a person may paste it (H15).
 */
#include "policy/decide.h"
#include "policy/limits.h"
#include "policy/suggest.h"

#define POLICY_EXPLAIN_TEXT_MAX 640
#define POLICY_DENIAL_JSON_MAX	10240

struct policy_explanation {
	enum policy_verdict verdict;
	const char *reason; /* a fixed word: "no-rule", "method", "limit:requests_per_hour" */
	char what[POLICY_EXPLAIN_TEXT_MAX]; /* "GET https://example.com/x" */
	char rule[POLICY_ID_MAX + 1]; /* "": none */
	char detail[POLICY_EXPLAIN_TEXT_MAX]; /* why, in a sentence */
	char change[POLICY_EXPLAIN_TEXT_MAX]; /* what would change it; "": nothing will */
	char command[POLICY_SUGGESTION_TEXT_MAX]; /* "": none */
	uint64_t lifts_at_s; /* 0: no time lifts it */
};

void policy_explain(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_explanation *ret);
void policy_explain_limit(const struct policy_request *request,
	const struct policy_limit_denial *denial, struct policy_explanation *ret);
/* {"error":"denied","what","reason","rule","detail","change","command","lifts_at"}; its length. Always fits. */
size_t policy_explanation_json(
	const struct policy_explanation *explanation, char out[static POLICY_DENIAL_JSON_MAX]);
