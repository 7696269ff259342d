/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"

#define WORD_MAX       40 /* longer words are near to nothing */
#define CANDIDATES_MAX 96

struct parse {
	const struct option_def *table;
	enum options_tail tail;
	int argc;
	char *const *argv;
	int index;
	struct options *out;
	struct err *err;
};

static unsigned int least(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int ab = MIN(a, b);

	return MIN(ab, c);
}

/* Edits (insert, delete, replace, swap of neighbours) between two short words. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int *now = row[i % 3], *before = row[(i + 2) % 3],
			     *two_before = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int replaced = before[j - 1] + (a[i - 1] != b[j - 1]);

			now[j] = least(now[j - 1] + 1, before[j] + 1, replaced);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], two_before[j - 2] + 1);
		}
	}
	return row[a_len % 3][b_len];
}

const char *options_nearest(const char *word, const char *const *candidates)
{
	unsigned int limit = strlen(word) < 4 ? 1 : 2;
	const char *best = NULL;

	for (; *candidates; candidates++) {
		unsigned int distance = edit_distance(word, *candidates);

		if (distance <= limit && distance > 0) {
			best = *candidates;
			limit = distance - 1;
		}
	}
	return best;
}

static const struct option_def *find_long(const struct parse *p, const char *name, size_t len)
{
	for (const struct option_def *d = p->table; d->name; d++)
		if (strlen(d->name) == len && memcmp(d->name, name, len) == 0)
			return d;
	return NULL;
}

static const struct option_def *find_letter(const struct parse *p, char letter)
{
	for (const struct option_def *d = p->table; d->name; d++)
		if (d->letter && d->letter == letter)
			return d;
	return NULL;
}

static int unknown_long(const struct parse *p, const char *name, size_t len)
{
	const char *names[CANDIDATES_MAX + 1];
	char word[WORD_MAX + 1] = "";
	const char *near = NULL;
	size_t count = 0;

	for (const struct option_def *d = p->table; d->name && count < CANDIDATES_MAX; d++)
		if (!d->later)
			names[count++] = d->name;
	names[count] = NULL;
	if (len < sizeof(word)) {
		memcpy(word, name, len);
		near = options_nearest(word, names);
	}
	err_set(p->err, -EINVAL, "unknown option --%.*s", (int)MIN(len, (size_t)100), name);
	if (near)
		err_next_step(p->err, "did you mean --%s?", near);
	return -EINVAL;
}

static int add_hit(const struct parse *p, const struct option_def *def, const char *value)
{
	if (def->later) {
		err_set(p->err, -EOPNOTSUPP, "--%s is not available yet: it comes with %s",
			def->name, def->later);
		return -EOPNOTSUPP;
	}
	if (def->value && value && !*value)
		return err_set(p->err, -EINVAL,
			"--%s needs a value, and was given an empty one: --%s %s", def->name,
			def->name, def->value);
	if (!def->repeats)
		for (size_t i = 0; i < p->out->hit_count; i++)
			if (p->out->hits[i].def == def && def->value &&
				strcmp(p->out->hits[i].value, value) != 0)
				return err_set(p->err, -EINVAL,
					"--%s was given twice, with different values", def->name);
	p->out->hits[p->out->hit_count++] = (struct option_hit){ .def = def, .value = value };
	return 0;
}

/* The value in the next word. */
static int take_next_word(struct parse *p, const struct option_def *def, const char **ret)
{
	if (p->index >= p->argc)
		return err_set(p->err, -EINVAL, "--%s needs a value: --%s %s", def->name, def->name,
			def->value);
	*ret = p->argv[p->index++];
	return 0;
}

static int parse_long(struct parse *p, const char *word)
{
	const char *name = word + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_def *def = find_long(p, name, len);
	const char *value = equals ? equals + 1 : NULL;
	int r;

	if (!def)
		return unknown_long(p, name, len);
	if (!def->value && value)
		return err_set(p->err, -EINVAL, "--%s takes no value", def->name);
	if (def->value && !value && !def->later) {
		r = take_next_word(p, def, &value);
		if (r < 0)
			return r;
	}
	return add_hit(p, def, value);
}

static int parse_letters(struct parse *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct option_def *def = find_letter(p, *c);
		const char *value = NULL;
		int r;

		if (!def)
			return err_set(p->err, -EINVAL, "unknown option -%c", *c);
		if (!def->value || def->later) {
			r = add_hit(p, def, NULL);
			if (r < 0)
				return r;
			continue;
		}
		value = c[1] ? c + 1 : NULL;
		r = value ? 0 : take_next_word(p, def, &value);
		return r < 0 ? r : add_hit(p, def, value);
	}
	return 0;
}

static void take_command(struct parse *p)
{
	p->out->command = p->argv + p->index;
	p->out->command_count = (size_t)(p->argc - p->index);
	p->index = p->argc;
}

static int end_of_options(struct parse *p)
{
	if (p->tail == TAIL_NONE && p->index < p->argc)
		return err_set(p->err, -EINVAL, "this verb takes no command after --");
	take_command(p);
	return 0;
}

static int parse_word(struct parse *p, const char *word)
{
	struct options *out = p->out;

	if (p->tail == TAIL_LOOSE && out->word_count == 1) {
		p->index--;
		take_command(p);
		return 0;
	}
	if (out->word_count >= OPTIONS_WORDS_MAX)
		return err_set(p->err, -E2BIG, "more than %d names", OPTIONS_WORDS_MAX);
	out->words[out->word_count++] = word;
	return 0;
}

static int parse_all(struct parse *p)
{
	int r = 0;

	while (r == 0 && p->index < p->argc) {
		const char *word = p->argv[p->index++];

		if (strcmp(word, "--") == 0)
			r = end_of_options(p);
		else if (word[0] == '-' && word[1] == '-')
			r = parse_long(p, word);
		else if (word[0] == '-' && word[1])
			r = parse_letters(p, word);
		else
			r = parse_word(p, word);
	}
	return r;
}

static size_t hits_bound(int argc, char *const *argv)
{
	size_t bound = 1;

	for (int i = 0; i < argc; i++)
		bound += strlen(argv[i]) + 1;
	return bound;
}

int options_parse(const struct option_def *table, enum options_tail tail, int argc,
	char *const *argv, struct options *ret, struct err *err)
{
	struct options out = {};
	struct parse p = {
		.table = table, .tail = tail, .argc = argc, .argv = argv, .out = &out, .err = err
	};
	int r;

	out.hits = calloc(hits_bound(argc, argv), sizeof(*out.hits));
	out.words = calloc(OPTIONS_WORDS_MAX + 1, sizeof(*out.words));
	if (!out.hits || !out.words)
		r = err_set(err, -ENOMEM, "no memory for the command line");
	else
		r = parse_all(&p);
	if (r < 0) {
		options_finish(&out);
		return r;
	}
	*ret = out;
	return 0;
}

void options_finish(struct options *options)
{
	free(options->hits);
	free(options->words);
	*options = (struct options){};
}

bool options_flag(const struct options *options, const char *name)
{
	return options_count(options, name) > 0;
}

size_t options_count(const struct options *options, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < options->hit_count; i++)
		count += strcmp(options->hits[i].def->name, name) == 0;
	return count;
}

const char *options_nth(const struct options *options, const char *name, size_t index)
{
	for (size_t i = 0; i < options->hit_count; i++)
		if (strcmp(options->hits[i].def->name, name) == 0 && index-- == 0)
			return options->hits[i].value;
	return NULL;
}

const char *options_value(const struct options *options, const char *name)
{
	size_t count = options_count(options, name);

	return count ? options_nth(options, name, count - 1) : NULL;
}
