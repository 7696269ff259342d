/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "policy/document.h"
#include "vmm/base/array.h"

static const char *const rule_keys[] = { "id", "action", "host", "cidr", "port", "protocol",
	"methods", "paths", "encoded_slash", "websocket", "request_bytes_max", "response_bytes_max",
	"mode", "guest_credentials", "private_addresses", "tier", "note", NULL };
static const char *const action_words[] = { "allow", "deny", NULL };
static const char *const mode_words[] = { "enforce", "audit", NULL };
static const char *const credential_words[] = { "allow", NULL };
static const char *const protocol_words[] = { "http", "tls", "tcp", "ssh", NULL };

/* What only a rule that lets something pass can say. */
static const char *const allow_keys[] = { "encoded_slash", "websocket", "request_bytes_max",
	"response_bytes_max", "guest_credentials", "private_addresses", "tier", NULL };
/* What only a rule about HTTP can say. */
static const char *const http_keys[] = { "methods", "paths", "encoded_slash", "websocket",
	"request_bytes_max", "response_bytes_max", "guest_credentials", NULL };
static const char *const request_keys[] = { "methods", "paths", NULL };
/* What would widen. */
static const char *const project_keys[] = { "guest_credentials", "private_addresses", "tier",
	"mode", NULL };

static enum policy_protocol read_protocol(struct reader *r, const struct json_t *v)
{
	int word = reader_get_word(r, v, "protocol", protocol_words);

	return word < 0 ? 0 : (enum policy_protocol)(word + 1);
}

static void set_default_ports(
	struct reader *r, struct policy_rule *rule, enum policy_protocol protocol)
{
	static const struct policy_ports web[] = { { 80, 80 }, { 443, 443 } };
	static const struct policy_ports ssh[] = { { 22, 22 } };

	switch (protocol) {
	case POLICY_PROTOCOL_HTTP:
		rule->ports = web;
		rule->port_count = ARRAY_SIZE(web);
		break;
	case POLICY_PROTOCOL_TLS:
		rule->ports = web + 1;
		rule->port_count = 1;
		break;
	case POLICY_PROTOCOL_SSH:
		rule->ports = ssh;
		rule->port_count = ARRAY_SIZE(ssh);
		break;
	case POLICY_PROTOCOL_TCP:
		reader_fail(r, "has no \"port\": protocol tcp has no usual one");
		break;
	}
}

static void read_allow(struct reader *r, const struct json_t *v, struct policy_rule *rule)
{
	enum policy_protocol protocol = read_protocol(r, v);

	if (!protocol)
		protocol = POLICY_PROTOCOL_HTTP;
	rule->protocols = 1u << protocol;
	if (protocol != POLICY_PROTOCOL_HTTP)
		read_refuse(r, v, http_keys,
			"needs protocol http: an opaque stream shows none of it (E25)");
	if (!rule->port_count)
		set_default_ports(r, rule, protocol);
	rule->tier = read_tier(r, v);
	rule->encoded_slash = reader_get_bool(r, v, "encoded_slash");
	rule->websocket = reader_get_bool(r, v, "websocket");
	rule->private_addresses = reader_get_bool(r, v, "private_addresses");
	rule->guest_credentials = reader_get_word(r, v, "guest_credentials", credential_words) == 0;
	rule->request_bytes_max = reader_get_size(r, v, "request_bytes_max");
	rule->response_bytes_max = reader_get_size(r, v, "response_bytes_max");
}

/* A deny with methods or paths is about HTTP; one for addresses holds where they are dialled, and no request is seen there. */
static void read_deny(struct reader *r, const struct json_t *v, struct policy_rule *rule)
{
	enum policy_protocol protocol = read_protocol(r, v);
	bool about_requests = rule->methods.count || rule->paths.count;

	read_refuse(r, v, allow_keys, "has no place in a rule that denies: a denial holds always");
	if (about_requests && protocol && protocol != POLICY_PROTOCOL_HTTP)
		read_refuse(r, v, request_keys,
			"needs protocol http: an opaque stream shows none of it");
	if (about_requests && rule->hosts.listed_count)
		read_refuse(r, v, request_keys,
			"can't stand in a deny rule that lists addresses: it holds for names that resolve to them too, whatever is asked");
	if (about_requests)
		protocol = POLICY_PROTOCOL_HTTP;
	rule->protocols = protocol ? 1u << protocol : ~0u;
}

static void read_action(struct reader *r, const struct json_t *v, struct policy_rule *rule)
{
	int action = reader_get_word(r, v, "action", action_words);

	if (!reader_member(v, "action"))
		reader_fail(r, "has no \"action\" (allow or deny)");
	rule->action = action == 1 ? POLICY_ACTION_DENY : POLICY_ACTION_ALLOW;
	rule->audit = reader_get_word(r, v, "mode", mode_words) == 1;
}

void read_rule(
	struct reader *r, const struct json_t *v, enum policy_layer layer, struct policy_rule *ret)
{
	struct policy_rule rule = { .layer = layer,
		.tier = POLICY_TIER_BUILDER,
		.request_bytes_max = UINT64_MAX,
		.response_bytes_max = UINT64_MAX };

	if (!reader_object(r, v, rule_keys))
		return;
	rule.id = read_id(r, v, "id");
	read_action(r, v, &rule);
	reader_get_text(r, v, "note", READER_TEXT_MAX, "");
	if (!reader_member(v, "host") && !reader_member(v, "cidr"))
		reader_fail(r, "has neither \"host\" nor \"cidr\"");
	if (layer == POLICY_LAYER_PROJECT)
		read_refuse(r, v, project_keys,
			"can't stand in a project's policy: it may only narrow (H5)");
	read_hosts(r, v,
		rule.action == POLICY_ACTION_DENY ? READ_HOSTS_ANY
		: rule.audit			  ? READ_HOSTS_LEARN
						  : READ_HOSTS_ALLOW,
		&rule.hosts);
	read_ports(r, v, &rule.ports, &rule.port_count);
	read_methods(r, v, &rule.methods);
	read_paths(r, v, &rule.paths);
	if (rule.action == POLICY_ACTION_ALLOW)
		read_allow(r, v, &rule);
	else
		read_deny(r, v, &rule);
	*ret = rule;
}
