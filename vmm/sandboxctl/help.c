/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/help.h"

#include <string.h>

#define OPTION_COLUMN 28

void help_print_verbs(FILE *out)
{
	fputs("usage: sandboxctl VERB [NAME] [OPTIONS] [-- CMD ...]\n\n"
	      "Runs AI coding agents in microVMs. Without NAME a verb means the sandbox of this project folder.\n\n",
		out);
	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden)
			fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->summary);
	fputs("\nsandboxctl VERB --help says more about each; `sandboxctl doctor` says what this machine lacks.\n",
		out);
}

static void print_option(FILE *out, const struct option_def *d)
{
	char left[80];
	char letter[8] = "    ";

	if (d->letter)
		snprintf(letter, sizeof(letter), "-%c, ", d->letter);
	snprintf(left, sizeof(left), "  %s--%s%s%s", letter, d->name, d->value ? " " : "",
		d->value ? d->value : "");
	if (strlen(left) >= OPTION_COLUMN)
		fprintf(out, "%s\n%*s%s\n", left, OPTION_COLUMN, "", d->help);
	else
		fprintf(out, "%-*s%s\n", OPTION_COLUMN, left, d->help);
}

void help_print_verb(FILE *out, const struct command *command)
{
	fprintf(out, "usage: sandboxctl %s%s%s [OPTIONS]\n\n%s\n", command->name,
		command->words_help ? " " : "", command->words_help ? command->words_help : "",
		command->summary);
	if (command->details)
		fprintf(out, "\n%s\n", command->details);
	fputs("\nOptions:\n", out);
	for (const struct option_def *d = command->options; d->name; d++)
		if (!d->later)
			print_option(out, d);
}

void help_print_table(FILE *out)
{
	for (const struct command *const *c = command_table; *c; c++) {
		if ((*c)->hidden)
			continue;
		fprintf(out, "%s\n", (*c)->name);
		for (const struct option_def *d = (*c)->options; d->name; d++)
			if (!d->later)
				fprintf(out, "%s --%s\n", (*c)->name, d->name);
	}
}
