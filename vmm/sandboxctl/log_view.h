/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Showing a sandbox's log file, filtered on a terminal (H6), with -f following it until the sandbox has ended. */
#include "vmm/sandboxctl/target.h"

/* file: "session.log", "console.log", ... Options read: follow, lines, raw. Gives the exit code. */
int log_view(const struct invocation *in, const struct target *target, const char *file);

#define OPTIONS_LOG                                                                                \
	{ "follow", 'f', NULL, "go on until the sandbox has ended" },                              \
		{ "lines", 'n', "N", "begin with the last N lines (default: all)" },               \
		{ "json", 0, NULL, "print one JSON document per line" },                           \
	{                                                                                          \
		"raw", 0, NULL, "do not filter the guest's bytes on this terminal"                 \
	}
