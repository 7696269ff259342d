/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A process that serves a sandbox beside its machine and link: sandbox-audit, sandbox-proxy, an injector. All of them begin with the same
 * words, have a control socket from us, say once that they are closed in, and are replaced when they die.
 *
 * A new one takes the place of one that has ended: member_begin(), the words of its kind, member_spawn(). Called by the loop's thread.
 */
#include "vmm/base/event.h"
#include "vmm/supervisor/jailed_child.h"
#include "vmm/supervisor/supervisor_state.h"

struct member {
	struct supervisor *supervisor;
	void *owner;
	struct jailed_child process;
	struct child child; /* its data is this member */
	int control_fd;
	uint64_t layers; /* in force, as it said itself; 0: not yet */
	bool watched; /* child is in the supervisor's list */
};

/* owner: for the child_kind's functions, by member_of(). name is borrowed. */
void member_init(struct member *m, struct supervisor *s, void *owner, const char *name);
void member_finish(struct member *m);
bool member_alive(const struct member *m);
struct member *member_of(struct child *c);

/* Forgets the one before, and begins the command. Gives the new one's end of its control socket. */
int member_begin(struct member *m, struct child_command *c, struct err *err);
/* theirs: what member_begin() gave; closed. The command is finished, whatever comes of it. */
int member_spawn(struct member *m, struct child_command *c, int theirs,
	const struct child_place *place, const struct child_kind *kind, const char *log_name,
	struct err *err);

/* Its record that it is closed in; the first one counts. */
void member_note_isolation(struct member *m, const struct event *e);
/*
 * True: it is to be replaced, and the log says so. Before the guest is ready one that ended before it was ever closed in ends the
 * sandbox with its own words, for it would fail again.
 */
bool member_ended(struct member *m, int status);

/* How long to wait before a replacement: longer each time, until there was calm. */
struct backoff {
	uint64_t wait_ms, ended_ms;
};
uint64_t backoff_next(struct backoff *backoff);
