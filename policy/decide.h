/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The decision: pure, total, the same in the proxy, in the injector and in `sandboxctl policy check` (E19).
 *
 * Deny wins: over every layer, a deny rule that matches denies. Then the allow rules that match in every layer that
 * has a say; none: denied by default. A decision borrows from the policy, which outlives it.
 * Addresses that a name resolves to, and counters, are judged later (policy_decide_address(), limits.h).
 */
#include "policy/address.h"
#include "policy/request.h"

struct policy; /* policy.h */
struct policy_binding;

enum policy_verdict {
	POLICY_DENY = 0,
	POLICY_ALLOW = 1,
	POLICY_AUDIT = 2, /* would be denied; let pass and logged, as the rule or the preset says */
};

enum policy_reason {
	POLICY_REASON_RULE = 1, /* rule_id says which */
	POLICY_REASON_NO_RULE = 2, /* nothing allows it */
	POLICY_REASON_NARROWED = 3, /* a user's rule allows it, the project's layer does not */
	POLICY_REASON_LITERAL = 4, /* an address that no rule lists as a literal (E3) */
	POLICY_REASON_PRIVATE = 5, /* resolved to a private range without a rule for it */
	POLICY_REASON_FORBIDDEN = 6, /* resolved to an address that is never reachable (E6) */
	POLICY_REASON_METHOD = 7, /* host and port match a rule, the method does not */
	POLICY_REASON_PATH = 8,
	POLICY_REASON_WEBSOCKET = 9,
	POLICY_REASON_BINDING =
		10, /* `require`: the credential of this host is not for this method or path */
};

struct policy_decision {
	enum policy_verdict verdict;
	enum policy_reason reason;
	const char *rule_id; /* of the rule that decided; "" where none */
	const struct policy_binding *binding; /* the credential that is to be added; NULL: none */
	bool guest_credentials; /* the guest's own pass (E13) */
	bool private_addresses; /* names of this rule may resolve to private ranges */
	uint64_t request_bytes_max, response_bytes_max; /* bodies; UINT64_MAX: no cap */
};

void policy_decide(const struct policy *policy, const struct policy_request *request,
	struct policy_decision *ret);
/* Once the name is resolved: the same decision, or a denial for this address. */
void policy_decide_address(const struct policy_decision *decision,
	const struct policy_host *address, struct policy_decision *ret);
