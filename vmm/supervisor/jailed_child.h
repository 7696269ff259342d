/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One process of a sandbox, started jailed (jail/jail_spawn.h): an explicit fd map, no environment at all (S12), an event socket
 * (`--event-fd`, base/event.h) and a pipe for its log lines. It is in our process group and control group, and dies with us.
 *
 * Called by the supervisor's main thread. The caller reaps.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/base/spawn.h"
#include "vmm/supervisor/process.h"

#define CHILD_WORDS_MAX 256

struct jailed_child {
	const char *name; /* "sandbox-vmm" */
	struct process_id id; /* pid 0: not started, or reaped */
	int pidfd;
	int event_fd; /* SOCK_SEQPACKET: base/event.h records */
	int stderr_fd; /* a pipe, non-blocking on both ends: its log lines */
};

/* What is said to a child: words, and fds with their numbers in it. Zeroed at first; what did not fit fails the start. */
struct child_command {
	char *words[CHILD_WORDS_MAX + 1];
	size_t word_count;
	struct spawn_fd fds[SPAWN_FDS_MAX];
	size_t fd_count;
	bool failed;
};

void child_command_add(struct child_command *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Gives fd (borrowed) a number in the child, which is returned. */
int child_command_give(struct child_command *c, int fd);
/* `option`, and the number that fd has there. An fd of -1 is left out, with its option. */
void child_command_add_fd(struct child_command *c, const char *option, int fd);
void child_command_finish(struct child_command *c);

/* Who it runs as, and in which control group (NULL: none). */
struct child_place {
	uid_t uid;
	gid_t gid;
	const char *cgroup;
};

void jailed_child_init(struct jailed_child *child, const char *name);
/* Closes what is open; does not end it. */
void jailed_child_finish(struct jailed_child *child);
/* The command is finished, whatever comes of it. */
int jailed_child_spawn(struct jailed_child *child, struct child_command *command,
	const struct child_place *place, struct err *err);

/* A SOCK_SEQPACKET pair, or one of another type. */
int socket_pair(int type, int *ret_ours, int *ret_theirs, struct err *err);
