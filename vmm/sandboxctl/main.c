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

static int usage_error(struct invocation *in, const struct err *err)
{
	return report_failure(in, (struct failure){ EXIT_USAGE, "usage", "arguments" }, err);
}

/* A verb that comes with a later part: said so, rather than taken for another one's misspelling. */
static bool comes_later(const char *verb)
{
	for (const char *const *later = command_later; *later; later++)
		if (strcmp(*later, verb) == 0)
			return true;
	return false;
}

static int unknown_verb(struct invocation *in, const char *verb)
{
	const char *names[VERBS_MAX + 1];
	struct err err = {};
	const char *near;
	size_t count = 0;

	if (comes_later(verb)) {
		err_set(&err, -EOPNOTSUPP, "%s is not available yet", verb);
		err_next_step(&err, "what there is: sandboxctl --help");
		return report_failure(
			in, (struct failure){ EXIT_USAGE, "not-available", "arguments" }, &err);
	}
	for (const struct command *const *c = command_table; *c && count < VERBS_MAX; c++)
		if (!(*c)->hidden)
			names[count++] = (*c)->name;
	names[count] = NULL;
	near = options_nearest(verb, names);
	err_set(&err, -EINVAL, "unknown verb '%.100s'", verb);
	if (near)
		err_next_step(&err, "did you mean: sandboxctl %s?", near);
	else
		err_next_step(&err, "see: sandboxctl --help");
	return usage_error(in, &err);
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

static bool has_word(int argc, char *const *argv, const char *word)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], word) == 0)
			return true;
	return false;
}

/* Whether --json stands among the words: an error in the words themselves is then a document too. */
static bool asks_for_json(const struct command *c, int argc, char *const *argv)
{
	for (const struct option_def *d = c->options; d->name; d++)
		if (strcmp(d->name, "json") == 0)
			return has_word(argc, argv, "--json");
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

/* --color before the verb; *index is left at its last word. */
static int leading_color(struct invocation *in, int argc, char **argv, int *index)
{
	const char *word = argv[*index], *value = NULL;
	struct err err = {};

	if (word[7] == '=')
		value = word + 8;
	else if (*index + 1 < argc)
		value = argv[++*index];
	if (value && color_parse(value, &in->color))
		return 0;
	err_set(&err, -EINVAL, "--color is auto, always or never");
	err_next_step(&err, "see: sandboxctl --help");
	return usage_error(in, &err);
}

static int misplaced_option(struct invocation *in, int argc, char **argv, int index)
{
	struct err err = {};

	err_set(&err, -EINVAL, "unknown option %.100s before the verb", argv[index]);
	if (index + 1 < argc && command_find(argv[index + 1]))
		err_next_step(&err, "options go after the verb: sandboxctl %s %.100s",
			argv[index + 1], argv[index]);
	else
		err_next_step(&err, "see: sandboxctl --help");
	return usage_error(in, &err);
}

/* The words before the verb: --help, --version, --color. Gives -1 to go on, or the exit code. */
static int leading_options(struct invocation *in, int argc, char **argv, int *index)
{
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
		if (strcmp(word, "--color") == 0 || strncmp(word, "--color=", 8) == 0) {
			int code = leading_color(in, argc, argv, index);

			if (code)
				return code;
			continue;
		}
		return misplaced_option(in, argc, argv, *index);
	}
	return -1;
}

static int help_verb(struct invocation *in, const char *verb)
{
	const struct command *c = verb ? command_find(verb) : NULL;

	if (verb && !c)
		return unknown_verb(in, verb);
	if (c)
		help_print_verb(stdout, c);
	else
		help_print_verbs(stdout);
	return EXIT_OK;
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
	if (strcmp(argv[index], "help") == 0)
		return help_verb(in, index + 1 < argc ? argv[index + 1] : NULL);
	in->command = command_find(argv[index]);
	if (!in->command) {
		in->json = has_word(argc - index, argv + index, "--json");
		return unknown_verb(in, argv[index]);
	}
	return run_verb(in, argc - index - 1, argv + index + 1);
}

/* What a verb printed and did not arrive (a full disk, say) is a failure, whatever the verb made of it. */
static int finish_output(const struct invocation *in, int code)
{
	bool failed = ferror(stdout);
	int error = 0;

	errno = 0;
	if (fflush(stdout) != 0) {
		failed = true;
		error = errno;
	}
	if (!failed)
		return code;
	fprintf(stderr, "sandboxctl%s%s: cannot write to stdout%s%s\n", in->command ? " " : "",
		in->command ? in->command->name : "", error ? ": " : "",
		error ? strerror(error) : "");
	return code == EXIT_OK ? EXIT_GENERAL : code;
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
	return finish_output(&in, code);
}
