/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The least rule that would let a denied request pass, as the words of `sandboxctl policy allow` and as the rule that this
 * verb writes: both from one struct, so that a command that is offered does what it says. Pure.
 */
#include "policy/decide.h"

#define POLICY_SUGGESTION_PATH_MAX 320 /* nothing is offered for a longer path */
#define POLICY_SUGGESTION_TEXT_MAX 2048 /* of a command, or of a rule */

struct policy_suggestion {
	struct policy_host host; /* exactly this one */
	uint16_t port; /* 0: the protocol's usual one */
	enum policy_protocol protocol;
	char method[POLICY_METHOD_MAX + 1]; /* "": every one */
	char path[POLICY_SUGGESTION_PATH_MAX * 3 + 1]; /* a pattern, "": every one */
	bool websocket, encoded_slash, private_addresses;
};

/* False: no rule lets it pass (a deny, a public suffix, a binding that would not stand beside it), or none that fits. */
bool policy_suggest(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_suggestion *ret);
/* `sandboxctl policy allow ...`, each word quoted for a POSIX shell (H15). */
void policy_suggestion_command(
	const struct policy_suggestion *suggestion, char out[static POLICY_SUGGESTION_TEXT_MAX]);
/* The rule, an object of JSON. id is a rule's. */
void policy_suggestion_rule(const struct policy_suggestion *suggestion, const char *id,
	char out[static POLICY_SUGGESTION_TEXT_MAX]);
/* Whether its protocol needs no port to be said: an allow rule takes it in by itself. */
bool policy_port_is_usual(const struct policy_request *request);
