/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From the words of start, run and restart to a spec: which folder, which name, the flags of an earlier start kept,
 * those given now on top. Decides nothing about processes.
 */
#include <stdbool.h>

#include "vmm/sandboxctl/report.h"
#include "vmm/supervisor/registry.h"

#define ENV_FILE_MAX (1u << 20)

struct start_plan {
	struct paths paths;
	struct spec spec; /* resolved and checked */
	bool exists; /* there is a record of this name and workspace */
	bool main_command;
	bool flags_given; /* any flag that is part of the spec */
};

void start_plan_init(struct start_plan *plan);
void start_plan_finish(struct start_plan *plan);
/*
 * Reports its failure; gives 0 or the exit code. word: NAME or NULL. main_command: the words after -- become the
 * sandbox's main command (else they are the verb's own business).
 */
int start_plan_make(
	const struct invocation *in, const char *word, bool main_command, struct start_plan *plan);

/* Options of a spec: shared by start and run. */
#define OPTIONS_SPEC                                                                                 \
	{ "workspace", 0, "DIR[:ro][:trust-hardlinks]",                                              \
		"the folder at /workspace (default: this project's)" },                              \
		{ "volume", 'v', "HOST:GUEST[:ro][:trust-hardlinks]",                                \
			"another folder of this host; may be given again", .repeats = true },        \
		{ "cpus", 0, "N", "virtual CPUs (default: the host's, at most 4)" },                 \
		{ "memory", 'm', "SIZE",                                                             \
			"guest memory: 2G, 512M (default 2 GiB, or a quarter of the host's)" },      \
		{ "pids", 0, "N",                                                                    \
			"at most N processes and threads on the host (needs cgroup v2)" },           \
		{ "kernel", 0, "NAME|FILE", "guest kernel (default: generic)" },                     \
		{ "timeout", 0, "TIME",                                                              \
			"end the sandbox after this long (90s, 2h), judged on the host" },           \
		{ "publish", 'p', "[ADDR:]HOST:GUEST",                                               \
			"publish a guest port (on 127.0.0.1 unless ADDR is given)",                  \
			.repeats = true },                                                           \
		{ "env", 'e', "K=V", "a variable in the guest; may be given again",                  \
			.repeats = true },                                                           \
		{ "env-file", 0, "FILE", "variables from a file of K=V lines", .repeats = true },    \
		{ "image", 0, "NAME",                                                                \
			"root of the guest: host, this machine's own /usr (the default)" },          \
		{ "backend", 0, "auto|kvm", "what runs the machine (default auto)" },                \
		{ "trust-hardlinks", 0, NULL,                                                        \
			"let the guest write to workspace files that are hard-linked elsewhere" },   \
		{ "nested", 0, NULL, "let the guest run virtual machines of its own" },              \
		{ "tty", 't', NULL,                                                                  \
			"give CMD a terminal (default: where stdin and stdout are one)" },           \
		{ "no-tty", 'T', NULL, "give CMD pipes" },                                           \
		{ "allow-host", 0, "HOST[:PORT]",                                                    \
			"let the guest reach this host; may be given again", .repeats = true },      \
		{ "policy", 0, "PRESET|FILE",                                                        \
			"what may pass: builder (the default), offline, audit-all, or a document" }, \
		{ "tier", 0, "TIER", "builder (the default), deployer, orchestrator or admin" },     \
		{ "secret", 0, "NAME@HOST",                                                          \
			"a credential for this host, which the sandbox reaches but never sees",      \
			.repeats = true },                                                           \
	{                                                                                            \
		"disk", 0, "SIZE", NULL, .repeats = true, .later = "persistent disks"                \
	}
