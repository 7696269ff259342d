/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What verbs say: failures in one form on every path, JSON envelopes, progress. A failure is printed once, here, by the verb
 * that ends with it: as text on stderr, or with --json as a document of kind "Error" on stdout, so that whoever reads
 * stdout always finds one document there.
 */
#include "vmm/base/err.h"
#include "vmm/sandboxctl/command.h"
#include "vmm/sandboxctl/document.h"

struct failure {
	enum exit_code
		code; /* of management verbs; becomes 125 where the verb's code is the guest's */
	const char *error; /* typed word: "no-such-sandbox"; scripts compare it */
	const char *stage; /* where: arguments, lookup, prepare, launch, guest, stop, ... */
};

/* detail and next_steps come from err, reason from its errno. Gives the exit code. */
int report_failure(const struct invocation *in, struct failure failure, const struct err *err);

/* The commonest: wrong words on the command line. */
int report_usage(const struct invocation *in, const struct err *err);
/* A failure that has no better name. */
int report_general(const struct invocation *in, const char *stage, const struct err *err);

/* Prints {"apiVersion", "kind", "data"}; steals data. Gives EXIT_OK, or EXIT_GENERAL where stdout is broken. */
int report_document(const char *kind, struct document *data);

/* One line on stderr that the next one replaces; only where stderr is a terminal and --json is not given. */
void report_progress(const struct invocation *in, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_progress_end(const struct invocation *in);

/* Colour where it was asked for or where fd is a terminal that can (NO_COLOR, TERM=dumb say no). */
bool report_color(const struct invocation *in, int fd);

/*
 * Writes bytes that a guest may have chosen: filtered (H6, LOG mode) where stdout is a terminal, untouched where it is
 * not, or where raw is set.
 */
struct terminal_filter;
int report_guest_bytes(struct terminal_filter *filter, bool raw, const void *data, size_t len);
void report_guest_filter_init(struct terminal_filter *filter);

/*
 * Whether to go on: --yes, or a `y` typed where there is a terminal; else err says that `nothing` ("nothing was removed"), with
 * the next step. What the question is about is on stdout already.
 */
bool report_confirmed(const struct invocation *in, const char *question, const char *nothing,
	const char *next_step, struct err *err);

/* 'word' quoted for sh where it needs it: suggested commands can be pasted (H15). Gives out. */
const char *report_shell_quote(const char *word, char *out, size_t size);
