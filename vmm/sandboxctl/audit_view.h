/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Records of a sandbox's audit log, shown: one line of text each, filtered (H6: hosts, paths and details hold what a guest
 * chose), or one JSON document each. The log may be of a sandbox that is long gone.
 */
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/audit/audit_line.h"

/* An audit log: a folder below <state>/audit. */
struct audit_target {
	struct paths paths;
	char name[SANDBOX_NAME_MAX + 1];
	int dir_fd; /* -1: none */
};

/* By name, or by this project folder where word is NULL. 0 or the exit code, with the failure told. */
int audit_target_find(const struct invocation *in, const char *word, struct audit_target *ret);
void audit_target_finish(struct audit_target *target);

struct audit_view {
	bool follow, json;
	bool until_end; /* following ends with the sandbox */
	bool egress_only;
	bool all; /* not the last `lines` alone */
	uint64_t lines;
	char instance[AUDIT_NAME_MAX + 1]; /* of this one alone; "": all */
};

/* From the options follow and lines; lines_default where that was not given. 0 or the exit code. */
int audit_view_options(const struct invocation *in, uint64_t lines_default, struct audit_view *ret);
/* Gives the exit code. */
int audit_view_show(const struct invocation *in, const struct audit_target *target,
	const struct audit_view *view);

/* A record as one line of text, filtered, without its end. */
void audit_view_text(const struct document *record, char *out, size_t size);

#define OPTIONS_AUDIT_VIEW                                                                         \
	{ "follow", 'f', NULL, "go on with what comes" },                                          \
	{                                                                                          \
		"lines", 'n', "N", "begin with the last N records"                                 \
	}
