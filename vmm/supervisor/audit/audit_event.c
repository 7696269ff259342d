/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/audit_event.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

#define HEAD_SIZE 44

#define RULE_MAX   128
#define POLICY_MAX 64
#define SECRET_MAX 64
#define METHOD_MAX 32
#define HOST_MAX   256
#define PATH_MAX_  2048
#define DETAIL_MAX 512

static const struct {
	const char *word;
	size_t max;
} texts[] = {
	[AUDIT_RULE] = { "rule", RULE_MAX },
	[AUDIT_POLICY] = { "policy", POLICY_MAX },
	[AUDIT_SECRET] = { "secret", SECRET_MAX },
	[AUDIT_METHOD] = { "method", METHOD_MAX },
	[AUDIT_HOST] = { "host", HOST_MAX },
	[AUDIT_PATH] = { "path", PATH_MAX_ },
	[AUDIT_DETAIL] = { "detail", DETAIL_MAX },
};
static_assert(ARRAY_SIZE(texts) == AUDIT_TEXTS, "a row per text");
static_assert(HEAD_SIZE + 2 * AUDIT_TEXTS + RULE_MAX + POLICY_MAX + SECRET_MAX + METHOD_MAX +
			      HOST_MAX + PATH_MAX_ + DETAIL_MAX <=
		      AUDIT_MESSAGE_MAX,
	"the longest event fits a message");

static const char *const kinds[] = {
	[AUDIT_LIFECYCLE] = "lifecycle",
	[AUDIT_EXEC] = "exec",
	[AUDIT_EGRESS] = "egress",
	[AUDIT_DEVICE_FAULT] = "device-fault",
	[AUDIT_SHARE_REFUSED] = "share-refused",
	[AUDIT_AGENT] = "agent",
	[AUDIT_LOG] = "log",
};
static const char *const tiers[] = {
	[AUDIT_TIER_NONE] = "none",
	[AUDIT_TIER_BUILDER] = "builder",
	[AUDIT_TIER_DEPLOYER] = "deployer",
	[AUDIT_TIER_ORCHESTRATOR] = "orchestrator",
	[AUDIT_TIER_ADMIN] = "admin",
};
static const char *const decisions[] = {
	[AUDIT_DECISION_NONE] = "none",
	[AUDIT_ALLOWED] = "allowed",
	[AUDIT_DENIED] = "denied",
	[AUDIT_LEARNT] = "learnt",
};

size_t audit_text_max(enum audit_text text)
{
	return texts[text].max;
}

const char *audit_text_word(enum audit_text text)
{
	return texts[text].word;
}

const char *audit_kind_word(unsigned int kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind] : NULL;
}

const char *audit_tier_word(unsigned int tier)
{
	return tier < ARRAY_SIZE(tiers) ? tiers[tier] : NULL;
}

const char *audit_decision_word(unsigned int decision)
{
	return decision < ARRAY_SIZE(decisions) ? decisions[decision] : NULL;
}

/* A path with a query would bring the query's values into the log. */
static bool path_is_bare(const struct audit_bytes *path)
{
	return path->len == 0 || (memchr(path->data, '?', path->len) == NULL &&
					 memchr(path->data, '#', path->len) == NULL);
}

static bool event_is_valid(const struct audit_event *event)
{
	for (int i = 0; i < AUDIT_TEXTS; i++) {
		if (event->text[i].len > texts[i].max)
			return false;
	}
	return audit_kind_word(event->kind) && audit_tier_word(event->tier) &&
	       audit_decision_word(event->decision) && event->count > 0 &&
	       path_is_bare(&event->text[AUDIT_PATH]);
}

int audit_event_encode(const struct audit_event *event, uint8_t out[static AUDIT_MESSAGE_MAX])
{
	struct bytes_writer w = bytes_writer(out, AUDIT_MESSAGE_MAX);

	if (!event_is_valid(event))
		return -EINVAL;
	bytes_put_u8(&w, AUDIT_MESSAGE_VERSION);
	bytes_put_u8(&w, event->kind);
	bytes_put_u8(&w, event->tier);
	bytes_put_u8(&w, event->decision);
	bytes_put_u16(&w, event->status);
	bytes_put_u16(&w, 0);
	bytes_put_u32(&w, event->count);
	bytes_put_u64(&w, event->time_ns);
	bytes_put_u64(&w, event->sent_bytes);
	bytes_put_u64(&w, event->received_bytes);
	bytes_put_u64(&w, event->duration_us);
	for (int i = 0; i < AUDIT_TEXTS; i++)
		bytes_put_u16_blob(&w, event->text[i].data, event->text[i].len);
	return w.failed ? -EINVAL : (int)w.offset;
}

int audit_event_decode(const void *data, size_t len, struct audit_event *ret)
{
	struct bytes_reader r = bytes_reader(data, len);
	struct audit_event event = {};
	uint8_t version = bytes_get_u8(&r);
	uint16_t reserved;

	event.kind = bytes_get_u8(&r);
	event.tier = bytes_get_u8(&r);
	event.decision = bytes_get_u8(&r);
	event.status = bytes_get_u16(&r);
	reserved = bytes_get_u16(&r);
	event.count = bytes_get_u32(&r);
	event.time_ns = bytes_get_u64(&r);
	event.sent_bytes = bytes_get_u64(&r);
	event.received_bytes = bytes_get_u64(&r);
	event.duration_us = bytes_get_u64(&r);
	for (int i = 0; i < AUDIT_TEXTS; i++)
		event.text[i].data = bytes_get_u16_blob(&r, texts[i].max, &event.text[i].len);
	if (!bytes_done(&r) || version != AUDIT_MESSAGE_VERSION || reserved != 0 ||
		!event_is_valid(&event))
		return -EPROTO;
	*ret = event;
	return 0;
}
