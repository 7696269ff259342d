/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/start_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/guest_exec.h"
#include "vmm/sandboxctl/host_path.h"
#include "vmm/sandboxctl/policy_flags.h"
#include "vmm/sandboxctl/project.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/sandboxctl/terminal.h"
#include "vmm/supervisor/share_rules.h"

#define MIB (1ull << 20)

void start_plan_init(struct start_plan *plan)
{
	*plan = (struct start_plan){};
}

void start_plan_finish(struct start_plan *plan)
{
	spec_finish(&plan->spec);
}

/*
 * Flags
 */
static int set_cpus(struct spec *spec, const char *text, struct err *err)
{
	uint64_t v;

	if (!parse_u64(text, 1, SPEC_CPUS_MAX, &v))
		return err_set(
			err, -EINVAL, "--cpus %.40s: a number from 1 to %d", text, SPEC_CPUS_MAX);
	spec->cpus = (uint32_t)v;
	return 0;
}

static int set_pids(struct spec *spec, const char *text, struct err *err)
{
	uint64_t v;

	if (!parse_u64(text, SPEC_PIDS_MIN, SPEC_PIDS_MAX, &v))
		return err_set(err, -EINVAL, "--pids %.40s: a number from %d to %d", text,
			SPEC_PIDS_MIN, SPEC_PIDS_MAX);
	spec->pids = (uint32_t)v;
	return 0;
}

static int set_memory(struct spec *spec, const char *text, struct err *err)
{
	uint64_t bytes;

	if (!parse_size(text, &bytes) || bytes / MIB < SPEC_MEMORY_MIB_MIN ||
		bytes / MIB > SPEC_MEMORY_MIB_MAX) {
		err_set(err, -EINVAL, "--memory %.40s: a size from %dM to %dG, such as 2G", text,
			SPEC_MEMORY_MIB_MIN, SPEC_MEMORY_MIB_MAX / 1024);
		if (text[strspn(text, "0123456789")] == '\0')
			err_next_step(
				err, "a number alone counts bytes: --memory %.30sM for MiB", text);
		return -EINVAL;
	}
	spec->memory_mib = bytes / MIB;
	return 0;
}

static int set_timeout(struct spec *spec, const char *text, struct err *err)
{
	uint64_t ms;

	if (!parse_duration_ms(text, &ms) || ms == 0 || ms > SPEC_TIMEOUT_MS_MAX)
		return err_set(err, -EINVAL,
			"--timeout %.40s: a time such as 90s, 30m or 2h, at most %lluh", text,
			SPEC_TIMEOUT_MS_MAX / (3600 * 1000));
	spec->timeout_ms = ms;
	return 0;
}

static int set_text(char **field, const char *text, struct err *err)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(err, -ENOMEM, "no memory");
	free(*field);
	*field = copy;
	return 0;
}

/* A file is named as a path; a name of a kernel stays a name. */
static int set_kernel(struct spec *spec, const char *text, struct err *err)
{
	char path[PATH_MAX];

	if (strchr(text, '/') && !realpath(text, path))
		return err_set(err, -errno, "--kernel %.300s: %s", text, strerror(errno));
	return set_text(&spec->kernel, strchr(text, '/') ? path : text, err);
}

static int set_image(struct spec *spec, const char *text, struct err *err)
{
	if (strcmp(text, "host") != 0) {
		err_set(err, -EOPNOTSUPP, "--image %.60s is not available yet", text);
		err_next_step(err, "--image host is this machine's own /usr, read-only");
		return -EOPNOTSUPP;
	}
	return set_text(&spec->image, text, err);
}

static int set_backend(struct spec *spec, const char *text, struct err *err)
{
	(void)spec;
	if (strcmp(text, "auto") == 0 || strcmp(text, "kvm") == 0)
		return 0;
	err_set(err, -EOPNOTSUPP, "--backend %.60s is not available yet", text);
	err_next_step(err, "--backend kvm is the only one so far (auto means it too)");
	return -EOPNOTSUPP;
}

