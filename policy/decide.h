/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The decision: pure, total, the same in the proxy, in the injector and in `sandboxctl policy check` (E19).
 *
 * Deny wins: over every layer, a deny rule that matches denies. Then an allow rule of the command line's, the user's or
 * the system's layer must match, and one of each document of the project's that lists any; none: denied by default. Of several,
 * one that enforces speaks before one that audits, and the first in layer and document order before the rest.
 * A decision borrows from the policy, which outlives it, and from nothing else.
 * Addresses that a name resolves to, and counters, are judged later (policy_decide_address(), limits.h).
 */
#include "policy/address.h"
#include "policy/binding.h"
#include "policy/request.h"

struct policy; /* policy.h */

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
	POLICY_REASON_METHOD = 7, /* host and port match a rule (rule_id), the method does not */
	POLICY_REASON_PATH = 8,
	POLICY_REASON_WEBSOCKET = 9,
	POLICY_REASON_BINDING =
		10, /* `require`: the credential of this host is not for this method or path */
	POLICY_REASON_PROTOCOL = 11, /* host and port match a rule for another protocol */
	POLICY_REASON_PORT = 12, /* the host matches a rule, the port does not */
	POLICY_REASON_TIER = 13, /* a rule of a higher tier allows it */
};

struct policy_decision {
	enum policy_verdict verdict;
	enum policy_reason reason;
	const char *rule_id; /* of the rule that decided, or came nearest; "" where none */
	const struct policy_rule *rule; /* the same; NULL where none */
	const struct policy_binding *binding; /* the credential that is to be added; NULL: none */
	bool guest_credentials; /* the guest's own pass (E13) */
	bool private_addresses; /* names of this rule may resolve to private ranges */
	uint64_t request_bytes_max, response_bytes_max; /* bodies; UINT64_MAX: no cap */
	const struct policy *policy;
	uint16_t port;
	enum policy_protocol protocol;
};

void policy_decide(const struct policy *policy, const struct policy_request *request,
	struct policy_decision *ret);
/*
 * Once the name is resolved: the same decision, or a denial for this address: one that is never reachable, a private one
 * that the rule does not speak of, or one in a range that a deny rule lists. ret may be decision itself.
 */
void policy_decide_address(const struct policy_decision *decision,
	const struct policy_host *address, struct policy_decision *ret);
/*
 * What a connection to host and port is to be taken for, before a byte of it was read: HTTP (intercepted) unless allow
 * rules speak of it and all of them are opaque. Decides nothing.
 */
enum policy_protocol policy_decide_protocol(
	const struct policy *policy, const struct policy_host *host, uint16_t port);
