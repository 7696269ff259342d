/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandboxctl: finds the verb in the command table, parses its words by its option table, runs it. Everything else is in
 * the verbs' own files.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/sandboxctl/command.h"
#include "vmm/sandboxctl/help.h"
#include "vmm/sandboxctl/report.h"

#define VERBS_MAX 64

/* 0-2 are always open, so that no other file ever gets one of their numbers. */
static void open_standard_fds(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = dup(fd);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int unknown_verb(struct invocation *in, const char *verb)
{
	const char *names[VERBS_MAX + 1];
	struct err err = {};
	const char *near;
	size_t count = 0;

	for (const struct command *const *c = command_table; *c && count < VERBS_MAX; c++)
		if (!(*c)->hidden)
			names[count++] = (*c)->name;
	names[count] = NULL;
	near = options_nearest(verb, names);
	err_set(&err, -EINVAL, "unknown verb %.100s", verb);
	if (near)
		err_next_step(&err, "did you mean: sandboxctl %s?", near);
	else
		err_next_step(&err, "see: sandboxctl --help");
	return report_failure(in, (struct failure){ EXIT_USAGE, "usage", "arguments" }, &err);
}

static bool color_parse(const char *text, enum color *ret)
{
	static const char *const words[] = {
		[COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"
	};

	for (unsigned int i = 0; text && i < 3; i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum color)i;
			return true;
		}
	}
	return !text;
}

static int check_words(const struct command *c, const struct options *o, struct err *err)
{
	if (o->word_count < c->words_min)
		return err_set(err, -EINVAL, "%s needs %s", c->name, c->words_help);
	if (o->word_count > c->words_max) {
		err_set(err, -EINVAL, "%s takes %s, and '%.100s' is one word too many", c->name,
			c->words_help ? c->words_help : "no words", o->words[c->words_max]);
		if (c->tail != TAIL_NONE)
			err_next_step(err, "a command goes after --: sandboxctl %s %s", c->name,
				c->words_help);
		return -EINVAL;
	}
	return 0;
}

/* Whether --json stands among the words: an error in the words themselves is then a document too. */
static bool asks_for_json(const struct command *c, int argc, char *const *argv)
{
	bool known = false;

	for (const struct option_def *d = c->options; d->name; d++)
		known = known || strcmp(d->name, "json") == 0;
	for (int i = 0; known && i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

static int run_verb(struct invocation *in, int argc, char *const *argv)
{
	const struct command *c = in->command;
	struct err err = {};
	int r;

	in->json = asks_for_json(c, argc, argv);
	r = options_parse(c->options, c->tail, argc, argv, &in->options, &err);
	if (r == -EOPNOTSUPP)
		return report_failure(
			in, (struct failure){ EXIT_USAGE, "not-available", "arguments" }, &err);
	if (r < 0)
		return report_usage(in, &err);
	if (options_flag(&in->options, "help")) {
		help_print_verb(stdout, c);
		return EXIT_OK;
	}
	if (!color_parse(options_value(&in->options, "color"), &in->color)) {
		err_set(&err, -EINVAL, "--color is auto, always or never");
		return report_usage(in, &err);
	}
	if (check_words(c, &in->options, &err) < 0)
		return report_usage(in, &err);
	return c->run(in);
}

/* The words before the verb: --help, --version, --color. Gives -1 to go on, or the exit code. */
static int leading_options(struct invocation *in, int argc, char **argv, int *index)
{
	struct err err = {};

	for (; *index < argc && argv[*index][0] == '-'; (*index)++) {
		const char *word = argv[*index];

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			help_print_verbs(stdout);
			return EXIT_OK;
		}
		if (strcmp(word, "--version") == 0) {
			argv[*index] = (char *)"version";
			return -1;
		}
		if (strcmp(word, "--color") == 0 && *index + 1 < argc)
			word = argv[++*index];
		else if (strncmp(word, "--color=", 8) == 0)
			word += 8;
		else
			word = NULL;
		if (!word || !color_parse(word, &in->color)) {
			err_set(&err, -EINVAL, "unknown option %.100s before the verb",
				argv[*index]);
			err_next_step(&err, "see: sandboxctl --help");
			return report_failure(
				in, (struct failure){ EXIT_USAGE, "usage", "arguments" }, &err);
		}
	}
	return -1;
}

static int run_words(struct invocation *in, int argc, char **argv)
{
	int index = 1;
	int code = leading_options(in, argc, argv, &index);

	if (code >= 0)
		return code;
	if (index >= argc) {
		help_print_verbs(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[index], "help") == 0) {
		in->command = index + 1 < argc ? command_find(argv[index + 1]) : NULL;
		if (in->command)
			help_print_verb(stdout, in->command);
		else
			help_print_verbs(stdout);
		return EXIT_OK;
	}
	in->command = command_find(argv[index]);
	if (!in->command)
		return unknown_verb(in, argv[index]);
	return run_verb(in, argc - index - 1, argv + index + 1);
}

int main(int argc, char **argv)
{
	struct invocation in = { .program = argc > 0 ? argv[0] : "sandboxctl" };
	int code;

	open_standard_fds();
	setlocale(LC_CTYPE, "");
	log_set_process("sandboxctl");
	code = run_words(&in, argc, argv);
	options_finish(&in.options);
	if (fflush(stdout) != 0 && code == EXIT_OK)
		code = EXIT_GENERAL;
	return code;
}
