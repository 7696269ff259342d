/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A sandbox's own control group, where this user has been given a part of the cgroup v2 tree; cgroups(7), Linux
 * Documentation/admin-guide/cgroup-v2.rst.
 *
 * Theory of operation. sandbox-vmm and sandbox-link are put into a group of their own beside ours (a group with processes can
 * have no limits for groups below it), before they run a single instruction. The supervisor stays outside, so that it can
 * end all of the group at once (cgroup.kill) and then remove it. Its path is in the record, so that whoever cleans up after
 * a killed supervisor does the same; it holds the instance's random digits, so it is nobody else's. Where there is no
 * such tree, a sandbox has no group and lives in its process group alone, unless a limit was asked for: that is an error.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/process.h"

#define CGROUP_MOUNT	      "/sys/fs/cgroup"
#define CGROUP_REMOVE_WAIT_MS 2000

/* Pure. The group beside which ours may be made: the parent of the one that /proc/self/cgroup names. -ENOENT: no v2. */
int cgroup_parent(const char *proc_self_cgroup, char ret_path[static PATH_MAX]);
/* Pure. A path that cgroup_create() may have made; the others below do nothing with any other. */
bool cgroup_is_ours(const char *path);

/* Whether this user may make groups here; -EOPNOTSUPP with the reason and the fix. ret_parent: where. */
int cgroup_usable(char ret_parent[static PATH_MAX], struct err *err);

/* pids: at most so many processes and threads in it, 0 for no limit. -EOPNOTSUPP: this host does not let us. */
int cgroup_create(const char *name, const char *instance, uint32_t pids,
	char ret_path[static PATH_MAX], struct err *err);
/* Moves a process that has no threads yet. */
int cgroup_enter(const char *path, pid_t pid);
/* Whether anything lives in it. */
bool cgroup_populated(const char *path);
/* Adds to count known processes what else lives in it, at most max in all; gives how many there are then. */
int cgroup_add_members(const char *path, struct process_stat *members, int count, size_t max);
/* KILL for everything in it, new processes included; Linux 5.14 and up, elsewhere nothing happens. */
void cgroup_kill(const char *path);
/*
 * A group that is not there is removed. -EBUSY: something lives in it, after CGROUP_REMOVE_WAIT_MS: KVM keeps a kernel thread
 * of each machine in the group of who made it, and that one goes a moment after the last process.
 */
int cgroup_remove(const char *path);
