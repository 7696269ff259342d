/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/denial.h"

#include <stdio.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vsock-proxy/fields.h"

static const struct {
	uint16_t status;
	uint8_t grpc; /* the status codes of gRPC's specification */
	const char *reason, *proxy_error; /* RFC 9209, section 2.3 */
	enum egress_verdict verdict;
} kinds[] = {
	[DENIAL_POLICY] = { 403, 7, "denied", "http_request_denied", EGRESS_DENIED },
	[DENIAL_LIMIT] = { 429, 8, "limit", "http_request_denied", EGRESS_LIMITED },
	[DENIAL_AUTHORITY] = { 421, 7, "authority", "http_request_denied", EGRESS_DENIED },
	[DENIAL_REQUEST] = { 400, 3, "request", "http_request_error", EGRESS_DENIED },
	[DENIAL_TOO_LARGE] = { 413, 8, "too-large", "http_request_denied", EGRESS_DENIED },
	[DENIAL_UPSTREAM] = { 502, 14, "upstream", "destination_unavailable", EGRESS_UNREACHABLE },
	[DENIAL_TIMEOUT] = { 504, 4, "timeout", "connection_timeout", EGRESS_UNREACHABLE },
	[DENIAL_STOPPED] = { 503, 14, "stopped", "proxy_internal_error", EGRESS_STOPPED },
};

static void finish(struct denial *d, enum denial_kind kind)
{
	d->kind = kind;
	d->status = kinds[kind].status;
	d->body_len = policy_explanation_json(&d->explanation, d->body);
}

void denial_of_explanation(struct denial *ret, enum denial_kind kind)
{
	finish(ret, kind);
}

/* Printable ASCII: it is shown in many places. */
static void put_plain(char *out, size_t size, const char *text)
{
	size_t i = 0;

	for (; text[i] && i + 1 < size; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
}

void denial_of_failure(
	struct denial *ret, enum denial_kind kind, const char *what, const char *detail)
{
	struct policy_explanation *e = &ret->explanation;

	*e = (struct policy_explanation){ .verdict = POLICY_DENY, .reason = kinds[kind].reason };
	put_plain(e->what, sizeof(e->what), what);
	put_plain(e->detail, sizeof(e->detail), detail);
	finish(ret, kind);
}

/* Inside a quoted string (RFC 9651, section 3.3.3). */
static void put_quoted(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 3 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
	}
	out[n] = '\0';
}

void denial_fields(const struct denial *denial, bool grpc, uint64_t now_s,
	struct denial_scratch *scratch, struct record_fields *ret)
{
	const struct policy_explanation *e = &denial->explanation;
	char detail[160];

	ret->count = 0;
	put_quoted(detail, sizeof(detail), e->detail);
	snprintf(scratch->proxy_status, sizeof(scratch->proxy_status),
		"sandboxctl; error=%s; details=\"%s\"", kinds[denial->kind].proxy_error, detail);
	fields_add(ret, "proxy-status", scratch->proxy_status);
	fields_add(ret, "cache-control", "no-store");
	if (e->lifts_at_s) {
		snprintf(scratch->retry_after, sizeof(scratch->retry_after), "%llu",
			(unsigned long long)(e->lifts_at_s > now_s ? e->lifts_at_s - now_s : 1));
		fields_add(ret, "retry-after", scratch->retry_after);
	}
	if (!grpc) {
		fields_add(ret, "content-type", "application/json");
		return;
	}
	fields_add(ret, "content-type", "application/grpc");
	fields_add(ret, "grpc-status",
		(const char *[]){ "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11",
			"12", "13", "14", "15", "16" }[kinds[denial->kind].grpc]);
	put_plain(scratch->grpc_message, sizeof(scratch->grpc_message), e->detail);
	for (char *p = scratch->grpc_message; *p; p++)
		if (*p == '%')
			*p = ' '; /* percent-encoded text: there is nothing to decode */
	if (*scratch->grpc_message)
		fields_add(ret, "grpc-message", scratch->grpc_message);
}

uint16_t denial_status(const struct denial *denial, bool grpc)
{
	return grpc ? 200 : denial->status;
}

size_t denial_http1(const struct denial *denial, uint16_t status, uint64_t now_s,
	char out[static DENIAL_HTTP1_MAX])
{
	struct denial_scratch scratch;
	struct record_fields fields;
	int n;

	denial_fields(denial, false, now_s, &scratch, &fields);
	n = snprintf(
		out, DENIAL_HTTP1_MAX, "HTTP/1.1 %u Denied\r\n", status ? status : denial->status);
	for (uint16_t i = 0; i < fields.count; i++)
		n += snprintf(out + n, DENIAL_HTTP1_MAX - (size_t)n, "%s: %s\r\n",
			fields.list[i].name, fields.list[i].value);
	n += snprintf(out + n, DENIAL_HTTP1_MAX - (size_t)n,
		"content-length: %zu\r\nconnection: close\r\n\r\n", denial->body_len);
	memcpy(out + n, denial->body,
		denial->body_len); /* the fields are bounded: see denial_scratch */
	return (size_t)n + denial->body_len;
}

void denial_answer(const struct denial *denial, struct egress_answer *ret)
{
	const struct policy_explanation *e = &denial->explanation;
	char reason[2 * POLICY_EXPLAIN_TEXT_MAX + 4];

	*ret = (struct egress_answer){ .verdict = (uint8_t)kinds[denial->kind].verdict,
		.lifts_at_s = e->lifts_at_s };
	snprintf(reason, sizeof(reason), "%s: %s", e->what, *e->detail ? e->detail : e->reason);
	put_plain(ret->rule, sizeof(ret->rule), e->rule);
	put_plain(ret->reason, sizeof(ret->reason), reason);
	/* A command that does not fit whole is none: it would do something else. */
	if (strlen(e->command) < sizeof(ret->command))
		put_plain(ret->command, sizeof(ret->command), e->command);
}