static int set_tier(struct spec *spec, const char *text, struct err *err)
{
	enum policy_tier tier;

	if (policy_tier_parse(text, &tier))
		return set_text(&spec->tier, text, err);
	err_set(err, -EINVAL, "--tier %.40s: there is no such tier", text);
	return err_next_step(err, "--tier builder, deployer, orchestrator or admin");
}

static int apply_policy(const struct options *o, struct start_plan *plan, struct err *err)
{
	char *document;
	int r = policy_flags_document(o, &document, err);

	if (r < 0 || !document)
		return r;
	free(plan->spec.policy);
	plan->spec.policy = document;
	plan->flags_given = true;
	return 0;
}

static int add_env_file(struct spec *spec, const char *path, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = host_path_read(path, ENV_FILE_MAX, &text, &len, err);

	return r < 0 ? err_prefix(err, r, "--env-file")
		     : spec_add_environment_file(spec, text, len, path, err);
}

/* A list that is given anew replaces the one that was kept. */
static void drop_shares(struct spec *spec)
{
	for (size_t i = 0; i < spec->share_count; i++) {
		free(spec->shares[i].host);
		free(spec->shares[i].guest);
	}
	memset(spec->shares, 0, sizeof(spec->shares));
	spec->share_count = 0;
}

static void drop_ports(struct spec *spec)
{
	memset(spec->ports, 0, sizeof(spec->ports));
	spec->port_count = 0;
}

struct spec_option {
	const char *name;
	int (*apply)(struct spec *spec, const char *text, struct err *err);
	void (*first)(struct spec *spec); /* before the first of a list; may be NULL */
};

/* --env-file before --env: a variable on the command line wins over one of a file. */
static const struct spec_option spec_options[] = {
	{ "volume", spec_add_share, drop_shares },
	{ "cpus", set_cpus, NULL },
	{ "memory", set_memory, NULL },
	{ "pids", set_pids, NULL },
	{ "kernel", set_kernel, NULL },
	{ "timeout", set_timeout, NULL },
	{ "publish", spec_add_port, drop_ports },
	{ "env-file", add_env_file, NULL },
	{ "env", spec_add_environment, NULL },
	{ "image", set_image, NULL },
	{ "backend", set_backend, NULL },
	{ "tier", set_tier, NULL },
};

static int apply_option(const struct invocation *in, const struct spec_option *o,
	struct start_plan *plan, struct err *err)
{
	size_t count = options_count(&in->options, o->name);
	int r = 0;

	if (count && o->first)
		o->first(&plan->spec);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = o->apply(&plan->spec, options_nth(&in->options, o->name, i), err);
	plan->flags_given |= count > 0;
	return r;
}

static void apply_tty(const struct invocation *in, struct spec *spec)
{
	enum tty_choice choice = guest_tty_choice(in);

	spec->command_tty = choice == TTY_YES || (choice == TTY_AUTO && guest_terminal_here());
	if (spec->command_tty && !terminal_size(STDIN_FILENO, &spec->rows, &spec->cols))
		spec->rows = spec->cols = 0;
}

static int apply_options(const struct invocation *in, struct start_plan *plan, struct err *err)
{
	const struct options *o = &in->options;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(spec_options); i++)
		r = apply_option(in, &spec_options[i], plan, err);
	if (r == 0)
		r = apply_policy(o, plan, err);
	if (r < 0)
		return r;
	if (options_flag(o, "trust-hardlinks"))
		plan->spec.workspace.trust_hardlinks = plan->flags_given = true;
	if (options_flag(o, "nested"))
		plan->spec.nested = plan->flags_given = true;
	if (o->command_count && plan->main_command) {
		plan->flags_given = true;
		apply_tty(in, &plan->spec);
		return spec_set_command(&plan->spec, o->command, err);
	}
	return 0;
}

/*
 * Folder and name
 */

/* --workspace, or the project's folder. */
static int set_workspace(
	const struct invocation *in, const struct paths *paths, struct spec *spec, struct err *err)
{
	const char *word = options_value(&in->options, "workspace");
	char folder[PATH_MAX + 4];
	struct project project;
	int r;

	if (word)
		return spec_set_workspace(spec, word, err);
	r = project_find(paths, ".", &project, err);
	if (r < 0)
		return r;
	snprintf(folder, sizeof(folder), "%s:rw",
		project.folder); /* a folder may itself be called x:ro */
	return spec_set_workspace(spec, folder, err);
}

