/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Options are a table. The same table parses the words, prints --help, feeds the completion scripts and is compared with
 * the man page, so that none of them can drift.
 *
 * Purity: no I/O, no environment. Ownership: what a struct options points to belongs to argv and to the table; only
 * `hits` and `words` are its own (options_finish). Limits: argc is the caller's; nothing else grows.
 *
 * Grammar: `--name value`, `--name=value`, `-x value`, `-xvalue`, clusters of flags (`-it`); `--` ends the options.
 * Words before `--` are names, words after it the command. With TAIL_LOOSE a second word begins the command
 * without `--` (as in `exec NAME make -j2`).
 */
#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/err.h"

#define OPTIONS_WORDS_MAX                                                                          \
	64 /* words before `--`; the command after it is bounded by the protocol */

struct option_def {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter; /* 0: none */
	const char *value; /* what --help calls the value; NULL: a flag */
	const char *help;
	bool repeats;
	const char *later; /* set: known, not available yet; the text says with what it comes */
};

enum options_tail { TAIL_NONE, TAIL_COMMAND, TAIL_LOOSE };

struct option_hit {
	const struct option_def *def;
	const char *value; /* NULL for a flag */
};

struct options {
	struct option_hit *hits;
	size_t hit_count;
	const char **words;
	size_t word_count;
	char *const *command; /* into argv; NULL-ended as argv is */
	size_t command_count;
};

/* 0 or -EINVAL, -ENOMEM, -E2BIG, -EOPNOTSUPP (an option that is known and comes later). */
int options_parse(const struct option_def *table, enum options_tail tail, int argc,
	char *const *argv, struct options *ret, struct err *err);
void options_finish(struct options *options);

bool options_flag(const struct options *options, const char *name);
/* The last value given, or NULL. */
const char *options_value(const struct options *options, const char *name);
/* How often it was given; and the value of the index-th time (NULL beyond the end). */
size_t options_count(const struct options *options, const char *name);
const char *options_nth(const struct options *options, const char *name, size_t index);

/*
 * The nearest of the candidates (NULL-ended), or NULL where none is near. Used for verbs and options: at most two
 * edits, fewer for short words.
 */
const char *options_nearest(const char *word, const char *const *candidates);
