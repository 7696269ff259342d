/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/line_diff.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

struct line {
	const char *text;
	size_t len;
};

struct lines {
	struct line *items;
	size_t count;
};

/* A line of the result. */
struct step {
	char mark;
	struct line line;
};

struct steps {
	struct step *items;
	size_t count;
};

static int split(const char *text, struct lines *ret)
{
	size_t count = 0;

	for (const char *p = text; *p; p++)
		count += *p == '\n' || !p[1];
	ret->items = calloc(count + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	while (*text) {
		size_t len = strcspn(text, "\n");

		ret->items[ret->count++] = (struct line){ text, len };
		text += len + (text[len] == '\n');
	}
	return 0;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void step(struct steps *s, char mark, const struct line *line)
{
	s->items[s->count++] = (struct step){ mark, *line };
}

static void replace_all(
	const struct line *a, size_t a_count, const struct line *b, size_t b_count, struct steps *s)
{
	for (size_t i = 0; i < a_count; i++)
		step(s, '-', &a[i]);
	for (size_t i = 0; i < b_count; i++)
		step(s, '+', &b[i]);
}

/* cells[i * (b_count + 1) + j]: how long the longest common subsequence of a[i..] and b[j..] is. */
static int compare(
	const struct line *a, size_t a_count, const struct line *b, size_t b_count, struct steps *s)
{
	size_t width = b_count + 1, i = 0, j = 0;
	_cleanup_free_ uint32_t *cells = NULL;

	if ((uint64_t)(a_count + 1) * width > LINE_DIFF_CELLS_MAX) {
		replace_all(a, a_count, b, b_count, s);
		return 0;
	}
	cells = calloc((a_count + 1) * width, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	for (size_t x = a_count; x-- > 0;)
		for (size_t y = b_count; y-- > 0;)
			cells[x * width + y] =
				same(&a[x], &b[y])
					? cells[(x + 1) * width + y + 1] + 1
					: MAX(cells[(x + 1) * width + y], cells[x * width + y + 1]);
	while (i < a_count || j < b_count) {
		if (i < a_count && j < b_count && same(&a[i], &b[j])) {
			step(s, ' ', &a[i]);
			i++;
			j++;
		} else if (i < a_count && (j == b_count || cells[(i + 1) * width + j] >=
								   cells[i * width + j + 1])) {
			step(s, '-', &a[i++]);
		} else {
			step(s, '+', &b[j++]);
		}
	}
	return 0;
}

static bool near_change(const struct steps *s, size_t at)
{
	size_t first = at > LINE_DIFF_CONTEXT ? at - LINE_DIFF_CONTEXT : 0;

	for (size_t i = first; i < s->count && i <= at + LINE_DIFF_CONTEXT; i++)
		if (s->items[i].mark != ' ')
			return true;
	return false;
}

static void tell(const struct steps *s, line_diff_fn *say, void *data)
{
	bool left_out = false, changed = false;

	for (size_t i = 0; i < s->count; i++)
		changed |= s->items[i].mark != ' ';
	for (size_t i = 0; changed && i < s->count; i++) {
		if (near_change(s, i))
			say(data, s->items[i].mark, s->items[i].line.text, s->items[i].line.len);
		else if (!left_out)
			say(data, '.', "", 0);
		left_out = !near_change(s, i);
	}
}

/* Equal beginnings and ends are no work. */
static int run(const struct lines *a, const struct lines *b, struct steps *s)
{
	size_t head = 0, tail = 0, least = MIN(a->count, b->count);
	int r;

	while (head < least && same(&a->items[head], &b->items[head]))
		head++;
	while (tail < least - head &&
		same(&a->items[a->count - 1 - tail], &b->items[b->count - 1 - tail]))
		tail++;
	for (size_t i = 0; i < head; i++)
		step(s, ' ', &a->items[i]);
	r = compare(a->items + head, a->count - head - tail, b->items + head,
		b->count - head - tail, s);
	for (size_t i = a->count - tail; i < a->count; i++)
		step(s, ' ', &a->items[i]);
	return r;
}

int line_diff(const char *old_text, const char *new_text, line_diff_fn *say, void *data)
{
	struct lines a = {}, b = {};
	struct steps s = {};
	int r = split(old_text, &a);

	if (r == 0)
		r = split(new_text, &b);
	if (r == 0)
		s.items = calloc(a.count + b.count + 1, sizeof(*s.items));
	if (r == 0)
		r = s.items ? run(&a, &b, &s) : -ENOMEM;
	if (r == 0)
		tell(&s, say, data);
	free(s.items);
	free(a.items);
	free(b.items);
	return r;
}
