/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/subverb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/sandboxctl/report.h"

#define VERBS_MAX 16
#define VERB_MAX  16

struct forms {
	char verbs[VERBS_MAX][VERB_MAX];
	const char *names[VERBS_MAX + 1];
	const char *texts[VERBS_MAX];
	size_t lens[VERBS_MAX];
	size_t count;
};

static void split(const char *help, struct forms *f)
{
	while (*help && f->count < VERBS_MAX) {
		size_t len = strcspn(help, "|"), verb = strcspn(help, " |");
		size_t text = len;

		while (text && help[text - 1] == ' ')
			text--;
		snprintf(f->verbs[f->count], VERB_MAX, "%.*s", (int)verb, help);
		f->names[f->count] = f->verbs[f->count];
		f->texts[f->count] = help;
		f->lens[f->count++] = text;
		help += len;
		help += strspn(help, "| ");
	}
}

int subverb_usage(const struct invocation *in)
{
	const char *noun = in->command->name, *word = in->options.words[0], *near;
	struct forms f = {};
	struct err err = {};

	split(in->command->words_help, &f);
	for (size_t i = 0; i < f.count; i++)
		if (!strcmp(f.verbs[i], word)) {
			err_set(&err, -EINVAL, "it is used so: sandboxctl %s %.*s", noun,
				(int)f.lens[i], f.texts[i]);
			return report_usage(in, &err);
		}
	near = options_nearest(word, f.names);
	err_set(&err, -EINVAL, "there is no '%.40s'", word);
	if (near)
		err_next_step(&err, "did you mean: sandboxctl %s %s?", noun, near);
	else
		err_next_step(&err, "%s %s", noun, in->command->words_help);
	return report_usage(in, &err);
}
