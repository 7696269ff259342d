/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/match.h"
#include "policy/policy.h"

bool policy_port_is_usual(const struct policy_request *q)
{
	switch (q->protocol) {
	case POLICY_PROTOCOL_HTTP:
		return q->port == (q->secure ? 443 : 80);
	case POLICY_PROTOCOL_TLS:
		return q->port == 443;
	case POLICY_PROTOCOL_SSH:
		return q->port == 22;
	case POLICY_PROTOCOL_TCP:
		break;
	}
	return false;
}

/* The request's own path as a pattern: a `*` in it is a byte like others. */
static bool write_path(const char *path, struct policy_suggestion *s)
{
	size_t used = 0, segments = 0;

	if (strlen(path) > POLICY_SUGGESTION_PATH_MAX)
		return false;
	for (; *path; path++) {
		segments += *path == '/';
		if (*path == '*') {
			memcpy(s->path + used, "%2A", 3);
			used += 3;
		} else {
			s->path[used++] = *path;
		}
	}
	s->path[used] = '\0';
	return segments <= POLICY_PATH_SEGMENTS;
}

static bool write_http(
	const struct policy_request *q, enum policy_reason reason, struct policy_suggestion *s)
{
	if (!q->method || !q->path || q->path[0] != '/' || !policy_is_method(q->method))
		return false;
	if (q->has_encoded_slash && !policy_path_clean_when_split(q->path))
		return false;
	s->websocket = q->websocket;
	s->encoded_slash = q->has_encoded_slash;
	if (reason != POLICY_REASON_METHOD && reason != POLICY_REASON_PATH)
		return true;
	memcpy(s->method, q->method, strlen(q->method) + 1);
	return write_path(q->path, s);
}

/* A rule for it is refused when loaded (E2, E25), or the required credential is missing all the same. */
static bool stands_in_the_way(const struct policy *policy, const struct policy_request *q)
{
	const struct policy_pattern exact = { .suffix = q->host.text };
	bool required = false;

	if (q->host.kind == POLICY_HOST_NAME && policy_pattern_too_wide(&exact))
		return true;
	for (size_t i = 0; i < policy->binding_count; i++) {
		const struct policy_binding *b = &policy->bindings[i];

		if (b->port != q->port || !policy_host_equal(&b->host, &q->host))
			continue;
		if (q->protocol != POLICY_PROTOCOL_HTTP)
			return true;
		if (b->tier <= policy->tier && policy_binding_covers(b, q))
			return false;
		required |= b->require;
	}
	return required;
}

static bool is_curable(enum policy_reason reason)
{
	switch (reason) {
	case POLICY_REASON_NO_RULE:
	case POLICY_REASON_LITERAL:
	case POLICY_REASON_PRIVATE:
	case POLICY_REASON_METHOD:
	case POLICY_REASON_PATH:
	case POLICY_REASON_WEBSOCKET:
	case POLICY_REASON_PROTOCOL:
	case POLICY_REASON_PORT:
		return true;
	case POLICY_REASON_RULE:
	case POLICY_REASON_NARROWED:
	case POLICY_REASON_FORBIDDEN:
	case POLICY_REASON_BINDING:
	case POLICY_REASON_TIER:
		break;
	}
	return false;
}

bool policy_suggest(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_suggestion *ret)
{
	struct policy_suggestion s = { .host = request->host,
		.protocol = request->protocol,
		.private_addresses = decision->reason == POLICY_REASON_PRIVATE };

	if (decision->verdict != POLICY_DENY || !is_curable(decision->reason) || !request->port ||
		!policy_protocol_name(request->protocol) || stands_in_the_way(policy, request))
		return false;
	s.port = policy_port_is_usual(request) ? 0 : request->port;
	if (s.protocol == POLICY_PROTOCOL_HTTP && !write_http(request, decision->reason, &s))
		return false;
	*ret = s;
	return true;
}

/* Appends; the longest path and host fit by far. */
static void __attribute__((format(printf, 2, 3))) append(char *out, const char *format, ...)
{
	size_t used = strlen(out);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(out + used, POLICY_SUGGESTION_TEXT_MAX - used, format, arguments);
	va_end(arguments);
}

/*
 * A word as it is where no shell reads anything into it, else in quotes; `'` ends them for as long as it lasts. No host,
 * method or path begins with a hyphen.
 */
static void append_quoted(char *out, const char *text)
{
	static const char safe[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+:,./-";

	if (*text && strspn(text, safe) == strlen(text)) {
		append(out, " %s", text);
		return;
	}
	append(out, " '");
	for (; *text; text++)
		append(out, *text == '\'' ? "'\\''" : "%c", *text);
	append(out, "'");
}

void policy_suggestion_command(
	const struct policy_suggestion *s, char out[static POLICY_SUGGESTION_TEXT_MAX])
{
	bool v6 = s->host.kind == POLICY_HOST_IPV6;
	char place[POLICY_NAME_MAX + 16];
	int n = snprintf(
		place, sizeof(place), "%s%s%s", v6 ? "[" : "", s->host.text, v6 ? "]" : "");

	if (s->port)
		snprintf(place + n, sizeof(place) - (size_t)n, ":%u", s->port);
	out[0] = '\0';
	append(out, "sandboxctl policy allow");
	append_quoted(out, place);
	if (s->protocol != POLICY_PROTOCOL_HTTP)
		append(out, " --protocol %s", policy_protocol_name(s->protocol));
	append(out, "%s%s%s", s->websocket ? " --websocket" : "",
		s->encoded_slash ? " --encoded-slash" : "",
		s->private_addresses ? " --private" : "");
	if (*s->method) {
		append(out, " --method");
		append_quoted(out, s->method);
	}
	if (*s->path) {
		append(out, " --path");
		append_quoted(out, s->path);
	}
}

/* Canonical hosts and paths, methods and ids hold nothing that JSON would escape. */
void policy_suggestion_rule(const struct policy_suggestion *s, const char *id,
	char out[static POLICY_SUGGESTION_TEXT_MAX])
{
	out[0] = '\0';
	append(out, "{\"id\":\"%s\",\"action\":\"allow\",\"host\":\"%s\"", id, s->host.text);
	if (s->protocol != POLICY_PROTOCOL_HTTP)
		append(out, ",\"protocol\":\"%s\"", policy_protocol_name(s->protocol));
	if (s->port)
		append(out, ",\"port\":%u", s->port);
	if (*s->method)
		append(out, ",\"methods\":[\"%s\"]", s->method);
	if (*s->path)
		append(out, ",\"paths\":[\"%s\"]", s->path);
	append(out, "%s%s%s}", s->websocket ? ",\"websocket\":true" : "",
		s->encoded_slash ? ",\"encoded_slash\":true" : "",
		s->private_addresses ? ",\"private_addresses\":true" : "");
}
