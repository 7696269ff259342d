/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A rule and what it matches, as documents say it (docs/policy.md). All of it is the policy's memory and never changes.
 *
 * Host patterns go by label, wildcards at the left only: `*` one label, `**` any number, none included; `**.example.com`
 * is example.com and all below it, `*.example.com` is one label below it (E2). Path patterns go by segment in the same
 * way, anywhere; bytes are compared percent-decoded, so that `%40` does not slip past a rule for `@` (E12).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/address.h"
#include "policy/name.h"
#include "policy/request.h"

#define POLICY_RULES_MAX	2048 /* of one policy, all layers */
#define POLICY_LIST_MAX		256 /* hosts, ports, methods, paths of one rule */
#define POLICY_ID_MAX		64
#define POLICY_METHOD_MAX	32
#define POLICY_PATTERN_LABELS	126 /* wildcards of one host pattern */
#define POLICY_PATH_SEGMENTS	64 /* of a path pattern */
#define POLICY_PATH_PATTERN_MAX 1024

enum policy_tier {
	POLICY_TIER_BUILDER = 1,
	POLICY_TIER_DEPLOYER = 2,
	POLICY_TIER_ORCHESTRATOR = 3,
	POLICY_TIER_ADMIN = 4,
};
#define POLICY_TIER_COUNT 5 /* tables by tier; 0 is none */

/* In the order in which allow rules are looked for; of layers that allow, the first rule that matches speaks. */
enum policy_layer {
	POLICY_LAYER_COMMAND = 0, /* the command line */
	POLICY_LAYER_USER = 1,
	POLICY_LAYER_SYSTEM = 2,
	POLICY_LAYER_PROJECT = 3, /* `.sandbox.json`: may only narrow (H5) */
};
#define POLICY_LAYER_COUNT 4

enum policy_action { POLICY_ACTION_ALLOW = 1, POLICY_ACTION_DENY = 2 };

struct policy_pattern {
	const char *text; /* canonical, as `ls` prints it */
	const char *suffix; /* without the wildcards; "" for a bare `**` */
	uint8_t stars; /* how many `*` labels stand before it */
	bool any; /* a `**` stands before those */
};

struct policy_listed { /* an address literal, or a range of them */
	struct policy_range range;
	bool private; /* named so exactly, or so wholly private, that private is meant */
};

struct policy_hosts {
	const struct policy_pattern *patterns;
	size_t pattern_count;
	const struct policy_listed *listed;
	size_t listed_count;
};

struct policy_ports {
	uint16_t first, last; /* inclusive */
};

struct policy_texts {
	const char *const *items;
	size_t count;
};

struct policy_rule {
	const char *id;
	enum policy_layer layer;
	enum policy_action action;
	bool audit; /* mode audit: an allow lets pass and logs, a deny logs what it would deny */
	enum policy_tier tier; /* from this one up */
	unsigned int protocols; /* bit per enum policy_protocol; allow rules have one */
	struct policy_hosts hosts;
	const struct policy_ports *ports;
	size_t port_count; /* 0: every port (deny only) */
	struct policy_texts methods; /* none: every one but CONNECT */
	struct policy_texts paths; /* none: every one */
	bool encoded_slash, websocket, guest_credentials, private_addresses;
	uint64_t request_bytes_max, response_bytes_max; /* UINT64_MAX: no cap */
};
