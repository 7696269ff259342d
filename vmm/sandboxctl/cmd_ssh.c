/* SPDX-License-Identifier: Apache-2.0 */
/* ssh: OpenSSH's client with a configuration of the sandbox's own (H15), and nothing of the user's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/ssh_config.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/registry.h"

#define SSH_PROGRAM "/usr/bin/ssh"

static const struct option_def options[] = {
	{ "tty", 't', NULL, "ask for a terminal; twice: also without one here", .repeats = true },
	{ "no-tty", 'T', NULL, "ask for none" },
	{ "no-command", 'N', NULL, "run nothing, only forward ports" },
	{ "local", 'L', "SPEC", "forward a port of this host into the guest, as ssh -L",
		.repeats = true },
	{ "user", 'u', "USER", "log in as this guest user (default: sandbox)" },
	OPTIONS_COMMON,
};

struct words {
	const char **list;
	size_t count;
};

static void add(struct words *w, const char *word)
{
	w->list[w->count++] = word;
}

static void add_flags(struct words *w, const struct options *o)
{
	const char *user = options_value(o, "user");

	for (size_t i = 0; i < options_count(o, "tty"); i++)
		add(w, "-t");
	if (options_flag(o, "no-tty"))
		add(w, "-T");
	if (options_flag(o, "no-command"))
		add(w, "-N");
	for (size_t i = 0; i < options_count(o, "local"); i++) {
		add(w, "-L");
		add(w, options_nth(o, "local", i));
	}
	if (user) {
		add(w, "-l");
		add(w, user);
	}
}

/* argv of ssh: flags, the host, and after -- the command, so that none of its words is an option of ssh. */
static const char **make_argv(const struct options *o, const char *config, const char *name)
{
	struct words w = { .list = calloc(
				   o->hit_count * 2 + o->command_count + 16, sizeof(*w.list)) };

	if (!w.list)
		return NULL;
	add(&w, "ssh");
	add(&w, "-F");
	add(&w, config);
	add_flags(&w, o);
	add(&w, name);
	if (o->command_count)
		add(&w, "--");
	for (size_t i = 0; i < o->command_count; i++)
		add(&w, o->command[i]);
	return w.list;
}

static int write_config(const struct target *target, char config[static PATH_MAX], struct err *err)
{
	char text[SSH_CONFIG_MAX], program[PATH_MAX];
	int r = ssh_config_program(program, err);

	if (r == 0)
		r = ssh_config_format(
			&target->paths, target->name, program, text, sizeof(text), err);
	if (r == 0)
		r = paths_of_state(&target->paths, target->name, SSH_CONFIG_FILE, config, err);
	if (r < 0)
		return r;
	r = fdio_write_file_atomic(AT_FDCWD, config, text, strlen(text), 0600);
	return r < 0 ? err_set(err, r, "%.300s: %s", config, strerror(-r)) : 0;
}

static int check_runs(const struct invocation *in, const struct target *target)
{
	struct err err = {};

	if (registry_is_locked(&target->paths, target->name) == 1)
		return 0;
	err_set(&err, -ENOTCONN, "sandbox %s is not running", target->name);
	err_next_step(&err, "sandboxctl start %s", target->name);
	return report_failure(in, (struct failure){ EXIT_GENERAL, "not-running", "lookup" }, &err);
}

/* The supervisor makes the keys at start, where the host has ssh-keygen. */
static int check_keys(const struct target *target, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(&target->paths, target->name, SSH_IDENTITY_FILE, path, err);

	if (r < 0 || access(path, R_OK) == 0)
		return r;
	err_set(err, -ENOENT,
		"sandbox %s has no ssh keys: there was no ssh-keygen when it was started",
		target->name);
	err_next_step(
		err, "apt-get install openssh-client, then sandboxctl restart %s", target->name);
	return -ENOENT;
}

static int run(struct invocation *in)
{
	_cleanup_free_ const char **argv = NULL;
	char config[PATH_MAX];
	struct target target;
	struct err err = {};
	int code = target_find_word(in, 0, &target);

	if (!code)
		code = check_runs(in, &target);
	if (code)
		return code;
	if (check_keys(&target, &err) < 0 || write_config(&target, config, &err) < 0)
		return report_general(in, "ssh", &err);
	argv = make_argv(&in->options, config, target.name);
	if (argv)
		execv(SSH_PROGRAM, (char *const *)argv);
	err_set(&err, -errno, SSH_PROGRAM ": %s", strerror(errno));
	err_next_step(&err, "apt-get install openssh-client; or without ssh: sandboxctl shell %s",
		target.name);
	return report_general(in, "ssh", &err);
}

const struct command command_ssh = {
	.name = "ssh",
	.words_help = "[NAME] [-- CMD ...]",
	.summary = "Log in by SSH, over vsock: no TCP port, no prompt",
	.details =
		"Exit code: the command's own; 255 where ssh itself failed, 125 where we did. No agent, X11, GSSAPI or environment goes\n"
		"along. `sandboxctl ssh-config` serves scp, sftp, rsync and editors.",
	.options = options,
	.tail = TAIL_LOOSE,
	.words = WORDS_NAME,
	.words_max = 1,
	.guest_exit = true,
	.run = run,
};
