/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/guest_exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/sandboxctl/terminal.h"
#include "vmm/supervisor/registry.h"

#define VARIABLE_MAX 64

/* S12: what of the host's environment a guest's terminal session is told, because a terminal is nothing without it. */
static const char *const terminal_variables[] = { "TERM", "COLORTERM" };

/* The login shell that the guest's environment names, else bash, else sh. */
static const char *const shell_argv[] = { "/bin/sh", "-c",
	"[ -x \"$SHELL\" ] || SHELL=/bin/bash; [ -x \"$SHELL\" ] || SHELL=/bin/sh; exec \"$SHELL\" -l",
	NULL };

bool guest_terminal_here(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

enum tty_choice guest_tty_choice(const struct invocation *in)
{
	if (options_flag(&in->options, "no-tty"))
		return TTY_NO;
	return options_flag(&in->options, "tty") ? TTY_YES : TTY_AUTO;
}

static bool tty_wanted(enum tty_choice choice)
{
	return choice == TTY_YES || (choice == TTY_AUTO && guest_terminal_here());
}

static void set_size(struct document *request)
{
	uint16_t rows = 24, cols = 80;

	if (!terminal_size(STDIN_FILENO, &rows, &cols))
		(void)terminal_size(STDOUT_FILENO, &rows, &cols);
	document_set_int(request, "rows", rows);
	document_set_int(request, "cols", cols);
}

static bool plain_variable(const char *value)
{
	size_t len = value ? strlen(value) : 0;

	return len > 0 && len < VARIABLE_MAX &&
	       strspn(value,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_") == len;
}

static void add_terminal_variables(struct document *env)
{
	char word[2 * VARIABLE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(terminal_variables); i++) {
		const char *value = getenv(terminal_variables[i]);

		if (!plain_variable(value))
			continue;
		snprintf(word, sizeof(word), "%s=%s", terminal_variables[i], value);
		document_append_text(env, word);
	}
}

static struct document *env_document(const struct options *options, bool tty)
{
	struct document *env = document_list();

	if (tty)
		add_terminal_variables(env);
	for (size_t i = 0; options && i < options_count(options, "env"); i++)
		document_append_text(env, options_nth(options, "env", i));
	return env;
}

static struct document *argv_document(const char *const *argv)
{
	struct document *list = document_list();

	for (; *argv; argv++)
		document_append_text(list, *argv);
	return list;
}

static int check_env(const struct invocation *in, const struct options *options)
{
	struct err err = {};

	for (size_t i = 0; options && i < options_count(options, "env"); i++) {
		const char *word = options_nth(options, "env", i);

		if (strchr(word, '=') && word[0] != '=')
			continue;
		err_set(&err, -EINVAL, "--env %.100s: not K=V", word);
		return report_usage(in, &err);
	}
	return 0;
}

/* The request is JSON. What it cannot say is refused: to run something else than was asked for would be worse. */
static int check_words(const struct invocation *in, const struct guest_exec *exec)
{
	struct err err = {};

	for (size_t i = 0; exec->argv && exec->argv[i]; i++) {
		if (document_can_hold(exec->argv[i]))
			continue;
		err_set(&err, -EILSEQ, "word %zu of the command is not UTF-8", i + 1);
		err_next_step(
			&err, "pass such bytes on stdin, or let a shell in the guest make them");
		return report_usage(in, &err);
	}
	for (size_t i = 0; exec->options && i < options_count(exec->options, "env"); i++) {
		if (document_can_hold(options_nth(exec->options, "env", i)))
			continue;
		err_set(&err, -EILSEQ, "a variable of --env is not UTF-8");
		return report_usage(in, &err);
	}
	return 0;
}

static void set_folder(struct document *request, const char *folder)
{
	char path[PATH_MAX];

	if (!folder)
		return;
	while (strncmp(folder, "./", 2) == 0)
		folder += 2;
	snprintf(path, sizeof(path), "%s%s", folder[0] == '/' ? "" : SPEC_WORKSPACE_TARGET "/",
		folder);
	document_set_text(request, "cwd", path);
}

static struct document *exec_request(const struct guest_exec *exec, bool tty)
{
	struct document *request = document_object();

	document_set_text(request, "op", "exec");
	document_set_child(request, "argv", argv_document(exec->argv ? exec->argv : shell_argv));
	document_set_child(request, "env", env_document(exec->options, tty));
	if (exec->user)
		document_set_text(request, "user", exec->user);
	set_folder(request, exec->folder);
	document_set_bool(request, "tty", tty);
	if (tty)
		set_size(request);
	return request;
}

static int report_lost(const struct invocation *in, const struct target *target)
{
	struct err err = {};

	err_set(&err, -ECONNRESET, "the connection to sandbox %s ended before the command did",
		target->name);
	err_next_step(&err, "sandboxctl status %s says what became of it", target->name);
	return report_failure(in, (struct failure){ EXIT_GENERAL, "lost", "guest" }, &err);
}

/* 126 and 127 look like the command's own: what was not run is named. exec: NULL for the main command. */
static int report_not_run(const struct invocation *in, const struct target *target,
	const struct guest_exec *exec, int code)
{
	const char *word = !exec ? "its command" : exec->argv ? exec->argv[0] : "its shell";
	struct err err = {};

	err_set(&err, code == EXIT_NOT_FOUND ? -ENOENT : -EACCES, "sandbox %s: %.200s %s",
		target->name, word,
		code == EXIT_NOT_FOUND ? "is not there" : "is there and cannot be run");
	(void)report_failure(in, (struct failure){ EXIT_GENERAL, "not-run", "guest" }, &err);
	return code;
}

/* What the guest refused, by the words that were given here. */
static void name_refused(
	const struct guest_exec *exec, const struct session_result *result, struct err *err)
{
	if (!exec)
		return;
	if (result->stage == PROTOCOL_STAGE_USER)
		err_set(err, err->code, "user %.64s: %s", exec->user ? exec->user : "sandbox",
			result->value == ENOENT ? "the guest has none of that name"
						: strerror(result->value));
	else if (result->stage == PROTOCOL_STAGE_FOLDER)
		err_set(err, err->code, "folder %.300s in the guest: %s",
			exec->folder ? exec->folder : SPEC_WORKSPACE_TARGET,
			strerror(result->value));
}

static int result_code(const struct invocation *in, const struct target *target,
	const struct guest_exec *exec, const struct session_result *result, struct err *err)
{
	switch (result->end) {
	case SESSION_EXITED:
		return result->not_run ? report_not_run(in, target, exec, result->value)
				       : result->value;
	case SESSION_INTERRUPTED:
		return result->value;
	case SESSION_DETACHED:
		fprintf(stderr, "detached; sandbox %s goes on: sandboxctl attach %s\n",
			target->name, target->name);
		return EXIT_OK;
	case SESSION_REFUSED:
		name_refused(exec, result, err);
		return report_failure(
			in, (struct failure){ EXIT_GENERAL, "refused", "guest" }, err);
	case SESSION_LOST:
		return report_lost(in, target);
	}
	return EXIT_GENERAL;
}

static int run_session(const struct invocation *in, const struct target *target,
	const struct guest_exec *exec, int fd, const struct session_options *options)
{
	struct session_result result = {};
	struct err err = {};

	if (session_run(fd, options, &result, &err) < 0)
		return report_general(in, "terminal", &err);
	return result_code(in, target, exec, &result, &err);
}

int guest_exec_run(
	const struct invocation *in, const struct target *target, const struct guest_exec *exec)
{
	bool tty = tty_wanted(exec->tty);
	const struct session_options options = {
		.tty = tty, .stdin_open = !exec->no_stdin, .raw = exec->raw
	};
	_cleanup_close_ int fd = -1;
	int code = check_env(in, exec->options);

	if (!code)
		code = check_words(in, exec);
	if (!code)
		code = target_call(in, target, exec_request(exec, tty), NULL, &fd);
	return code ? code : run_session(in, target, exec, fd, &options);
}

static int load_record(const struct invocation *in, const struct target *target, struct record *ret)
{
	struct err err = {};

	record_init(ret);
	return registry_load(&target->paths, target->name, ret, &err) < 0
		       ? report_general(in, "lookup", &err)
		       : 0;
}

int guest_attach(const struct invocation *in, const struct target *target, bool raw)
{
	struct document *request = document_object();
	struct session_options options = { .stdin_open = true, .raw = raw, .detachable = true };
	_cleanup_close_ int fd = -1;
	struct record record;
	int code = load_record(in, target, &record);

	if (code)
		return code;
	options.tty = record.spec.command_tty;
	record_finish(&record);
	document_set_text(request, "op", "attach");
	set_size(request);
	code = target_call(in, target, request, NULL, &fd);
	return code ? code : run_session(in, target, NULL, fd, &options);
}

int guest_attach_or_shell(const struct invocation *in, const struct target *target, bool raw)
{
	const struct guest_exec shell = { .tty = TTY_AUTO, .raw = raw };
	struct record record;
	bool has_command;
	int code = load_record(in, target, &record);

	if (code)
		return code;
	has_command = record.spec.command && record.spec.command[0];
	record_finish(&record);
	return has_command ? guest_attach(in, target, raw) : guest_exec_run(in, target, &shell);
}
