/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "policy/decide.h"
#include "policy/match.h"
#include "policy/policy.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/checked.h"

#define HOUR_S	3600u
#define DAY_S	86400u
#define VERSION 1

static_assert(POLICY_LIMITS_MAX <= 64, "policy_stream.slots has a bit for each");

const char *policy_limit_kind_name(enum policy_limit_kind kind)
{
	static const char *const names[] = {
		[POLICY_LIMIT_REQUESTS] = "requests_per_hour",
		[POLICY_LIMIT_STREAMS] = "streams_max",
		[POLICY_LIMIT_EGRESS] = "egress_bytes_per_day",
		[POLICY_LIMIT_INGRESS] = "ingress_bytes_per_day",
		[POLICY_LIMIT_REQUEST_BYTES] = "request_bytes_max",
		[POLICY_LIMIT_RESPONSE_BYTES] = "response_bytes_max",
		[POLICY_LIMIT_TIME] = "stream_seconds_max",
	};

	return (unsigned int)kind < ARRAY_SIZE(names) ? names[kind] : NULL;
}

static struct policy_counter *find_counter(struct policy_counters *counters, const char *id)
{
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++)
		if (strcmp(counters->slots[i].id, id) == 0)
			return &counters->slots[i];
	return NULL;
}

static bool policy_has_limit(const struct policy *policy, const char *id)
{
	for (size_t i = 0; i < policy->limit_count; i++)
		if (strcmp(policy->limits[i].id, id) == 0)
			return true;
	return false;
}

/* The limit's counter, or a free one; or one of a limit that is gone, with no stream left. NULL: none of these. */
static struct policy_counter *take_counter(
	const struct policy *policy, struct policy_counters *counters, const char *id)
{
	struct policy_counter *counter = find_counter(counters, id);

	for (size_t i = 0; !counter && i < POLICY_LIMITS_MAX; i++)
		if (!*counters->slots[i].id)
			counter = &counters->slots[i];
	for (size_t i = 0; !counter && i < POLICY_LIMITS_MAX; i++)
		if (!counters->slots[i].streams && !policy_has_limit(policy, counters->slots[i].id))
			counter = &counters->slots[i];
	if (counter && strcmp(counter->id, id) != 0) {
		*counter = (struct policy_counter){};
		memcpy(counter->id, id, MIN(strlen(id), sizeof(counter->id) - 1));
	}
	return counter;
}

/* Whether the window that began at *start is over, or none has begun. A clock set back begins it anew, counts kept. */
static bool window_over(uint64_t *start, uint64_t length_s, uint64_t now_s)
{
	if (now_s < *start)
		*start = now_s;
	if (*start && now_s - *start < length_s)
		return false;
	*start = now_s;
	return true;
}

static void roll(struct policy_counter *c, uint64_t now_s)
{
	if (window_over(&c->hour_start_s, HOUR_S, now_s))
		c->requests = 0;
	if (window_over(&c->day_start_s, DAY_S, now_s))
		c->egress_bytes = c->ingress_bytes = 0;
}

static bool refuse(struct policy_limit_denial *ret, enum policy_limit_kind kind, const char *id,
	uint64_t limit, uint64_t lifts_at_s)
{
	*ret = (struct policy_limit_denial){ kind, id, limit, lifts_at_s };
	return false;
}

static bool applies(const struct policy *policy, const struct policy_limit *limit,
	const struct policy_request *request)
{
	bool private;

	if (!(limit->tiers & 1u << policy->tier))
		return false;
	return (!limit->hosts.pattern_count && !limit->hosts.listed_count) ||
	       policy_hosts_match(&limit->hosts, &request->host, &private);
}

