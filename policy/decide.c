/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/decide.h"

#include <string.h>

#include "policy/match.h"
#include "policy/policy.h"
#include "vmm/base/array.h"

/* How far a rule goes along with a request: the first thing that does not fit. */
enum nearness {
	FAR,
	NEAR_PORT,
	NEAR_PROTOCOL,
	NEAR_TIER,
	NEAR_METHOD,
	NEAR_PATH,
	NEAR_WEBSOCKET,
	NEAR_PRIVATE,
	MATCHES,
};

static bool path_fits_allow(const struct policy_rule *rule, const struct policy_request *q)
{
	if (q->path[0] != '/') /* `*` of OPTIONS (RFC 9112, section 3.2.4) */
		return strcmp(q->path, "*") == 0 && strcmp(q->method, "OPTIONS") == 0 &&
		       !rule->paths.count;
	if ((q->has_encoded_slash || strstr(q->path, "%2F")) &&
		(!rule->encoded_slash || !policy_path_clean_when_split(q->path)))
		return false;
	for (size_t i = 0; i < rule->paths.count; i++)
		if (policy_path_matches(rule->paths.items[i], q->path, false))
			return true;
	return !rule->paths.count;
}

/* Both readings of an encoded slash are denied: which one the server has is not ours to know. */
static bool path_fits_deny(const struct policy_rule *rule, const struct policy_request *q)
{
	for (size_t i = 0; q->path[0] == '/' && i < rule->paths.count; i++)
		if (policy_path_matches(rule->paths.items[i], q->path, false) ||
			policy_path_matches(rule->paths.items[i], q->path, true))
			return true;
	return !rule->paths.count;
}

static enum nearness http_nearness(const struct policy_rule *rule, const struct policy_request *q)
{
	if (rule->methods.count && !policy_texts_hold(&rule->methods, q->method))
		return NEAR_METHOD;
	if (!path_fits_allow(rule, q))
		return NEAR_PATH;
	return q->websocket && !rule->websocket ? NEAR_WEBSOCKET : MATCHES;
}

static enum nearness allow_nearness(
	const struct policy *policy, const struct policy_rule *rule, const struct policy_request *q)
{
	bool private = true;
	enum nearness near = MATCHES;

	if (rule->action != POLICY_ACTION_ALLOW ||
		!policy_hosts_match(&rule->hosts, &q->host, &private))
		return FAR;
	if (!policy_ports_match(rule->ports, rule->port_count, q->port))
		return NEAR_PORT;
	if (!(rule->protocols & 1u << q->protocol))
		return NEAR_PROTOCOL;
	if (rule->tier > policy->tier)
		return NEAR_TIER;
	if (q->protocol == POLICY_PROTOCOL_HTTP)
		near = http_nearness(rule, q);
	if (near == MATCHES && !private && !rule->private_addresses &&
		rule->layer != POLICY_LAYER_PROJECT &&
		policy_address_classify(&q->host) == POLICY_ADDRESS_PRIVATE)
		return NEAR_PRIVATE;
	return near;
}

static bool denies(const struct policy_rule *rule, const struct policy_request *q)
{
	if (rule->action != POLICY_ACTION_DENY || !(rule->protocols & 1u << q->protocol) ||
		!policy_ports_match(rule->ports, rule->port_count, q->port) ||
		!policy_hosts_reached(&rule->hosts, &q->host))
		return false;
	if (q->protocol != POLICY_PROTOCOL_HTTP)
		return true;
	return (!rule->methods.count || policy_texts_hold(&rule->methods, q->method)) &&
	       path_fits_deny(rule, q);
}

static void deny(
	struct policy_decision *d, enum policy_reason reason, const struct policy_rule *rule)
{
	d->verdict = POLICY_DENY;
	d->reason = reason;
	d->rule = rule;
	d->rule_id = rule ? rule->id : "";
	d->binding = NULL;
	d->guest_credentials = d->private_addresses = false;
}

static void find_deny(const struct policy *policy, const struct policy_request *q,
	const struct policy_rule **ret_enforced, const struct policy_rule **ret_audited)
{
	for (unsigned int layer = 0; layer < POLICY_LAYER_COUNT; layer++) {
		for (size_t i = 0; i < policy->rule_count[layer]; i++) {
			const struct policy_rule *rule = &policy->rules[layer][i];
			const struct policy_rule **ret = rule->audit ? ret_audited : ret_enforced;

			if (!*ret && denies(rule, q))
				*ret = rule;
		}
	}
}

