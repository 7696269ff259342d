/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Our own VMM: starts sandbox-link and sandbox-vmm for a boot plan, jailed (jailed_child.h). They hold the sandbox's lock and
 * die with us: by PDEATHSIG and by the lifeline, whose only writing end is ours.
 *
 * Called by the supervisor's main thread. The caller reaps the children.
 */
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/jailed_child.h"

struct backend_processes {
	struct jailed_child vmm, link;
	int control_fd; /* to the link: link/control.h */
	int lifeline_fd; /* the writing end */
	int lifeline_end_fd; /* what children get of it: later ones too */
};

void backend_processes_init(struct backend_processes *p);
/* Closes what is open; does not end processes. */
void backend_processes_finish(struct backend_processes *p);

int backend_make_lifeline(struct backend_processes *p, struct err *err);

/*
 * The lifeline is there. On failure whatever was started is in *p all the same, for the caller to end. *ret_stage: where. started() is told
 * after each process, so that its identity is on disk before the next one exists.
 */
int backend_kvm_spawn(const struct boot_plan *plan, int lock_fd, struct backend_processes *p,
	void (*started)(void *data), void *data, const char **ret_stage, struct err *err);
