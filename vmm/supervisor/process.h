/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Processes by identity, as /proc tells it: a pid alone may have been reused, a pid with its start time has not (H2).
 * Nothing here signals by number: a pidfd is opened first, then the identity is checked, then the pidfd is signalled.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

#define PROCESS_BOOT_ID_LEN 36
#define PROCESS_GROUP_MAX   256 /* members looked at */
#define PROCESS_COMMAND_LEN 15

/* A process that can be told from a later one of the same number. pid 0: none. */
struct process_id {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};

struct process_stat {
	struct process_id id;
	char command[PROCESS_COMMAND_LEN + 1]; /* printable bytes only */
	char state; /* R S D Z T t X I; of its first thread */
	int threads; /* that have not ended; a first thread that has counts until all have */
	pid_t parent, group, session;
};

/* Parses /proc/PID/stat. The command may hold any byte, `)` too. Pure; false where it is malformed. */
bool process_stat_parse(const char *text, struct process_stat *ret);
int process_stat_of(pid_t pid, struct process_stat *ret); /* -ESRCH */

int process_id_of(pid_t pid, struct process_id *ret); /* -ESRCH */
/* A zombie is dead when all its threads are: one that hangs in the kernel keeps memory, files and locks. */
bool process_id_alive(const struct process_id *id);
/* Whether a thread of it is in uninterruptible sleep: what KILL waits for. */
bool process_hangs(pid_t pid);
/* Whether it is there, alive and stopped (SIGSTOP, or traced). */
bool process_id_stopped(const struct process_id *id);
/* -ESRCH: gone, or another one by now. */
int process_id_signal(const struct process_id *id, int signal);
/* 0: ended within timeout_ms; -ETIME. */
int process_id_wait(const struct process_id *id, uint64_t timeout_ms);

/* Living members of a process group, at most max; gives how many. */
int process_group_members(pid_t group, struct process_stat *ret, size_t max);

/* -errno; fills the host's boot id. */
/* Whether hyperthread siblings are in use (V11). */
bool host_smt_active(void);
int host_boot_id(char ret_boot_id[static PROCESS_BOOT_ID_LEN + 1]);

/*
 * Who listens on a TCP port of this host, as far as the caller may see: "pid 123 (nginx)", or "uid 33" where only the
 * owner is known. False where nobody is found. ret_text is for messages.
 */
bool process_find_listener(uint16_t port, char *ret_text, size_t size);