/* The sandbox that is there, else the folder's own name. */
static int name_by_workspace(const struct paths *paths, struct spec *spec, struct err *err)
{
	const char *slash;

	if (registry_find_workspace(
		    paths, spec->workspace.device, spec->workspace.inode, spec->name) == 0)
		return 0;
	slash = strrchr(spec->workspace.host, '/');
	registry_name_from(slash && slash[1] ? slash + 1 : spec->workspace.host, spec->name);
	return sandbox_name_valid(spec->name)
		       ? 0
		       : err_set(err, -EINVAL, "no name can be made from this folder's");
}

/* The sandbox of this name that is already known: its flags are the base of the new spec. */
static int take_record(
	const struct invocation *in, struct start_plan *plan, struct spec *asked, struct err *err)
{
	bool told = options_value(&in->options, "workspace") != NULL;
	struct record record;
	int r;

	record_init(&record);
	r = registry_load(&plan->paths, asked->name, &record, err);
	if (r == -ENOENT) {
		record_finish(&record);
		err_set(err, 0, "%s", "");
		return 0;
	}
	/* From inside its workspace its name is enough, wherever the git root is. */
	if (r == 0 && !(!told && project_is_inside(".", record.spec.workspace.device,
					 record.spec.workspace.inode)))
		r = registry_check_workspace(&plan->paths, &record, &asked->workspace, err);
	if (r == 0) {
		const struct spec_share *flags = told ? &asked->workspace : &record.spec.workspace;
		bool readonly = flags->readonly, trust_hardlinks = flags->trust_hardlinks;

		spec_finish(asked);
		r = spec_copy(&record.spec, asked);
		asked->workspace.readonly = readonly;
		asked->workspace.trust_hardlinks = trust_hardlinks;
		plan->exists = true;
	}
	record_finish(&record);
	return r;
}

static int make_spec(
	const struct invocation *in, const char *word, struct start_plan *plan, struct err *err)
{
	struct spec *spec = &plan->spec;
	int r = spec_init(spec);

	if (r == 0)
		r = set_workspace(in, &plan->paths, spec, err);
	if (r == 0)
		r = spec_resolve(spec, err);
	if (r == 0 && word)
		snprintf(spec->name, sizeof(spec->name), "%s", word);
	else if (r == 0)
		r = name_by_workspace(&plan->paths, spec, err);
	if (r == 0)
		r = take_record(in, plan, spec, err);
	if (r == 0)
		r = apply_options(in, plan, err);
	if (r == 0)
		r = spec_resolve(spec, err);
	return r < 0 ? r : spec_check(spec, err);
}

/* S10, before anything is ended or made: --dry-run says what start would, and --fresh ends nothing in vain. */
static int check_shares(const struct invocation *in, const struct start_plan *plan)
{
	struct share_protected protected_ids = {};
	struct err err = {};

	return share_rules_check(&plan->paths, &plan->spec, &protected_ids, &err) < 0
		       ? report_general(in, "shares", &err)
		       : 0;
}

int start_plan_make(
	const struct invocation *in, const char *word, bool main_command, struct start_plan *plan)
{
	struct err err = {};
	int r, code = target_paths(in, &plan->paths);

	if (code)
		return code;
	if (word && !sandbox_name_valid(word))
		return target_bad_name(in, word);
	plan->main_command = main_command;
	r = make_spec(in, word, plan, &err);
	if (r == 0)
		return check_shares(in, plan);
	if (r == -EEXIST)
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "other-workspace", "lookup" }, &err);
	if (r == -EOPNOTSUPP)
		return report_failure(
			in, (struct failure){ EXIT_USAGE, "not-available", "arguments" }, &err);
	if (r == -ENOMEM || r == -EACCES)
		return report_general(in, "arguments", &err);
	return report_usage(in, &err);
}
