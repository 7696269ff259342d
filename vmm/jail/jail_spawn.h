/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Starting a jailed program: spawn() with a new user and pid namespace in which uid 0 and gid 0 are the owner's, and
 * nobody else exists. So the program has every capability over a namespace that holds nothing, and outside of it just
 * the owner's rights. Files of anybody else appear there as owned by the overflow id (65534).
 *
 * Called by the supervisor's main thread. As root, uid and gid are the owner's that the program becomes for good, with
 * no supplementary groups; as an ordinary user they must be the caller's own (-EPERM else).
 */
#include "vmm/base/spawn.h"

int jail_spawn(const struct spawn_spec *spec, uid_t uid, gid_t gid, pid_t *ret_pid, int *ret_pidfd,
	struct err *err);

/*
 * Why a user namespace or a mount in it was refused on this host, as far as /proc tells, with the fix (H16): adds a next
 * step to err. Also for doctor.
 */
void jail_explain_refusal(struct err *err);

/* doctor: whether a jailed program would start and get a mount; -errno with text and fix in err. Forks and waits. */
int jail_try(struct err *err);
