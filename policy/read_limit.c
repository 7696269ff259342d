/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "policy/document.h"

static const char *const limit_keys[] = { "id", "host", "cidr", "tier", "requests_per_hour",
	"streams_max", "egress_bytes_per_day", "ingress_bytes_per_day", "request_bytes_max",
	"response_bytes_max", "stream_seconds_max", "note", NULL };

/* A tier or several, each exactly: what a higher one may do is said for it, not summed up. */
static unsigned int read_tiers(struct reader *r, const struct json_t *v)
{
	size_t count = reader_count(r, v, "tier", POLICY_TIER_COUNT - 1),
	       mark = reader_enter(r, "tier", 0);
	unsigned int tiers = 0;

	for (size_t i = 0; i < count; i++) {
		int word = reader_word(r, reader_item(v, "tier", i), read_tier_words);

		tiers |= word < 0 ? 0 : 1u << (word + 1);
	}
	reader_leave(r, mark);
	return tiers ? tiers : ~0u;
}

static bool limits_nothing(const struct policy_limit *l)
{
	return (l->requests_per_hour & l->streams_max & l->egress_bytes_per_day &
		       l->ingress_bytes_per_day & l->request_bytes_max & l->response_bytes_max &
		       l->stream_seconds_max) == POLICY_NO_LIMIT;
}

void read_limit(struct reader *r, const struct json_t *v, struct policy_limit *ret)
{
	struct policy_limit l = {};

	if (!reader_object(r, v, limit_keys))
		return;
	l.id = read_id(r, v, "id");
	reader_get_text(r, v, "note", READER_TEXT_MAX, "");
	read_hosts(r, v, READ_HOSTS_ANY, &l.hosts);
	l.tiers = read_tiers(r, v);
	l.requests_per_hour =
		reader_get_number(r, v, "requests_per_hour", 0, INT64_MAX, POLICY_NO_LIMIT);
	l.streams_max = reader_get_number(r, v, "streams_max", 0, INT64_MAX, POLICY_NO_LIMIT);
	l.stream_seconds_max =
		reader_get_number(r, v, "stream_seconds_max", 1, INT64_MAX, POLICY_NO_LIMIT);
	l.egress_bytes_per_day = reader_get_size(r, v, "egress_bytes_per_day");
	l.ingress_bytes_per_day = reader_get_size(r, v, "ingress_bytes_per_day");
	l.request_bytes_max = reader_get_size(r, v, "request_bytes_max");
	l.response_bytes_max = reader_get_size(r, v, "response_bytes_max");
	if (limits_nothing(&l))
		reader_fail(r,
			"limits nothing: name at least one of requests_per_hour, streams_max, ...");
	*ret = l;
}
