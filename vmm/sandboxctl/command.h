/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A verb: one cmd_<verb>.c with one `const struct command`, listed in command_table (command_table.c). main() finds the
 * verb, parses its words by its option table, and calls run(). What a verb prints goes through report.h.
 */
#include <stdbool.h>
#include <stddef.h>

#include "vmm/sandboxctl/options.h"

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* product.md. The first seven are those of management verbs; 125 and up belong to run, exec, shell, attach and ssh. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_GENERAL = 1,
	EXIT_USAGE = 2,
	EXIT_NO_SANDBOX = 3,
	EXIT_NO_HYPERVISOR = 4,
	EXIT_IMAGE = 5,
	EXIT_SECRET = 6,
	EXIT_OURS = 125,
	EXIT_CANNOT_INVOKE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL_BASE = 128,
};

struct document;

struct invocation {
	const struct command *command;
	struct options options;
	enum color color;
	bool json;
	const char *program; /* argv[0] */
	/* A verb over several names: what fails is kept here, for one document at the end. NULL: each is printed at once. */
	struct document *failures;
};

enum command_words {
	WORDS_NONE,
	WORDS_NAME, /* the first word is a sandbox's name (what completion offers) */
	WORDS_NAMES, /* all are */
	WORDS_OTHER,
};

struct command {
	const char *name;
	const char *alias; /* NULL: none */
	const char *words_help; /* "[NAME] [-- CMD ...]" */
	const char *summary; /* one line */
	const char *details; /* more lines for --help, may be NULL */
	const struct option_def *options;
	enum options_tail tail;
	enum command_words words;
	size_t words_min, words_max;
	bool guest_exit; /* our own failures are 125, since the other codes are the guest's */
	bool hidden; /* for other programs to call (ssh's ProxyCommand), not for --help */
	int (*run)(struct invocation *in); /* gives the exit code */
};

/* Every option table ends with these. */
#define OPTIONS_COMMON                                                                             \
	{ "color", 0, "WHEN", "colours: auto, always or never" },                                  \
		{ "help", 'h', NULL, "show this verb's help" },                                    \
	{                                                                                          \
	}
#define OPTION_JSON                                                                                \
	{                                                                                          \
		"json", 0, NULL, "print one JSON document: apiVersion, kind, data"                 \
	}

/* In the order of --help; NULL ends it. */
extern const struct command *const command_table[];

/* Verbs and nouns that are known and not available yet; NULL ends it. */
extern const char *const command_later[];

const struct command *command_find(const char *name); /* by name or alias, or NULL */

extern const struct command command_start, command_run, command_stop, command_restart, command_rm,
	command_ls, command_status, command_wait, command_inspect, command_exec, command_shell,
	command_attach, command_ssh, command_ssh_config, command_ssh_proxy, command_cp,
	command_logs, command_console, command_ports, command_doctor, command_prune,
	command_version, command_completion, command_names, command_policy, command_audit,
	command_events, command_top, command_secret;
