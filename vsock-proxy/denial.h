/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one denial form, as HTTP carries it: the JSON of policy_explanation_json() as the body, its reason in Proxy-Status (RFC
 * 9209), Retry-After where a limit lifts (RFC 9110, section 10.2.3); to a gRPC client a status of its own. And what it is in the other places: an
 * egress stream's answer, and words for failures that are nobody's rule. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "guest-agent/protocol/egress.h"
#include "policy/explain.h"
#include "vsock-proxy/record.h"

enum denial_kind {
	DENIAL_POLICY = 1, /* 403 */
	DENIAL_LIMIT = 2, /* 429 */
	DENIAL_AUTHORITY = 3, /* 421: another host than this connection is for (E4) */
	DENIAL_REQUEST = 4, /* 400: refused before any rule was asked (E10, E12) */
	DENIAL_TOO_LARGE = 5, /* 413 */
	DENIAL_UPSTREAM = 6, /* 502 */
	DENIAL_TIMEOUT = 7, /* 504 */
	DENIAL_STOPPED =
		8, /* 503: nothing passes, for it could not be recorded, or its injector is being replaced */
};

struct denial {
	enum denial_kind kind;
	uint16_t status;
	char body[POLICY_DENIAL_JSON_MAX];
	size_t body_len;
	struct policy_explanation explanation;
};

/* Of a decision or a limit. */
void denial_of_explanation(struct denial *ret, enum denial_kind kind);
/* what: "GET https://example.com/x"; detail: a sentence of ours. */
void denial_of_failure(
	struct denial *ret, enum denial_kind kind, const char *what, const char *detail);

/* Fields of the answer; text lies in the denial and in scratch. grpc: content-type of the request is application/grpc. */
struct denial_scratch {
	char proxy_status[256], retry_after[24], grpc_message[256];
};
void denial_fields(const struct denial *denial, bool grpc, uint64_t now_s,
	struct denial_scratch *scratch, struct record_fields *ret);
/* To a gRPC client every answer is 200 without a body (trailers only). */
uint16_t denial_status(const struct denial *denial, bool grpc);

/* A whole response of HTTP/1.1 that ends its connection, where no request could be read: its length. status 0: the denial's. */
#define DENIAL_HTTP1_MAX (POLICY_DENIAL_JSON_MAX + 1024)
size_t denial_http1(const struct denial *denial, uint16_t status, uint64_t now_s,
	char out[static DENIAL_HTTP1_MAX]);

/* For an egress stream, and for the guest's list of denials. */
void denial_answer(const struct denial *denial, struct egress_answer *ret);
