/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/jail_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

struct jail_spawn_state {
	const struct spawn_spec *spec; /* the caller's own hooks still run */
	uid_t uid;
	gid_t gid;
	bool from_root;
};

static int write_proc(pid_t pid, const char *file, const char *text, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		int code = -errno;

		err_set(err, code, "cannot write %s of a new user namespace: %s", file,
			strerror(-code));
		jail_explain_refusal(err);
		return code;
	}
	return 0;
}

static int write_maps(void *data, pid_t pid, struct err *err)
{
	struct jail_spawn_state *state = data;
	char map[32];
	int r;

	/* user_namespaces(7): without CAP_SETGID outside, gid_map needs setgroups denied first. */
	if (!state->from_root) {
		r = write_proc(pid, "setgroups", "deny", err);
		if (r < 0)
			return r;
	}
	snprintf(map, sizeof(map), "0 %u 1", (unsigned int)state->uid);
	r = write_proc(pid, "uid_map", map, err);
	if (r < 0)
		return r;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned int)state->gid);
	r = write_proc(pid, "gid_map", map, err);
	if (r < 0 || !state->spec->before_exec)
		return r;
	return state->spec->before_exec(state->spec->data, pid, err);
}

/* Becomes uid 0 of the namespace, which is the owner outside: exec then keeps the capabilities in it. */
static int become_owner(void *data)
{
	struct jail_spawn_state *state = data;

	if (state->from_root && setgroups(0, NULL) < 0)
		return -errno;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	return state->spec->in_child ? state->spec->in_child(state->spec->data) : 0;
}

int jail_spawn(const struct spawn_spec *spec, uid_t uid, gid_t gid, pid_t *ret_pid, int *ret_pidfd,
	struct err *err)
{
	struct jail_spawn_state state = {
		.spec = spec, .uid = uid, .gid = gid, .from_root = geteuid() == 0
	};
	struct spawn_spec jailed = *spec;
	int r;

	if (!state.from_root && (uid != geteuid() || gid != getegid()))
		return err_set(err, -EPERM, "%s: only root can start it for uid %u", spec->path,
			(unsigned int)uid);
	jailed.clone_flags |= CLONE_NEWUSER | CLONE_NEWPID;
	jailed.before_exec = write_maps;
	jailed.in_child = become_owner;
	jailed.data = &state;
	r = spawn(&jailed, ret_pid, ret_pidfd, err);
	if (r == -EPERM || r == -ENOSPC || r == -EUSERS || r == -EINVAL) {
		/* "No space" is how the kernel says that namespaces are used up, or switched off: whoever reads it looks for a full disk. */
		r = err_set(err, -EPERM, "%s: this host refuses it user and pid namespaces (%s)",
			spec->path, strerror(-r));
		jail_explain_refusal(err);
	}
	return r;
}

/* The number in a file of /proc/sys, or -1. */
static long read_sysctl(const char *path)
{
	_cleanup_free_ char *text = NULL;

	if (fdio_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return -1;
	return strtol(text, NULL, 10);
}

void jail_explain_refusal(struct err *err)
{
	static const struct {
		const char *sysctl;
		long bad;
		const char *fix;
	} causes[] = {
		{ "/proc/sys/user/max_user_namespaces", 0,
			"user namespaces are switched off: as root run `sysctl user.max_user_namespaces=15000`" },
		{ "/proc/sys/kernel/unprivileged_userns_clone", 0,
			"user namespaces are for root only: as root run `sysctl kernel.unprivileged_userns_clone=1`" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
			"AppArmor restricts user namespaces: install the profile docs/apparmor/sandboxctl, or as "
			"root run `sysctl kernel.apparmor_restrict_unprivileged_userns=0`" },
	};

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (read_sysctl(causes[i].sysctl) == causes[i].bad) {
			err_next_step(err, "%s", causes[i].fix);
			return;
		}
	err_next_step(err,
		"inside a container, allow user namespaces and mounts in them (for Docker: "
		"`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`)");
}

/* In the child of jail_try(): the two steps that restricted hosts refuse. */
static int try_mount(void *data)
{
	(void)data;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return -errno;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0)
		return -errno;
	return 0;
}

int jail_try(struct err *err)
{
	static const char *const argv[] = { "true", NULL };
	struct spawn_spec spec = { .path = "/bin/true", .argv = argv, .in_child = try_mount };
	int pidfd = -1, r;
	pid_t pid;

	r = jail_spawn(&spec, geteuid(), getegid(), &pid, &pidfd, err);
	if (r < 0) {
		err_prefix(err, r, "isolation cannot be set up");
		jail_explain_refusal(err);
		return r;
	}
	close(pidfd);
	waitpid(pid, NULL, 0);
	return 0;
}