/* The first rule that matches and enforces, else the first that matches, else the nearest. best: of the rules before these. */
static enum nearness find_among(const struct policy *policy, const struct policy_request *q,
	const struct policy_rule *rules, size_t count, enum nearness best,
	const struct policy_rule **ret)
{
	for (size_t i = 0; i < count; i++) {
		enum nearness near = allow_nearness(policy, &rules[i], q);

		if (near > best || (near == MATCHES && (*ret)->audit && !rules[i].audit)) {
			best = near;
			*ret = &rules[i];
		}
	}
	return best;
}

/* Of the layers that may allow. */
static enum nearness find_allow(
	const struct policy *policy, const struct policy_request *q, const struct policy_rule **ret)
{
	enum nearness best = FAR;

	for (unsigned int layer = 0; layer < POLICY_LAYER_PROJECT; layer++)
		best = find_among(
			policy, q, policy->rules[layer], policy->rule_count[layer], best, ret);
	return best;
}

static void deny_near(struct policy_decision *d, const struct policy_request *q, enum nearness near,
	const struct policy_rule *rule)
{
	static const enum policy_reason reasons[] = {
		[FAR] = POLICY_REASON_NO_RULE,
		[NEAR_PORT] = POLICY_REASON_PORT,
		[NEAR_PROTOCOL] = POLICY_REASON_PROTOCOL,
		[NEAR_TIER] = POLICY_REASON_TIER,
		[NEAR_METHOD] = POLICY_REASON_METHOD,
		[NEAR_PATH] = POLICY_REASON_PATH,
		[NEAR_WEBSOCKET] = POLICY_REASON_WEBSOCKET,
		[NEAR_PRIVATE] = POLICY_REASON_PRIVATE,
	};

	if (near == FAR && q->host.kind != POLICY_HOST_NAME)
		deny(d, POLICY_REASON_LITERAL, NULL);
	else
		deny(d, reasons[near], rule);
}

/* What a request must be before any rule is asked; CONNECT never is one (E9). */
static bool well_formed(const struct policy_request *q, struct policy_decision *d)
{
	bool known = q->protocol >= POLICY_PROTOCOL_HTTP && q->protocol <= POLICY_PROTOCOL_SSH;
	bool http = q->protocol == POLICY_PROTOCOL_HTTP;

	if (!known || !q->port)
		deny(d, POLICY_REASON_NO_RULE, NULL);
	else if (http && (!q->method || !*q->method || strcmp(q->method, "CONNECT") == 0))
		deny(d, POLICY_REASON_METHOD, NULL);
	else if (http && !q->path)
		deny(d, POLICY_REASON_PATH, NULL);
	else if (policy_address_classify(&q->host) == POLICY_ADDRESS_FORBIDDEN &&
		 q->host.kind != POLICY_HOST_NAME)
		deny(d, POLICY_REASON_FORBIDDEN, NULL);
	else
		return true;
	return false;
}

static void allow(
	struct policy_decision *d, const struct policy_request *q, const struct policy_rule *rule)
{
	d->verdict = rule->audit ? POLICY_AUDIT : POLICY_ALLOW;
	d->reason = POLICY_REASON_RULE;
	d->rule = rule;
	d->rule_id = rule->id;
	d->guest_credentials = rule->guest_credentials;
	/* A literal that a rule lists is judged already. */
	d->private_addresses = rule->private_addresses || q->host.kind != POLICY_HOST_NAME;
	d->request_bytes_max = rule->request_bytes_max;
	d->response_bytes_max = rule->response_bytes_max;
}

/* H5: a rule of each of the project's documents that lists any; false: one has none for this. */
static bool narrow(
	const struct policy *policy, const struct policy_request *q, struct policy_decision *d)
{
	for (size_t i = 0; i < policy->narrowing_count; i++) {
		const struct policy_part *part = &policy->narrowing[i];
		const struct policy_rule *rule = NULL;

		if (find_among(policy, q, policy->rules[POLICY_LAYER_PROJECT] + part->first,
			    part->count, FAR, &rule) != MATCHES)
			return false;
		d->request_bytes_max = MIN(d->request_bytes_max, rule->request_bytes_max);
		d->response_bytes_max = MIN(d->response_bytes_max, rule->response_bytes_max);
	}
	return true;
}

