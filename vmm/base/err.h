/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One error value for all binaries: a negative errno and one line for a human that names the object and the attempt.
 * No heap, no ownership: the caller declares `struct err err = {};` and passes its address as the last argument.
 * A NULL err is allowed everywhere and drops the text. Text is cut at ERR_TEXT_MAX. Secrets and raw guest bytes never
 * go in; err_set() escapes control characters all the same.
 */
#include <stdarg.h>

#define ERR_TEXT_MAX 512

struct err {
	int code; /* negative errno; 0: nothing was set */
	char text[ERR_TEXT_MAX];
	char next_step[ERR_TEXT_MAX]; /* what the user can do about it, empty if unknown */
};

/* Sets *err and returns code, so that `return err_set(err, -EINVAL, "disk %s: ...", path);` works. */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(3)));

/* Adds the way out ("run `sandboxctl doctor`") to an error already set; returns err's code (or 0 for NULL). */
int err_next_step(struct err *err, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull(2)));

/* Puts "context: " before the text; returns err's code, or `code` where err is NULL. */
int err_prefix(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(3)));
