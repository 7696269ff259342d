/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/place.h"

#include <stdbool.h>
#include <stdio.h>

#include "vmm/base/array.h"

#define DEPTH_MAX ((size_t)32)

struct level {
	bool is_object, wants_key;
	const char *key; /* the newest; NULL: none yet */
	size_t key_len, index;
};

struct walk {
	size_t depth; /* may be more than there are levels for */
	struct level levels[DEPTH_MAX];
};

static struct level *top(struct walk *w)
{
	return w->depth && w->depth <= DEPTH_MAX ? &w->levels[w->depth - 1] : NULL;
}

static void enter(struct walk *w, bool is_object)
{
	w->depth++;
	if (top(w))
		*top(w) = (struct level){ .is_object = is_object, .wants_key = is_object };
}

/* i is behind the opening quote; what is behind the closing one. */
static size_t take_string(struct walk *w, const char *text, size_t len, size_t i)
{
	struct level *l = top(w);
	size_t start = i;

	while (i < len && text[i] != '"')
		i += text[i] == '\\' ? 2 : 1;
	i = MIN(i, len);
	if (l && l->wants_key) {
		l->key = text + start;
		l->key_len = i - start;
		l->wants_key = false;
	}
	return i + 1;
}

static void take_mark(struct walk *w, char c)
{
	struct level *l = top(w);

	if (c == '{' || c == '[')
		enter(w, c == '{');
	else if ((c == '}' || c == ']') && w->depth)
		w->depth--;
	else if (c == ',' && l && l->is_object)
		l->wants_key = true;
	else if (c == ',' && l)
		l->index++;
}

const char *place_in_json(const char *text, size_t len, char *ret, size_t size)
{
	struct walk w = {};
	size_t used = 0;

	for (size_t i = 0; i < len;) {
		if (text[i] == '"') {
			i = take_string(&w, text, len, i + 1);
		} else {
			take_mark(&w, text[i]);
			i++;
		}
	}
	ret[0] = '\0';
	for (size_t i = 0; i < MIN(w.depth, DEPTH_MAX); i++) {
		const struct level *l = &w.levels[i];
		int n = 0;

		if (!l->is_object)
			n = snprintf(ret + used, size - used, "[%zu]", l->index);
		else if (l->key)
			n = snprintf(ret + used, size - used, "%s%.*s", used ? "." : "",
				(int)MIN(l->key_len, size), l->key);
		used = MIN(used + (n > 0 ? (size_t)n : 0), size - 1);
	}
	return ret;
}
