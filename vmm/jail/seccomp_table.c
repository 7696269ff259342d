/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/seccomp_table.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

static void release_context(scmp_filter_ctx *context)
{
	if (*context)
		seccomp_release(*context);
}

/* Fills args with the rule's conditions; gives their number. */
static unsigned int conditions_of(
	const struct seccomp_rule *rule, struct scmp_arg_cmp args[SECCOMP_CONDITIONS_MAX])
{
	unsigned int count = 0;

	for (int i = 0; i < SECCOMP_CONDITIONS_MAX; i++) {
		const struct seccomp_condition *c = &rule->conditions[i];

		if (c->test == SECCOMP_EQUAL)
			args[count++] =
				(struct scmp_arg_cmp){ c->argument, SCMP_CMP_EQ, c->value, 0 };
		else if (c->test == SECCOMP_MASKED_EQUAL)
			args[count++] = (struct scmp_arg_cmp){ c->argument, SCMP_CMP_MASKED_EQ,
				c->mask, c->value };
	}
	return count;
}

int seccomp_load_table(const struct seccomp_table *table, int all_threads, struct err *err)
{
	__attribute__((cleanup(release_context))) scmp_filter_ctx context =
		seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!context)
		return err_set(err, -ENOMEM, "%s: seccomp: cannot make a filter", table->process);
	/* A call of a foreign architecture (x32, i386) kills as well: libseccomp's default for a bad one is to kill. */
	r = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, all_threads ? 1 : 0);
	if (r == 0)
		r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE,
			2); /* a binary tree: short ways in the filter */
	for (size_t i = 0; r == 0 && i < table->rule_count; i++) {
		struct scmp_arg_cmp args[SECCOMP_CONDITIONS_MAX];
		unsigned int count = conditions_of(&table->rules[i], args);

		r = seccomp_rule_add_array(
			context, SCMP_ACT_ALLOW, table->rules[i].call, count, args);
	}
	if (r == 0)
		r = seccomp_load(context);
	if (r < 0) {
		err_set(err, r, "%s: seccomp: cannot install the filter: %s", table->process,
			strerror(-r));
		err_next_step(err, "run a kernel with CONFIG_SECCOMP_FILTER");
	}
	return r;
}
