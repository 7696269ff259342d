/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/redact.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"

#define PAIRS	   65536u
#define WINDOW_MAX 255 /* a shift is one byte */
#define ROOT	   0u

/* A state stands for a beginning of a form: the bytes on the way to it. Its children hang together as a list. */
struct state {
	uint32_t child, sibling; /* 0: none */
	uint32_t fallback; /* the longest proper tail of this that is a beginning too */
	uint32_t depth; /* how many bytes this is */
	uint32_t ends; /* the longest form that is a tail of this, or 0 */
	uint8_t byte; /* the last one */
};

struct redact {
	struct state *states;
	uint32_t count;
	size_t size; /* of states */
	size_t longest, window;
	uint32_t first[256]; /* the root's children by their byte */
	/* By the last two bytes of a window: how far the window may move at least. 0: a form may begin here. */
	uint8_t shift[PAIRS];
};

static size_t pair_of(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* -- making it -- */

static uint32_t find_child(const struct redact *r, uint32_t state, uint8_t byte)
{
	uint32_t child = state == ROOT ? r->first[byte] : r->states[state].child;

	while (child && r->states[child].byte != byte)
		child = r->states[child].sibling;
	return child;
}

static uint32_t add_child(struct redact *r, uint32_t state, uint8_t byte)
{
	uint32_t child = r->count++;

	r->states[child] = (struct state){
		.byte = byte, .depth = r->states[state].depth + 1, .sibling = r->states[state].child
	};
	r->states[state].child = child;
	if (state == ROOT)
		r->first[byte] = child;
	return child;
}

static void add_form(struct redact *r, const uint8_t *bytes, size_t len)
{
	uint32_t state = ROOT;

	for (size_t i = 0; i < len; i++) {
		uint32_t child = find_child(r, state, bytes[i]);

		state = child ? child : add_child(r, state, bytes[i]);
	}
	r->states[state].ends = (uint32_t)len;
	r->longest = MAX(r->longest, len);
	r->window = MIN(r->window, len);
}

static uint32_t step(const struct redact *r, uint32_t state, uint8_t byte)
{
	for (;;) {
		uint32_t child = find_child(r, state, byte);

		if (child || state == ROOT)
			return child;
		state = r->states[state].fallback;
	}
}

/* Breadth first: a fallback is always less deep. */
static int add_fallbacks(struct redact *r)
{
	uint32_t *queue = calloc(r->count, sizeof(*queue));
	uint32_t from = 0, to = 0;

	if (!queue)
		return -ENOMEM;
	queue[to++] = ROOT;
	while (from < to) {
		uint32_t parent = queue[from++];

		for (uint32_t s = r->states[parent].child; s; s = r->states[s].sibling) {
			struct state *state = &r->states[s];

			state->fallback =
				parent == ROOT ? ROOT
					       : step(r, r->states[parent].fallback, state->byte);
			state->ends = MAX(state->ends, r->states[state->fallback].ends);
			queue[to++] = s;
		}
	}
	free(queue);
	return 0;
}

static void add_shifts(struct redact *r, const uint8_t *form)
{
	for (size_t i = 0; i + 2 <= r->window; i++) {
		uint8_t *shift = &r->shift[pair_of(form + i)];
		uint8_t distance = (uint8_t)(r->window - 2 - i);

		if (distance < *shift)
			*shift = distance;
	}
}

static int build(struct redact *r, const struct redact_forms *forms)
{
	size_t total = 1;
	int result;

	for (size_t i = 0; i < forms->count; i++)
		total += forms->list[i].len;
	r->size = total * sizeof(*r->states);
	r->states = calloc(total, sizeof(*r->states));
	if (!r->states)
		return -ENOMEM;
	r->count = 1;
	r->window = WINDOW_MAX;
	for (size_t i = 0; i < forms->count; i++)
		add_form(r, forms->list[i].bytes, forms->list[i].len);
	result = add_fallbacks(r);
	/* No pair of this window in any form: the next one begins with the window's last byte at the earliest. */
	memset(r->shift, (int)(r->window - 1), sizeof(r->shift));
	for (size_t i = 0; i < forms->count; i++)
		add_shifts(r, forms->list[i].bytes);
	return result;
}

int redact_create(const uint8_t *secret, size_t len, struct redact **ret)
{
	struct redact *r = calloc(1, sizeof(*r));
	struct redact_forms forms;
	int result = r ? redact_forms_init(&forms, secret, len) : -ENOMEM;

	if (result < 0) {
		free(r);
		return result;
	}
	result = build(r, &forms);
	redact_forms_finish(&forms);
	if (result < 0) {
		redact_destroy(r);
		return result;
	}
	*ret = r;
	return 0;
}

void redact_destroy(struct redact *r)
{
	if (!r)
		return;
	if (r->states)
		explicit_bzero(r->states, r->size);
	free(r->states);
	explicit_bzero(r, sizeof(*r));
	free(r);
}

size_t redact_held_max(const struct redact *r)
{
	return r->longest;
}

/* -- a stream -- */

int redact_stream_init(struct redact_stream *stream, const struct redact *redact)
{
	*stream = (struct redact_stream){ .redact = redact, .state = ROOT };
	stream->held = calloc(1, redact->longest);
	return stream->held ? 0 : -ENOMEM;
}

void redact_stream_finish(struct redact_stream *stream)
{
	if (stream->held)
		explicit_bzero(stream->held, stream->redact->longest);
	free(stream->held);
	*stream = (struct redact_stream){};
}

/* From at on, where nothing has begun: the first place where a form may begin, or where less than a window is left. */
static size_t skip(const struct redact *r, const uint8_t *bytes, size_t at, size_t len)
{
	size_t window = r->window;

	while (len - at >= window) {
		uint8_t shift = r->shift[pair_of(bytes + at + window - 2)];

		if (!shift)
			break;
		at += shift;
	}
	return at;
}

/* Masks what ends in bytes[from..len); what was before it is the state's. */
static uint32_t mask(
	const struct redact *r, uint32_t state, uint8_t *bytes, size_t from, size_t len)
{
	for (size_t at = from; at < len; at++) {
		uint32_t ends;

		if (state == ROOT) {
			at = skip(r, bytes, at, len);
			if (at >= len)
				break;
		}
		state = step(r, state, bytes[at]);
		ends = r->states[state].ends;
		if (ends)
			memset(bytes + at + 1 - ends, REDACT_MARK, ends);
		/* What cannot go on is not waited for. */
		while (state != ROOT && !r->states[state].child)
			state = r->states[state].fallback;
	}
	return state;
}

size_t redact_stream_take(struct redact_stream *s, const uint8_t *in, size_t len, uint8_t *out)
{
	size_t total = s->held_len + len;

	memcpy(out, s->held, s->held_len);
	if (len)
		memcpy(out + s->held_len, in, len);
	s->state = mask(s->redact, s->state, out, s->held_len, total);
	s->held_len = s->redact->states[s->state].depth;
	memcpy(s->held, out + total - s->held_len, s->held_len);
	return total - s->held_len;
}

size_t redact_stream_end(struct redact_stream *s, uint8_t *out)
{
	size_t len = s->held_len;

	memcpy(out, s->held, len);
	s->held_len = 0;
	s->state = ROOT;
	return len;
}
