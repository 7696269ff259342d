/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Running a command in a guest, opening a shell, joining the main command: from the request to the exit code. Failures
 * are reported here; what is returned is the process's exit code.
 */
#include "vmm/sandboxctl/session.h"
#include "vmm/sandboxctl/target.h"

enum tty_choice { TTY_AUTO, TTY_YES, TTY_NO };

struct guest_exec {
	const char *const *argv; /* NULL-ended; NULL: the user's login shell */
	const struct options *options; /* where --env comes from; NULL: none */
	const char *user, *folder; /* NULL: the default */
	enum tty_choice tty;
	bool raw;
	bool no_stdin;
};

int guest_exec_run(
	const struct invocation *in, const struct target *target, const struct guest_exec *exec);

/* Joins the main command; detachable. */
int guest_attach(const struct invocation *in, const struct target *target, bool raw);
/* The main command where the sandbox has one, else a shell. */
int guest_attach_or_shell(const struct invocation *in, const struct target *target, bool raw);

/* Both stdin and stdout are terminals. */
bool guest_terminal_here(void);
/* -t, -T of the command line. */
enum tty_choice guest_tty_choice(const struct invocation *in);
/* The options that exec and shell share. */
#define OPTIONS_EXEC                                                                               \
	{ "tty", 't', NULL,                                                                        \
		"give the command a terminal (default: where stdin and stdout are one)" },         \
		{ "no-tty", 'T', NULL, "give it three pipes instead" },                            \
		{ "user", 'u', "USER", "run as this guest user (default: sandbox)" },              \
		{ "cwd", 'w', "DIR", "start in this guest folder (default: /workspace)" },         \
		{ "env", 'e', "K=V", "set a variable; may be given again", .repeats = true },      \
	{                                                                                          \
		"raw", 0, NULL, "do not filter the guest's bytes on this terminal"                 \
	}
