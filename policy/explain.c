/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"
#include "vmm/base/array.h"

/* Appends to out, cut where it ends. False: it was cut. */
static bool __attribute__((format(printf, 3, 4)))
append(char *out, size_t size, const char *format, ...)
{
	size_t used = strlen(out);
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(out + used, size - used, format, arguments);
	va_end(arguments);
	return n >= 0 && (size_t)n < size - used;
}

#define SAY(field, ...) append((field), sizeof(field), __VA_ARGS__)

/* Methods and paths come from a guest: what is not printable ASCII becomes `?` in a text for people (H6). */
static void append_foreign(char *out, size_t size, const char *text, size_t max)
{
	size_t used = strlen(out);

	for (size_t i = 0; i < max && text[i] && used + 1 < size; i++) {
		out[used++] = text[i] > 0x20 && text[i] < 0x7f ? text[i] : '?';
		out[used] = '\0';
	}
	if (strlen(text) > max)
		append(out, size, "...");
}

static const char *scheme_of(const struct policy_request *q)
{
	const char *name = policy_protocol_name(q->protocol);

	if (q->protocol != POLICY_PROTOCOL_HTTP)
		return name ? name : "?";
	if (q->websocket)
		return q->secure ? "wss" : "ws";
	return q->secure ? "https" : "http";
}

static void append_place(char *out, size_t size, const struct policy_request *q)
{
	bool v6 = q->host.kind == POLICY_HOST_IPV6;

	append(out, size, "%s%s%s", v6 ? "[" : "", q->host.text, v6 ? "]" : "");
	if (!policy_port_is_usual(q))
		append(out, size, ":%u", q->port);
}

/* The query stays out: its values are the guest's or a service's own. */
static void say_what(const struct policy_request *q, struct policy_explanation *e)
{
	if (q->protocol == POLICY_PROTOCOL_HTTP) {
		append_foreign(
			e->what, sizeof(e->what), q->method ? q->method : "?", POLICY_METHOD_MAX);
		SAY(e->what, " ");
	}
	SAY(e->what, "%s://", scheme_of(q));
	append_place(e->what, sizeof(e->what), q);
	if (q->protocol == POLICY_PROTOCOL_HTTP && q->path)
		append_foreign(e->what, sizeof(e->what), q->path, POLICY_SUGGESTION_PATH_MAX);
}

struct reason_words {
	const char *word, *detail, *change;
	bool has_command;
};

static const struct reason_words reasons[] = {
	[POLICY_REASON_RULE] = { "rule", NULL, NULL, false },
	[POLICY_REASON_NO_RULE] = { "no-rule", "no rule allows this host", "a rule for it", true },
	[POLICY_REASON_NARROWED] = { "narrowed",
		"the project's .sandbox.json lists what it needs, and this is not in it",
		"a rule for it in the project's .sandbox.json; where it has one: sandboxctl policy approve, and a restart",
		false },
	[POLICY_REASON_LITERAL] = { "literal",
		"an address passes only where a rule lists it, never by a name's rule",
		"a rule that lists this address, or the host's name instead of it", true },
	[POLICY_REASON_PRIVATE] = { "private",
		"the address is in a private range, and the rule does not speak of those",
		"a rule with private_addresses", true },
	[POLICY_REASON_FORBIDDEN] = { "forbidden",
		"loopback, link-local, metadata, reserved and the host's own addresses are never reachable",
		"", false },
	[POLICY_REASON_METHOD] = { "method", "the rule for this host does not allow the method",
		"a rule for this method", true },
	[POLICY_REASON_PATH] = { "path", "the rule for this host does not allow the path",
		"a rule for this path", true },
	[POLICY_REASON_WEBSOCKET] = { "websocket",
		"the rule for this host does not speak of WebSocket", "a rule with websocket",
		true },
	[POLICY_REASON_BINDING] = { "binding",
		"a credential is required at this host, and no binding covers this method and path",
		"a binding that covers it, or no \"require\"", false },
	[POLICY_REASON_PROTOCOL] = { "protocol",
		"the rule for this host and port is for another protocol",
		"a rule for this protocol", true },
	[POLICY_REASON_PORT] = { "port", "the rule for this host is for other ports",
		"a rule for this port", true },
	[POLICY_REASON_TIER] = { "tier", "the rule for this needs a higher tier", NULL, false },
};

/* Without a rule that would help, nothing is promised. */
static void say_command(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_explanation *e)
{
	struct policy_suggestion suggestion;

	e->change[0] = '\0';
	if (!policy_suggest(policy, request, decision, &suggestion))
		return;
	SAY(e->change, "%s", reasons[decision->reason].change);
	if (policy->narrowing_count)
		SAY(e->change, ", and one in the project's .sandbox.json");
	policy_suggestion_command(&suggestion, e->command);
}

