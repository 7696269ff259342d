/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Starting another program with nothing inherited that was not named: an explicit fd map, an explicit environment, a
 * working folder. Used by the supervisor's main thread only (PDEATHSIG fires when the *thread* that forked ends).
 *
 * In the child: fds are those of the map and nothing else (0-2 are /dev/null where the map has none), signals are at
 * their defaults and unblocked, the process group is the caller's. jail/jail_spawn.h starts the jailed ones on top.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

#define SPAWN_FDS_MAX 32

struct spawn_fd {
	int source; /* open in the caller, borrowed */
	int target; /* its number in the child */
};

struct spawn_spec {
	const char *path; /* absolute, or AT_FDCWD-relative; never searched in PATH */
	const char *const *argv; /* NULL-ended, argv[0] included */
	const char *const *environment; /* NULL-ended; NULL means empty */
	const char *working_folder; /* NULL: "/" */
	const struct spawn_fd *fds;
	size_t fd_count;
	uint64_t clone_flags; /* CLONE_NEW* for clone3, 0 for none */
	/* Called in the parent after the clone, before the child goes on (e.g. to write uid maps). May be NULL. */
	int (*before_exec)(void *data, pid_t pid, struct err *err);
	/* Called in the child before exec, single-threaded, async-signal-safe work only. May be NULL. */
	int (*in_child)(void *data);
	void *data;
};

/* *ret_pid and *ret_pidfd (CLOEXEC, owned by the caller). exec's failure is reported here, not by an exit code. */
int spawn(const struct spawn_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct err *err);