/* The credential; or, where one is required here and none covers this request, a denial. */
static void bind(
	const struct policy *policy, const struct policy_request *q, struct policy_decision *d)
{
	bool required = false;

	for (size_t i = 0; i < policy->binding_count; i++) {
		const struct policy_binding *b = &policy->bindings[i];

		if (b->tier <= policy->tier && policy_binding_covers(b, q)) {
			d->binding = b;
			d->guest_credentials = false;
			return;
		}
		required |=
			b->require && b->port == q->port && policy_host_equal(&b->host, &q->host);
	}
	if (required)
		deny(d, POLICY_REASON_BINDING, d->rule);
}

void policy_decide(
	const struct policy *policy, const struct policy_request *q, struct policy_decision *ret)
{
	const struct policy_rule *denied = NULL, *audited = NULL, *rule = NULL;
	enum nearness near;

	*ret = (struct policy_decision){ .policy = policy,
		.port = q->port,
		.protocol = q->protocol,
		.request_bytes_max = UINT64_MAX,
		.response_bytes_max = UINT64_MAX };
	if (!well_formed(q, ret))
		return;
	find_deny(policy, q, &denied, &audited);
	if (denied) {
		deny(ret, POLICY_REASON_RULE, denied);
		return;
	}
	near = find_allow(policy, q, &rule);
	if (near != MATCHES) {
		deny_near(ret, q, near, rule);
		return;
	}
	allow(ret, q, rule);
	if (!narrow(policy, q, ret)) {
		deny(ret, POLICY_REASON_NARROWED, rule);
		return;
	}
	bind(policy, q, ret);
	if (audited && ret->verdict != POLICY_DENY) {
		ret->verdict = POLICY_AUDIT;
		ret->rule = audited;
		ret->rule_id = audited->id;
	}
}

static const struct policy_rule *find_address_deny(
	const struct policy_decision *d, const struct policy_host *address, bool audit)
{
	for (unsigned int layer = 0; layer < POLICY_LAYER_COUNT; layer++) {
		for (size_t i = 0; i < d->policy->rule_count[layer]; i++) {
			const struct policy_rule *rule = &d->policy->rules[layer][i];

			if (rule->action == POLICY_ACTION_DENY && rule->audit == audit &&
				(rule->protocols & 1u << d->protocol) &&
				policy_ports_match(rule->ports, rule->port_count, d->port) &&
				policy_hosts_reached(&rule->hosts, address))
				return rule;
		}
	}
	return NULL;
}

void policy_decide_address(const struct policy_decision *decision,
	const struct policy_host *address, struct policy_decision *ret)
{
	enum policy_address_class class = address->kind == POLICY_HOST_NAME
						  ? POLICY_ADDRESS_FORBIDDEN
						  : policy_address_classify(address);
	const struct policy_rule *rule;

	*ret = *decision;
	if (ret->verdict == POLICY_DENY)
		return;
	if (class == POLICY_ADDRESS_FORBIDDEN) {
		deny(ret, POLICY_REASON_FORBIDDEN, ret->rule);
		return;
	}
	rule = find_address_deny(ret, address, false);
	if (rule) {
		deny(ret, POLICY_REASON_RULE, rule);
	} else if (class == POLICY_ADDRESS_PRIVATE && !ret->private_addresses) {
		deny(ret, POLICY_REASON_PRIVATE, ret->rule);
	} else if ((rule = find_address_deny(ret, address, true))) {
		ret->verdict = POLICY_AUDIT;
		ret->rule = rule;
		ret->rule_id = rule->id;
	}
}

enum policy_protocol policy_decide_protocol(
	const struct policy *policy, const struct policy_host *host, uint16_t port)
{
	enum policy_protocol found = 0;
	bool private;

	for (unsigned int layer = 0; layer < POLICY_LAYER_PROJECT; layer++) {
		for (size_t i = 0; i < policy->rule_count[layer]; i++) {
			const struct policy_rule *rule = &policy->rules[layer][i];

			if (rule->action != POLICY_ACTION_ALLOW || rule->tier > policy->tier ||
				!policy_ports_match(rule->ports, rule->port_count, port) ||
				!policy_hosts_match(&rule->hosts, host, &private))
				continue;
			if (rule->protocols & 1u << POLICY_PROTOCOL_HTTP)
				return POLICY_PROTOCOL_HTTP;
			for (unsigned int p = POLICY_PROTOCOL_TLS;
				!found && p <= POLICY_PROTOCOL_SSH; p++)
				if (rule->protocols & 1u << p)
					found = (enum policy_protocol)p;
		}
	}
	return found ? found : POLICY_PROTOCOL_HTTP;
}
