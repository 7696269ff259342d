/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Our own VMM: starts sandbox-link and sandbox-vmm for a boot plan, jailed (jail/jail_spawn.h), each with an explicit fd map
 * and no environment at all (S12). They are in our process group, hold the sandbox's lock, and die with us: by PDEATHSIG
 * and by the lifeline, whose only writing end is ours.
 *
 * Called by the supervisor's main thread. The caller reaps the children.
 */
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/process.h"

struct backend_child {
	const char *name; /* "sandbox-vmm" */
	struct process_id id; /* pid 0: not started, or reaped */
	int pidfd;
	int event_fd; /* SOCK_SEQPACKET: base/event.h records */
	int stderr_fd; /* a pipe, non-blocking on both ends: its log lines */
};

struct backend_processes {
	struct backend_child vmm, link;
	int control_fd; /* to the link: link/control.h */
	int lifeline_fd; /* the writing end */
};

void backend_processes_init(struct backend_processes *p);
/* Closes what is open; does not end processes. */
void backend_processes_finish(struct backend_processes *p);

/*
 * On failure whatever was started is in *p all the same, for the caller to end. *ret_stage: where. started() is told
 * after each process, so that its identity is on disk before the next one exists.
 */
int backend_kvm_spawn(const struct boot_plan *plan, int lock_fd, struct backend_processes *p,
	void (*started)(void *data), void *data, const char **ret_stage, struct err *err);
