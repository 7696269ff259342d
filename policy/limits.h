/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Limits: accounting over counters that the caller owns, with the time as a parameter. Pure.
 *
 * Every limit whose tier and hosts match a request applies; each has one counter, found by the limit's id, so that it
 * outlives a reload and (written down) a restart. Hours and days begin with the first use and end 3600 and 86400
 * seconds later. A clock that is set back lengthens no window and forgets nothing.
 * Not thread-safe: one owner per struct policy_counters.
 */
#include "policy/rule.h"
#include "vmm/base/err.h"

struct policy;
struct policy_decision;

#define POLICY_LIMITS_MAX    64
#define POLICY_NO_LIMIT	     UINT64_MAX
#define POLICY_COUNTERS_SIZE (3 + POLICY_LIMITS_MAX * (2 + POLICY_ID_MAX + 5 * 8)) /* encoded */

struct policy_limit {
	const char *id;
	enum policy_layer layer;
	unsigned int tiers; /* bit per enum policy_tier */
	struct policy_hosts hosts; /* none: every host, counted together */
	uint64_t requests_per_hour, streams_max;
	uint64_t egress_bytes_per_day, ingress_bytes_per_day;
	uint64_t request_bytes_max, response_bytes_max; /* of one body */
	uint64_t stream_seconds_max; /* wall time of one stream */
};

struct policy_counter {
	char id[POLICY_ID_MAX + 1]; /* "": free */
	uint64_t hour_start_s, requests;
	uint64_t day_start_s, egress_bytes, ingress_bytes;
	uint64_t streams; /* open now; not written down */
};

struct policy_counters {
	struct policy_counter slots[POLICY_LIMITS_MAX];
};

enum policy_limit_kind {
	POLICY_LIMIT_REQUESTS = 1,
	POLICY_LIMIT_STREAMS = 2,
	POLICY_LIMIT_EGRESS = 3,
	POLICY_LIMIT_INGRESS = 4,
	POLICY_LIMIT_REQUEST_BYTES = 5,
	POLICY_LIMIT_RESPONSE_BYTES = 6,
	POLICY_LIMIT_TIME = 7,
};

struct policy_limit_denial {
	enum policy_limit_kind kind;
	const char *id; /* the limit's, or the rule's whose cap it is; the policy's memory */
	uint64_t limit; /* in the kind's own unit */
	uint64_t
		lifts_at_s; /* when the window ends; 0: no time lifts it (a stream's end, a smaller body) */
};

/* One stream or request that was begun and is not over. The caller's memory; survives a reload. */
struct policy_stream {
	uint64_t slots; /* bit per slot of the counters */
	uint64_t begun_s;
	uint64_t request_bytes, response_bytes;
	uint64_t request_bytes_max, response_bytes_max; /* the decision's */
	char rule_id[POLICY_ID_MAX + 1];
};

/* Counts one request and one open stream in every limit that applies, or in none and says which one is full. */
bool policy_stream_begin(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_counters *counters, uint64_t now_s,
	struct policy_stream *ret, struct policy_limit_denial *ret_denial);
/*
 * Before these bytes are passed on (0 and 0: only the time is looked at). False: they must not pass; they are not
 * counted and the stream is to be ended. ret_denial->id may borrow from the stream.
 */
bool policy_stream_count(const struct policy *policy, struct policy_stream *stream,
	struct policy_counters *counters, uint64_t egress_bytes, uint64_t ingress_bytes,
	uint64_t now_s, struct policy_limit_denial *ret_denial);
void policy_stream_end(struct policy_stream *stream, struct policy_counters *counters);

/* Version 1, little-endian; the length written, at most POLICY_COUNTERS_SIZE. */
size_t policy_counters_encode(
	const struct policy_counters *counters, uint8_t out[static POLICY_COUNTERS_SIZE]);
/* -EPROTO, and *ret untouched, for bytes that encode() would not have written. */
int policy_counters_decode(
	const uint8_t *bytes, size_t len, struct policy_counters *ret, struct err *err);
const char *policy_limit_kind_name(enum policy_limit_kind kind); /* as documents call it */