static bool has_room(const struct policy_limit *l, const struct policy_counter *c,
	struct policy_limit_denial *ret)
{
	if (c->requests >= l->requests_per_hour)
		return refuse(ret, POLICY_LIMIT_REQUESTS, l->id, l->requests_per_hour,
			c->hour_start_s + HOUR_S);
	if (c->streams >= l->streams_max)
		return refuse(ret, POLICY_LIMIT_STREAMS, l->id, l->streams_max, 0);
	if (c->egress_bytes >= l->egress_bytes_per_day)
		return refuse(ret, POLICY_LIMIT_EGRESS, l->id, l->egress_bytes_per_day,
			c->day_start_s + DAY_S);
	if (c->ingress_bytes >= l->ingress_bytes_per_day)
		return refuse(ret, POLICY_LIMIT_INGRESS, l->id, l->ingress_bytes_per_day,
			c->day_start_s + DAY_S);
	return true;
}

bool policy_stream_begin(const struct policy *policy, const struct policy_request *request,
	const struct policy_decision *decision, struct policy_counters *counters, uint64_t now_s,
	struct policy_stream *ret, struct policy_limit_denial *ret_denial)
{
	struct policy_stream stream = { .begun_s = now_s,
		.request_bytes_max = decision->request_bytes_max,
		.response_bytes_max = decision->response_bytes_max };

	for (size_t i = 0; i < policy->limit_count; i++) {
		const struct policy_limit *limit = &policy->limits[i];
		struct policy_counter *counter;

		if (!applies(policy, limit, request))
			continue;
		counter = take_counter(policy, counters, limit->id);
		if (!counter)
			return refuse(
				ret_denial, POLICY_LIMIT_STREAMS, limit->id, POLICY_LIMITS_MAX, 0);
		roll(counter, now_s);
		if (!has_room(limit, counter, ret_denial))
			return false;
		stream.slots |= UINT64_C(1) << (counter - counters->slots);
	}
	memcpy(stream.rule_id, decision->rule_id,
		MIN(strlen(decision->rule_id), (size_t)POLICY_ID_MAX));
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++) {
		if (stream.slots >> i & 1) {
			counters->slots[i].requests++;
			counters->slots[i].streams++;
		}
	}
	*ret = stream;
	return true;
}

static bool exceeds(uint64_t have, uint64_t more, uint64_t limit)
{
	return limit != POLICY_NO_LIMIT && (have > limit || more > limit - have);
}

static bool fits_limit(const struct policy_limit *l, const struct policy_counter *c,
	const struct policy_stream *s, uint64_t egress, uint64_t ingress, uint64_t now_s,
	struct policy_limit_denial *ret)
{
	if (exceeds(c->egress_bytes, egress, l->egress_bytes_per_day))
		return refuse(ret, POLICY_LIMIT_EGRESS, l->id, l->egress_bytes_per_day,
			c->day_start_s + DAY_S);
	if (exceeds(c->ingress_bytes, ingress, l->ingress_bytes_per_day))
		return refuse(ret, POLICY_LIMIT_INGRESS, l->id, l->ingress_bytes_per_day,
			c->day_start_s + DAY_S);
	if (exceeds(s->request_bytes, egress, l->request_bytes_max))
		return refuse(ret, POLICY_LIMIT_REQUEST_BYTES, l->id, l->request_bytes_max, 0);
	if (exceeds(s->response_bytes, ingress, l->response_bytes_max))
		return refuse(ret, POLICY_LIMIT_RESPONSE_BYTES, l->id, l->response_bytes_max, 0);
	if (now_s > s->begun_s && now_s - s->begun_s > l->stream_seconds_max)
		return refuse(ret, POLICY_LIMIT_TIME, l->id, l->stream_seconds_max, 0);
	return true;
}

/* The counter of a limit that this stream stands under; NULL: another one's. */
static struct policy_counter *counter_of(
	struct policy_counters *counters, const struct policy_stream *stream, const char *id)
{
	struct policy_counter *counter = find_counter(counters, id);

	return counter && stream->slots >> (counter - counters->slots) & 1 ? counter : NULL;
}

