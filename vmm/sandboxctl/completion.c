/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/completion.h"

#include <string.h>

#include "vmm/sandboxctl/command.h"

static void print_verbs(FILE *out)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden)
			fprintf(out, " %s", (*c)->name);
}

static void print_options(FILE *out, const struct command *c)
{
	for (const struct option_def *d = c->options; d->name; d++) {
		if (d->later)
			continue;
		fprintf(out, " --%s", d->name);
		if (d->letter)
			fprintf(out, " -%c", d->letter);
	}
}

static bool offers_names(const struct command *c)
{
	return c->words == WORDS_NAME || c->words == WORDS_NAMES;
}

static void print_case(FILE *out, const struct command *c)
{
	fprintf(out, "\t%s", c->name);
	if (c->alias)
		fprintf(out, "|%s", c->alias);
	fputs(") options=(", out);
	print_options(out, c);
	fprintf(out, " ); names=%d ;;\n", offers_names(c));
}

static void print_cases(FILE *out)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden)
			print_case(out, *c);
}

void completion_print_bash(FILE *out)
{
	fputs("# bash completion of sandboxctl. Load with: source <(sandboxctl completion bash)\n"
	      "_sandboxctl_offer() {\n"
	      "\tlocal word\n"
	      "\tfor word in \"${@:2}\"; do\n"
	      "\t\tif [[ \"$word\" == \"$1\"* ]]; then COMPREPLY+=(\"$word\"); fi\n"
	      "\tdone\n"
	      "}\n"
	      "_sandboxctl() {\n"
	      "\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\" verb=\"${COMP_WORDS[1]}\" names=0 word\n"
	      "\tlocal -a options=()\n"
	      "\tCOMPREPLY=()\n"
	      "\tif (( COMP_CWORD == 1 )); then\n"
	      "\t\t_sandboxctl_offer \"$current\"",
		out);
	print_verbs(out);
	fputs("\n\t\treturn\n\tfi\n"
	      "\tfor word in \"${COMP_WORDS[@]:2:COMP_CWORD-2}\"; do\n"
	      "\t\tif [[ \"$word\" == -- ]]; then return; fi\n"
	      "\tdone\n"
	      "\tcase \"$verb\" in\n",
		out);
	print_cases(out);
	fputs("\tesac\n"
	      "\tif [[ \"$current\" == -* ]]; then\n"
	      "\t\t_sandboxctl_offer \"$current\" \"${options[@]}\"\n"
	      "\telif [[ \"$verb\" == completion ]]; then\n"
	      "\t\t_sandboxctl_offer \"$current\" bash zsh fish\n"
	      "\telif (( names )); then\n"
	      "\t\twhile IFS= read -r word; do\n"
	      "\t\t\tif [[ \"$word\" =~ ^[a-z0-9][a-z0-9-]*$ ]]; then _sandboxctl_offer \"$current\" \"$word\"; fi\n"
	      "\t\tdone < <(sandboxctl names 2>/dev/null)\n"
	      "\tfi\n"
	      "}\n"
	      "complete -o default -F _sandboxctl sandboxctl\n",
		out);
}

void completion_print_zsh(FILE *out)
{
	fputs("#compdef sandboxctl\n"
	      "# zsh completion of sandboxctl. Load with: source <(sandboxctl completion zsh)\n"
	      "_sandboxctl() {\n"
	      "\tlocal names=0 word\n"
	      "\tlocal -a options offered\n"
	      "\tif (( CURRENT == 2 )); then\n"
	      "\t\tcompadd --",
		out);
	print_verbs(out);
	fputs("\n\t\treturn\n\tfi\n"
	      "\tif (( ${words[(I)--]} && ${words[(I)--]} < CURRENT )); then _default; return; fi\n"
	      "\tcase \"${words[2]}\" in\n",
		out);
	print_cases(out);
	fputs("\tesac\n"
	      "\tif [[ \"$PREFIX\" == -* ]]; then\n"
	      "\t\tcompadd -- \"${options[@]}\"\n"
	      "\telif [[ \"${words[2]}\" == completion ]]; then\n"
	      "\t\tcompadd -- bash zsh fish\n"
	      "\telif (( names )); then\n"
	      "\t\twhile IFS= read -r word; do\n"
	      "\t\t\tif [[ \"$word\" =~ '^[a-z0-9][a-z0-9-]*$' ]]; then offered+=(\"$word\"); fi\n"
	      "\t\tdone < <(sandboxctl names 2>/dev/null)\n"
	      "\t\tcompadd -- \"${offered[@]}\"\n"
	      "\t\t_files\n"
	      "\telse\n"
	      "\t\t_files\n"
	      "\tfi\n"
	      "}\n"
	      "if [ \"${funcstack[1]}\" = _sandboxctl ]; then\n" /* from a folder of $fpath */
	      "\t_sandboxctl \"$@\"\n"
	      "else\n"
	      "\tcompdef _sandboxctl sandboxctl\n"
	      "fi\n",
		out);
}

/* 'text' for fish: inside single quotes only \ and ' are special. */
static void print_fish_text(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\\' || *text == '\'')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

static void print_fish_option(FILE *out, const struct command *c, const struct option_def *d)
{
	fprintf(out, "complete -c sandboxctl -n '__fish_seen_subcommand_from %s' -l %s", c->name,
		d->name);
	if (d->letter)
		fprintf(out, " -s %c", d->letter);
	if (d->value)
		fputs(" -r", out);
	fputs(" -d ", out);
	print_fish_text(out, d->help);
	fputc('\n', out);
}

static void print_fish_verb(FILE *out, const struct command *c)
{
	fprintf(out, "complete -c sandboxctl -f -n __fish_use_subcommand -a %s -d ", c->name);
	print_fish_text(out, c->summary);
	fputc('\n', out);
	if (offers_names(c))
		fprintf(out,
			"complete -c sandboxctl -n '__fish_seen_subcommand_from %s' -a '(__sandboxctl_names)'\n",
			c->name);
	for (const struct option_def *d = c->options; d->name; d++)
		if (!d->later)
			print_fish_option(out, c, d);
}

void completion_print_fish(FILE *out)
{
	fputs("# fish completion of sandboxctl. Load with: sandboxctl completion fish | source\n"
	      "function __sandboxctl_names\n"
	      "\tsandboxctl names 2>/dev/null | string match -r '^[a-z0-9][a-z0-9-]*$'\n"
	      "end\n",
		out);
	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden)
			print_fish_verb(out, *c);
	fputs("complete -c sandboxctl -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n",
		out);
}
