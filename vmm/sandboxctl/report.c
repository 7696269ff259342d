/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/report.h"

#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/control.h"

#define PIECE_MAX 4096

bool report_color(const struct invocation *in, int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	switch (in->color) {
	case COLOR_ALWAYS:
		return true;
	case COLOR_NEVER:
		return false;
	case COLOR_AUTO:
		break;
	}
	return !(no_color && *no_color) && term && strcmp(term, "dumb") != 0 && isatty(fd);
}

static void print_failure_text(
	const struct invocation *in, const struct failure *failure, const struct err *err)
{
	bool color = report_color(in, STDERR_FILENO);
	char text[ERR_TEXT_MAX * 2];

	report_progress_end(in);
	fprintf(stderr, "%ssandboxctl%s%s:%s ", color ? "\033[1;31m" : "", in->command ? " " : "",
		in->command ? in->command->name : "", color ? "\033[0m" : "");
	fprintf(stderr, "%s\n",
		terminal_filter_text(
			err->text[0] ? err->text : failure->error, text, sizeof(text)));
	if (err->next_step[0])
		fprintf(stderr, "  %s\n", terminal_filter_text(err->next_step, text, sizeof(text)));
}

static struct document *failure_document(const struct failure *failure, const struct err *err)
{
	struct document *data = document_object(), *steps = document_list();

	if (err->next_step[0])
		document_append_text(steps, err->next_step);
	document_set_text(data, "error", failure->error);
	document_set_text(data, "detail", err->text);
	document_set_text(data, "reason", err->code ? strerrorname_np(-err->code) : NULL);
	document_set_child(data, "next_steps", steps);
	document_set_text(data, "stage", failure->stage);
	return data;
}

int report_failure(const struct invocation *in, struct failure failure, const struct err *err)
{
	if (in->json && in->failures)
		document_append(in->failures, failure_document(&failure, err));
	else if (in->json)
		report_document("Error", failure_document(&failure, err));
	else
		print_failure_text(in, &failure, err);
	return in->command && in->command->guest_exit ? EXIT_OURS : (int)failure.code;
}

int report_usage(const struct invocation *in, const struct err *err)
{
	struct err copy = *err;

	if (!copy.next_step[0])
		err_next_step(
			&copy, "see: sandboxctl %s --help", in->command ? in->command->name : "");
	return report_failure(in, (struct failure){ EXIT_USAGE, "usage", "arguments" }, &copy);
}

int report_general(const struct invocation *in, const char *stage, const struct err *err)
{
	return report_failure(
		in, (struct failure){ EXIT_GENERAL, control_error_word(err->code), stage }, err);
}

int report_document(const char *kind, struct document *data)
{
	_cleanup_document_ struct document *d = document_envelope(kind, data);

	return document_print(stdout, d, false) < 0 ? EXIT_GENERAL : EXIT_OK;
}

static bool progress_wanted(const struct invocation *in)
{
	return !in->json && isatty(STDERR_FILENO);
}

void report_progress(const struct invocation *in, const char *format, ...)
{
	char text[200], shown[256];
	va_list args;

	if (!progress_wanted(in))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "\r\033[K%s ", terminal_filter_text(text, shown, sizeof(shown)));
	fflush(stderr);
}

void report_progress_end(const struct invocation *in)
{
	if (progress_wanted(in)) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
}

/* The C locale says nothing about the terminal, and most are UTF-8; only a locale of another charset is believed. */
static bool terminal_is_utf8(void)
{
	const char *codeset = nl_langinfo(CODESET);

	return strcmp(codeset, "UTF-8") == 0 || strcmp(codeset, "ANSI_X3.4-1968") == 0;
}

void report_guest_filter_init(struct terminal_filter *filter)
{
	terminal_filter_init(filter, TERMINAL_FILTER_LOG, terminal_is_utf8());
}

int report_guest_bytes(struct terminal_filter *filter, bool raw, const void *data, size_t len)
{
	uint8_t out[TERMINAL_FILTER_OUT_SIZE(PIECE_MAX)];
	const uint8_t *p = data;

	if (raw || !isatty(STDOUT_FILENO))
		return fdio_write_full(STDOUT_FILENO, data, len);
	while (len) {
		size_t piece = len < PIECE_MAX ? len : PIECE_MAX;
		int r = fdio_write_full(
			STDOUT_FILENO, out, terminal_filter_run(filter, p, piece, out));

		if (r < 0)
			return r;
		p += piece;
		len -= piece;
	}
	return 0;
}

static bool plain_for_shell(const char *word)
{
	return *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789_-./:=@%+,")] == '\0';
}

const char *report_shell_quote(const char *word, char *out, size_t size)
{
	size_t len = 0;

	if (plain_for_shell(word)) {
		snprintf(out, size, "%s", word);
		return out;
	}
	out[len++] = '\'';
	for (; *word && len + 6 < size; word++) {
		if (*word == '\'')
			len += (size_t)snprintf(out + len, size - len, "'\\''");
		else
			out[len++] = *word;
	}
	out[len++] = '\'';
	out[len] = '\0';
	return out;
}

bool report_confirmed(const struct invocation *in, const char *question, const char *nothing,
	const char *next_step, struct err *err)
{
	char answer[16] = "";

	if (options_flag(&in->options, "yes"))
		return true;
	if (in->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		err_set(err, -EPERM, "%s: there is no terminal to ask on", nothing);
		err_next_step(err, "%s", next_step);
		return false;
	}
	fflush(stdout); /* what it is about is read before the question */
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	err_set(err, -ECANCELED, "%s", nothing);
	return false;
}