static bool fits(const struct policy *policy, const struct policy_stream *stream,
	struct policy_counters *counters, uint64_t egress, uint64_t ingress, uint64_t now_s,
	struct policy_limit_denial *ret)
{
	if (exceeds(stream->request_bytes, egress, stream->request_bytes_max))
		return refuse(ret, POLICY_LIMIT_REQUEST_BYTES, stream->rule_id,
			stream->request_bytes_max, 0);
	if (exceeds(stream->response_bytes, ingress, stream->response_bytes_max))
		return refuse(ret, POLICY_LIMIT_RESPONSE_BYTES, stream->rule_id,
			stream->response_bytes_max, 0);
	for (size_t i = 0; i < policy->limit_count; i++) {
		struct policy_counter *counter = counter_of(counters, stream, policy->limits[i].id);

		if (!counter)
			continue;
		roll(counter, now_s);
		if (!fits_limit(&policy->limits[i], counter, stream, egress, ingress, now_s, ret))
			return false;
	}
	return true;
}

static void add(uint64_t *sum, uint64_t more)
{
	if (!checked_add(*sum, more, sum))
		*sum = UINT64_MAX;
}

bool policy_stream_count(const struct policy *policy, struct policy_stream *stream,
	struct policy_counters *counters, uint64_t egress_bytes, uint64_t ingress_bytes,
	uint64_t now_s, struct policy_limit_denial *ret_denial)
{
	if (!fits(policy, stream, counters, egress_bytes, ingress_bytes, now_s, ret_denial))
		return false;
	add(&stream->request_bytes, egress_bytes);
	add(&stream->response_bytes, ingress_bytes);
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++) {
		if (stream->slots >> i & 1) {
			add(&counters->slots[i].egress_bytes, egress_bytes);
			add(&counters->slots[i].ingress_bytes, ingress_bytes);
		}
	}
	return true;
}

void policy_stream_end(struct policy_stream *stream, struct policy_counters *counters)
{
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++)
		if (stream->slots >> i & 1 && counters->slots[i].streams)
			counters->slots[i].streams--;
	stream->slots = 0;
}

size_t policy_counters_encode(
	const struct policy_counters *counters, uint8_t out[static POLICY_COUNTERS_SIZE])
{
	struct bytes_writer w = bytes_writer(out, POLICY_COUNTERS_SIZE);
	uint16_t count = 0;

	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++)
		count = (uint16_t)(count + (*counters->slots[i].id ? 1 : 0));
	bytes_put_u8(&w, VERSION);
	bytes_put_u16(&w, count);
	for (size_t i = 0; i < POLICY_LIMITS_MAX; i++) {
		const struct policy_counter *c = &counters->slots[i];

		if (!*c->id)
			continue;
		bytes_put_text(&w, c->id);
		bytes_put_u64(&w, c->hour_start_s);
		bytes_put_u64(&w, c->requests);
		bytes_put_u64(&w, c->day_start_s);
		bytes_put_u64(&w, c->egress_bytes);
		bytes_put_u64(&w, c->ingress_bytes);
	}
	return w.offset;
}

static bool decode_counter(struct bytes_reader *r, struct policy_counters *counters, size_t index)
{
	struct policy_counter c = {};

	if (!bytes_get_text(r, c.id, sizeof(c.id)) || !*c.id || find_counter(counters, c.id))
		return false;
	c.hour_start_s = bytes_get_u64(r);
	c.requests = bytes_get_u64(r);
	c.day_start_s = bytes_get_u64(r);
	c.egress_bytes = bytes_get_u64(r);
	c.ingress_bytes = bytes_get_u64(r);
	counters->slots[index] = c;
	return !r->failed;
}

int policy_counters_decode(
	const uint8_t *bytes, size_t len, struct policy_counters *ret, struct err *err)
{
	struct bytes_reader r = bytes_reader(bytes, len);
	struct policy_counters counters = {};
	uint8_t version = bytes_get_u8(&r);
	uint16_t count = bytes_get_u16(&r);

	if (version != VERSION || count > POLICY_LIMITS_MAX)
		return err_set(
			err, -EPROTO, "limit counters: version %u, %u of them", version, count);
	for (uint16_t i = 0; i < count; i++)
		if (!decode_counter(&r, &counters, i))
			return err_set(err, -EPROTO, "limit counters: the one at %u is none", i);
	if (!bytes_done(&r))
		return err_set(err, -EPROTO, "limit counters: %zu bytes too many", bytes_left(&r));
	*ret = counters;
	return 0;
}
