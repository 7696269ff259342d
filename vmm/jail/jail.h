/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Staged isolation of one process, in design.md's order. Every stage that cannot be had is an error with its fix, never
 * a quiet weaker mode (H4, H16).
 *
 * Theory of operation. jail_spawn() (jail_spawn.h, in the supervisor) starts the program in a new user and pid namespace,
 * mapped to one uid and gid: the owner's. So the process is pid 1 of its namespace, with all capabilities in a namespace
 * that holds nothing yet. The program itself then calls, single-threaded, in this order:
 *   opens what it needs by path (kernel, disks, /dev/kvm)
 *   jail_begin()        no_new_privs, PDEATHSIG, the lifeline checked; unshare mount, net, ipc, uts, cgroup
 *   jail_build_root()   empty tmpfs root, read-only afterwards; the plan's binds, /proc/self/fd at /fd; pivot_root; the old
 *                       root detached. From here no path leads out.
 *   opens its share roots, from inside (jail_plan.binds[i].target), and closes every earlier directory fd
 *   jail_restrict()     drops all capabilities (bounding, ambient, inheritable too; securebits locked), undumpable,
 *                       Landlock, no cores. These are per thread: only threads made after it have them.
 *   creates its threads, parked
 *   jail_seal()         seccomp, last, for all threads at once (TSYNC); a thread may seal itself further afterwards.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define JAIL_BINDS_MAX 24
/* A jailed process that fails logs err's text, then its next step behind this; the supervisor passes both on. */
#define JAIL_FIX_MARK "what helps: "

struct seccomp_table; /* jail/seccomp_table.h */

struct jail_bind {
	const char *source; /* absolute host path, bound recursively */
	const char *target; /* absolute path in the new root, made by jail_build_root() */
	bool readonly; /* of the mount itself, all submounts too (V5); mount_setattr(2) */
	uint64_t device, inode; /* what the source must be (H13); 0, 0: anything */
};

/* Bits of what is in force, told to the supervisor in EVENT_*_ISOLATED and shown by status. */
enum jail_layer {
	JAIL_USER_NS = 1 << 0,
	JAIL_PID_NS = 1 << 1,
	JAIL_MOUNT_NS = 1 << 2,
	JAIL_NET_NS = 1 << 3,
	JAIL_IPC_UTS_NS = 1 << 4,
	JAIL_EMPTY_ROOT = 1 << 5,
	JAIL_NO_CAPS = 1 << 6,
	JAIL_UNDUMPABLE = 1 << 7,
	JAIL_LANDLOCK = 1 << 8,
	JAIL_SECCOMP = 1 << 9,
};

struct jail_plan {
	const char *process; /* for messages */
	int lifeline_fd; /* a pipe's read end whose other end only the supervisor holds; end of file: it is dead */
	const struct jail_bind *binds;
	size_t bind_count;
	bool keep_network; /* sandbox-injector alone: the host's network namespace, and TCP connections in it */
	bool proc_fd; /* wants /fd -> its own /proc/self/fd (to reopen O_PATH fds) */
	/* Tests only, and only in builds with -Djail_test=true: layers to leave out (enum jail_layer bits). */
	uint32_t omit_layers;
};

int jail_begin(const struct jail_plan *plan, struct err *err);
int jail_build_root(const struct jail_plan *plan, struct err *err);
/* *ret_layers: bits of enum jail_layer in force so far; JAIL_SECCOMP is added by jail_seal(). */
int jail_restrict(const struct jail_plan *plan, uint32_t *ret_layers, struct err *err);
int jail_seal(const struct jail_plan *plan, const struct seccomp_table *table, uint32_t *layers,
	struct err *err);
/* A narrower table on top, for the calling thread only (vCPU threads). */
int jail_seal_thread(
	const struct jail_plan *plan, const struct seccomp_table *table, struct err *err);
