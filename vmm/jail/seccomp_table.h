/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One seccomp table per process: every system call it may make after jail_seal(), with the reason beside it (H8). What is not
 * in the table kills the process. A table is read by people: keep it grouped by purpose.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define SECCOMP_CONDITIONS_MAX 3

enum seccomp_test { SECCOMP_ALWAYS = 0, SECCOMP_EQUAL, SECCOMP_MASKED_EQUAL };

struct seccomp_condition {
	enum seccomp_test test;
	unsigned int argument; /* 0..5 */
	uint64_t mask; /* SECCOMP_MASKED_EQUAL only: (argument & mask) == value */
	uint64_t value;
};

struct seccomp_rule {
	int call; /* SCMP_SYS(name) */
	const char *reason;
	struct seccomp_condition conditions[SECCOMP_CONDITIONS_MAX]; /* all must hold */
};

struct seccomp_table {
	const char *process;
	const struct seccomp_rule *rules;
	size_t rule_count;
};

/* A table's lines: always; if argument n is v; if the masked argument n is v. */
#define CALL(name, why)                                                                            \
	{                                                                                          \
		.call = SCMP_SYS(name), .reason = (why)                                            \
	}
#define CALL_IF(name, n, v, why)                                                                   \
	{                                                                                          \
		.call = SCMP_SYS(name), .reason = (why), .conditions = {                           \
			{ SECCOMP_EQUAL, n, 0, v }                                                 \
		}                                                                                  \
	}
#define CALL_MASKED(name, n, m, v, why)                                                            \
	{                                                                                          \
		.call = SCMP_SYS(name), .reason = (why), .conditions = {                           \
			{ SECCOMP_MASKED_EQUAL, n, m, v }                                          \
		}                                                                                  \
	}

extern const struct seccomp_table seccomp_vmm;
extern const struct seccomp_table seccomp_vmm_vcpu; /* on top, for vCPU threads */
extern const struct seccomp_table seccomp_link;
extern const struct seccomp_table seccomp_proxy;
extern const struct seccomp_table seccomp_injector;
extern const struct seccomp_table seccomp_audit;
extern const struct seccomp_table seccomp_unpack; /* one kernel file, then its end */

/* all_threads: TSYNC, else the calling thread only. */
int seccomp_load_table(const struct seccomp_table *table, int all_threads, struct err *err);
