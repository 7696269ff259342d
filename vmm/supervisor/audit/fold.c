/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char others[] = "of several kinds, counted together";

struct place {
	bool used;
	bool is_rest; /* of its source: what found no place */
	enum audit_source source;
	uint64_t since_ms; /* when the last record of it was written */
	uint64_t count; /* since then */
	struct audit_event event; /* the newest; its texts point into wire */
	uint8_t wire[AUDIT_MESSAGE_MAX];
};

struct fold {
	struct place places[FOLD_PLACES_MAX];
	struct place rest[2]; /* host's, guest's */
	struct place *given;
};

int fold_create(struct fold **ret)
{
	struct fold *fold = calloc(1, sizeof(*fold));

	if (!fold)
		return -ENOMEM;
	*ret = fold;
	return 0;
}

void fold_destroy(struct fold *fold)
{
	free(fold);
}

static bool is_alike(const struct place *p, enum audit_source source, const struct audit_event *e)
{
	static const enum audit_text texts[] = { AUDIT_RULE, AUDIT_METHOD, AUDIT_HOST };

	if (!p->used || p->source != source || p->event.kind != e->kind)
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct audit_bytes *a = &p->event.text[texts[i]], *b = &e->text[texts[i]];

		if (a->len != b->len || (a->len && memcmp(a->data, b->data, a->len) != 0))
			return false;
	}
	return true;
}

static bool hold(struct place *p, enum audit_source source, const struct audit_event *event)
{
	uint8_t wire[AUDIT_MESSAGE_MAX];
	int n = audit_event_encode(event, wire);

	if (n < 0)
		return false;
	memcpy(p->wire, wire, (size_t)n);
	if (audit_event_decode(p->wire, (size_t)n, &p->event) < 0)
		return false;
	p->source = source;
	p->used = true;
	return true;
}

static struct place *free_place(struct fold *fold, uint64_t now_ms)
{
	for (size_t i = 0; i < FOLD_PLACES_MAX; i++) {
		struct place *p = &fold->places[i];

		if (!p->used || (p->count == 0 && now_ms - p->since_ms >= FOLD_INTERVAL_MS))
			return p;
	}
	return NULL;
}

/* For those that find no place: what they are is not kept, how many is. */
static bool count_rest(struct fold *fold, enum audit_source source, const struct audit_event *event,
	uint64_t now_ms)
{
	struct place *p = &fold->rest[source == AUDIT_FROM_GUEST];
	struct audit_event e = { .kind = event->kind,
		.tier = event->tier,
		.decision = event->decision,
		.count = 1,
		.time_ns = event->time_ns };

	e.text[AUDIT_DETAIL] = (struct audit_bytes){ (const uint8_t *)others, sizeof(others) - 1 };
	if (p->count == 0)
		p->since_ms = now_ms;
	if (!hold(p, source, &e))
		return false;
	p->is_rest = true;
	p->count += event->count;
	return true;
}

bool fold_take(struct fold *fold, enum audit_source source, const struct audit_event *event,
	uint64_t now_ms)
{
	struct place *p;

	if (event->decision != AUDIT_DENIED && source != AUDIT_FROM_GUEST)
		return false;
	for (size_t i = 0; i < FOLD_PLACES_MAX; i++) {
		p = &fold->places[i];
		if (!is_alike(p, source, event))
			continue;
		if (p->count == 0 && now_ms - p->since_ms >= FOLD_INTERVAL_MS) {
			p->since_ms = now_ms;
			return false;
		}
		if (!hold(p, source, event))
			return false;
		p->count += event->count;
		return true;
	}
	p = free_place(fold, now_ms);
	if (!p)
		return count_rest(fold, source, event, now_ms);
	if (hold(p, source, event)) {
		p->count = 0;
		p->since_ms = now_ms;
	}
	return false;
}

static bool is_due(const struct place *p, uint64_t now_ms, bool all)
{
	return p->used && p->count > 0 && (all || now_ms - p->since_ms >= FOLD_INTERVAL_MS);
}

static struct place *find_due(struct fold *fold, uint64_t now_ms, bool all)
{
	for (size_t i = 0; i < FOLD_PLACES_MAX; i++)
		if (is_due(&fold->places[i], now_ms, all))
			return &fold->places[i];
	for (size_t i = 0; i < 2; i++)
		if (is_due(&fold->rest[i], now_ms, all))
			return &fold->rest[i];
	return NULL;
}

bool fold_next(struct fold *fold, uint64_t now_ms, bool all, enum audit_source *ret_source,
	struct audit_event *ret_event)
{
	struct place *p = find_due(fold, now_ms, all);

	if (!p)
		return false;
	fold->given = p;
	*ret_source = p->source;
	*ret_event = p->event;
	ret_event->count = p->count < UINT32_MAX ? (uint32_t)p->count : UINT32_MAX;
	return true;
}

void fold_done(struct fold *fold, uint64_t now_ms)
{
	struct place *p = fold->given;

	if (!p)
		return;
	p->count -= p->count < UINT32_MAX ? p->count : UINT32_MAX;
	p->since_ms = now_ms;
	fold->given = NULL;
}
