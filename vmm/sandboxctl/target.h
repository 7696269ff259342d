/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sandbox that a verb is about, and talking to its supervisor. Functions here report their failure themselves and
 * give 0 or the exit code to end with.
 */
#include <stdint.h>

#include "vmm/base/parse.h"
#include "vmm/sandboxctl/document.h"
#include "vmm/sandboxctl/report.h"
#include "vmm/supervisor/paths.h"

struct target {
	struct paths paths;
	char name[SANDBOX_NAME_MAX + 1];
};

/* Paths alone, made and checked. */
int target_paths(const struct invocation *in, struct paths *ret);
/*
 * The sandbox named by word, or by this project folder where word is NULL. It exists; whether it runs is another
 * question. Exit 3 where there is none.
 */
int target_find(const struct invocation *in, const char *word, struct target *ret);
/* The same by the index-th word of the command line. */
int target_find_word(const struct invocation *in, size_t index, struct target *ret);

/* What `status --json` shows of it, whether it runs or not. *ret_status is the caller's. */
int target_find_status(const struct invocation *in, size_t index, struct target *ret,
	struct document **ret_status);

/* One request to its supervisor. *ret_fd is the stream that came with the answer (NULL: none is expected). Exit 1 (125)
 * with the way out where it does not run. Steals request. */
int target_call(const struct invocation *in, const struct target *target, struct document *request,
	struct document **ret_data, int *ret_fd);

/* The error of a name that breaks the pattern of names (H13). */
int target_bad_name(const struct invocation *in, const char *word);
/* The error of a sandbox that is not there. */
int target_missing(const struct invocation *in, const struct err *err);