static void say_rule(const struct policy_decision *d, struct policy_explanation *e)
{
	const char *layer = d->rule ? policy_layer_name(d->rule->layer) : "a rule";

	if (d->verdict == POLICY_DENY) {
		SAY(e->detail, "rule \"%s\" of %s denies it", d->rule_id, layer);
		SAY(e->change,
			"taking rule \"%s\" out of %s: deny wins over every rule that allows",
			d->rule_id, layer);
	} else if (d->verdict == POLICY_AUDIT) {
		SAY(e->detail, "rule \"%s\" of %s lets it pass and logs it (mode audit)",
			d->rule_id, layer);
	} else {
		SAY(e->detail, "rule \"%s\" of %s allows it", d->rule_id, layer);
	}
}

static void say_credential(const struct policy_decision *d, struct policy_explanation *e)
{
	if (d->binding)
		SAY(e->detail, "; binding \"%s\" adds secret \"%s\"", d->binding->id,
			d->binding->secret);
	else if (d->guest_credentials)
		SAY(e->detail, "; the guest's own credentials pass");
	else
		SAY(e->detail, "; without any credential");
}

static void say_reason(const struct policy_decision *d, const struct reason_words *words,
	struct policy_explanation *e)
{
	SAY(e->detail, "%s", words->detail);
	if (*d->rule_id)
		SAY(e->detail, " (rule \"%s\" of %s)", d->rule_id,
			d->rule ? policy_layer_name(d->rule->layer) : "the policy");
	if (d->reason == POLICY_REASON_TIER && d->rule)
		SAY(e->change, "tier %s", policy_tier_name(d->rule->tier));
	else if (words->change)
		SAY(e->change, "%s", words->change);
}

void policy_explain(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_explanation *ret)
{
	const struct reason_words *words = &reasons[decision->reason];
	struct policy_explanation e = { .verdict = decision->verdict, .reason = words->word };

	say_what(request, &e);
	SAY(e.rule, "%s", decision->rule_id);
	if (decision->reason == POLICY_REASON_RULE)
		say_rule(decision, &e);
	else
		say_reason(decision, words, &e);
	if (decision->verdict != POLICY_DENY && request->protocol == POLICY_PROTOCOL_HTTP)
		say_credential(decision, &e);
	if (words->has_command)
		say_command(policy, request, decision, &e);
	*ret = e;
}

void policy_explain_limit(const struct policy_request *request,
	const struct policy_limit_denial *denial, struct policy_explanation *ret)
{
	static const char *const words[] = {
		[POLICY_LIMIT_REQUESTS] = "limit:requests_per_hour",
		[POLICY_LIMIT_STREAMS] = "limit:streams_max",
		[POLICY_LIMIT_EGRESS] = "limit:egress_bytes_per_day",
		[POLICY_LIMIT_INGRESS] = "limit:ingress_bytes_per_day",
		[POLICY_LIMIT_REQUEST_BYTES] = "limit:request_bytes_max",
		[POLICY_LIMIT_RESPONSE_BYTES] = "limit:response_bytes_max",
		[POLICY_LIMIT_TIME] = "limit:stream_seconds_max",
	};
	struct policy_explanation e = { .verdict = POLICY_DENY,
		.reason = words[denial->kind],
		.lifts_at_s = denial->lifts_at_s };

	say_what(request, &e);
	SAY(e.rule, "%s", denial->id);
	SAY(e.detail, "%s is %llu in \"%s\", and this would be more",
		policy_limit_kind_name(denial->kind), (unsigned long long)denial->limit,
		denial->id);
	if (denial->lifts_at_s)
		SAY(e.change, "time (see lifts_at), or a higher limit \"%s\"", denial->id);
	else if (denial->kind == POLICY_LIMIT_STREAMS)
		SAY(e.change, "the end of another stream, or a higher limit \"%s\"", denial->id);
	else
		SAY(e.change, "less at once, or a higher limit \"%s\"", denial->id);
	*ret = e;
}

/* Every text here is printable ASCII already; what is not is escaped all the same. */
static void append_json(char *out, size_t size, const char *key, const char *text)
{
	append(out, size, "%s\"%s\":\"", out[1] ? "," : "", key);
	for (size_t i = 0; text[i]; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			append(out, size, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			append(out, size, "\\u%04x", c);
		else
			append(out, size, "%c", c);
	}
	append(out, size, "\"");
}

size_t policy_explanation_json(
	const struct policy_explanation *e, char out[static POLICY_DENIAL_JSON_MAX])
{
	memcpy(out, "{", 2);
	append_json(out, POLICY_DENIAL_JSON_MAX, "error",
		e->verdict == POLICY_DENY ? "denied" : "none");
	append_json(out, POLICY_DENIAL_JSON_MAX, "what", e->what);
	append_json(out, POLICY_DENIAL_JSON_MAX, "reason", e->reason);
	append_json(out, POLICY_DENIAL_JSON_MAX, "rule", e->rule);
	append_json(out, POLICY_DENIAL_JSON_MAX, "detail", e->detail);
	append_json(out, POLICY_DENIAL_JSON_MAX, "change", e->change);
	append_json(out, POLICY_DENIAL_JSON_MAX, "command", e->command);
	append(out, POLICY_DENIAL_JSON_MAX, ",\"lifts_at\":%llu}",
		(unsigned long long)e->lifts_at_s);
	return strlen(out);
}
