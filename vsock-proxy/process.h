/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What sandbox-proxy and sandbox-injector have in common as processes: option tables, an end by signal or lifeline, isolation
 * in jail.h's order, and the records about it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vmm/jail/jail.h"

enum { PROCESS_EXIT_FAILED = 1, PROCESS_EXIT_USAGE = 2 };

struct seccomp_table;

/* Every option has a value: an fd (fd set) or a text. */
struct process_option {
	const char *word;
	int *fd;
	const char **text;
	bool needed;
};

/* `--unjailed`, for tests, has none. All fds are -1 and texts NULL where they were not given. */
int process_options_parse(const struct process_option *options, size_t count, bool *ret_unjailed,
	int argc, char **argv, struct err *err);

struct process {
	const char *name;
	struct jail_plan plan;
	bool unjailed;
	int event_fd;
	uint16_t isolated_kind, failed_kind; /* base/event.h */
	uint32_t layers;
	struct loop *loop;
	bool stopping; /* SIGTERM, or the supervisor is gone */
};

/* When a process that has started does what its first connection would wait for: not while its sandbox starts, for which that is long. */
#define PROCESS_WARM_UP_MS 1000

/* The loop, signals as an fd, the lifeline. */
int process_begin(struct process *p, struct err *err);
/* Leaves the host's root: what it still needs by path was opened before. */
int process_leave_host(struct process *p, struct err *err);
/* Drops what is left and seals; tells the supervisor. */
int process_seal(struct process *p, const struct seccomp_table *table, struct err *err);
/* Says why on stderr and in a record; the exit code. */
int process_failed(const struct process *p, const struct err *err);
