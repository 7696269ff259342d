/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/jail.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/jail/caps.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/jail/landlock.h"
#include "vmm/jail/root.h"
#include "vmm/jail/seccomp_table.h"

static bool omitted(const struct jail_plan *plan, uint32_t layer)
{
#ifdef JAIL_TEST
	return plan->omit_layers & layer;
#else
	(void)plan;
	(void)layer;
	return false;
#endif
}

/* Stage 1. Should: tie our life to the supervisor's. Mustn't: go on when it is gone already. */
static int tie_to_supervisor(const struct jail_plan *plan, struct err *err)
{
	struct pollfd lifeline = { .fd = plan->lifeline_fd };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, -errno,
			"%s: cannot ask for a signal at the supervisor's end: %s", plan->process,
			strerror(errno));
	/* getppid() is 0 in a pid namespace of our own; the lifeline tells what it would have told. */
	if (plan->lifeline_fd >= 0 && poll(&lifeline, 1, 0) == 1 && lifeline.revents & POLLHUP)
		return err_set(err, -ECHILD, "%s: the supervisor has ended", plan->process);
	return 0;
}

/* Stage 2. Should: have been started by jail_spawn(). Mustn't: trust that. */
static int check_namespaces(const struct jail_plan *plan, struct err *err)
{
	unsigned int inside, outside, count;
	_cleanup_fclose_ FILE *map = fopen("/proc/self/uid_map", "re");

	if (!omitted(plan, JAIL_PID_NS) && getpid() != 1)
		return err_set(err, -EPERM, "%s: not in a pid namespace of its own", plan->process);
	if (!map || fscanf(map, "%u %u %u", &inside, &outside, &count) != 3 || count != 1)
		return err_set(
			err, -EPERM, "%s: not in a user namespace of one uid", plan->process);
	return 0;
}

int jail_begin(const struct jail_plan *plan, struct err *err)
{
	int r = check_namespaces(plan, err);

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "%s: cannot set no_new_privs: %s", plan->process,
			strerror(errno));
	r = tie_to_supervisor(plan, err);
	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
		    (plan->keep_network ? 0 : CLONE_NEWNET)) < 0) {
		r = -errno;
		err_set(err, r, "%s: cannot make namespaces: %s", plan->process, strerror(-r));
		jail_explain_refusal(err);
		return r;
	}
	umask(0); /* the modes of shared files are the guest's to choose */
	return 0;
}

int jail_build_root(const struct jail_plan *plan, struct err *err)
{
	return root_build(plan, err);
}

/* As many fds as the hard limit lets us have, no core, whatever the caller's shell had set. */
static int set_limits(const struct jail_plan *plan, struct err *err)
{
	struct rlimit none = {}, files;

	if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_set(
			err, -errno, "%s: cannot set limits: %s", plan->process, strerror(errno));
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_set(err, -errno, "%s: cannot set the limit of open files: %s",
			plan->process, strerror(errno));
	return 0;
}

int jail_restrict(const struct jail_plan *plan, uint32_t *ret_layers, struct err *err)
{
	uint32_t layers = JAIL_USER_NS | JAIL_PID_NS | JAIL_MOUNT_NS | JAIL_IPC_UTS_NS |
			  JAIL_EMPTY_ROOT | (plan->keep_network ? 0 : JAIL_NET_NS);
	int r = set_limits(plan, err);

	if (r == 0 && !omitted(plan, JAIL_LANDLOCK)) {
		r = landlock_restrict(plan, err);
		layers |= JAIL_LANDLOCK;
	}
	if (r == 0 && !omitted(plan, JAIL_NO_CAPS)) {
		r = caps_drop_all(plan->process, err);
		layers |= JAIL_NO_CAPS;
	}
	if (r < 0)
		return r;
	if (!omitted(plan, JAIL_UNDUMPABLE)) {
		if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
			return err_set(err, -errno, "%s: cannot become undumpable: %s",
				plan->process, strerror(errno));
		layers |= JAIL_UNDUMPABLE;
	}
	/* A change of credentials may have cleared the wish: PDEATHSIG once more, and the supervisor checked once more. */
	r = tie_to_supervisor(plan, err);
	if (r < 0)
		return r;
	*ret_layers = layers;
	return 0;
}

int jail_seal(const struct jail_plan *plan, const struct seccomp_table *table, uint32_t *layers,
	struct err *err)
{
	int r;

	if (omitted(plan, JAIL_SECCOMP))
		return 0;
	r = seccomp_load_table(table, 1, err);
	if (r == 0)
		*layers |= JAIL_SECCOMP;
	return r;
}

int jail_seal_thread(
	const struct jail_plan *plan, const struct seccomp_table *table, struct err *err)
{
	return omitted(plan, JAIL_SECCOMP) ? 0 : seccomp_load_table(table, 0, err);
}
