/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. Every source is opened O_PATH first, because the new root is mounted over /tmp and a source may lie
 * below that. Then the tmpfs, one folder a bind, the binds (from /proc/self/fd/N, so that what was checked is what is
 * mounted), their attributes, and pivot_root onto itself: after `pivot_root(".", ".")` the old root lies over the new
 * one and is detached. From then on no path and, once the sources are closed, no fd leads out.
 */
#include "vmm/jail/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/jail/jail_spawn.h"

#define NEW_ROOT "/tmp"

static int fail(struct err *err, const char *process, const char *step, const char *object)
{
	int code = -errno;

	err_set(err, code, "%s: cannot %s %s: %s", process, step, object, strerror(-code));
	if (code == -EPERM || code == -EACCES)
		jail_explain_refusal(err);
	return code;
}

static int open_source(
	const struct jail_plan *plan, const struct jail_bind *bind, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = open(bind->source, O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(err, plan->process, "open the folder", bind->source);
	if ((bind->device || bind->inode) &&
		(st.st_dev != bind->device || st.st_ino != bind->inode))
		return err_set(err, -ESTALE,
			"%s: %s is not the folder it was when the sandbox was started",
			plan->process, bind->source);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_sources(
	const struct jail_plan *plan, int fds[static JAIL_BINDS_MAX], struct err *err)
{
	for (size_t i = 0; i < plan->bind_count; i++) {
		int r = open_source(plan, &plan->binds[i], &fds[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int set_attributes(const char *target, bool readonly, bool recursive)
{
	struct mount_attr attributes = {
		.attr_set =
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readonly ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, target, recursive ? AT_RECURSIVE : 0,
		&attributes, sizeof(attributes));
}

static int mount_bind(
	const struct jail_plan *plan, const struct jail_bind *bind, int source_fd, struct err *err)
{
	char source[64], target[PATH_MAX];

	snprintf(source, sizeof(source), "/proc/self/fd/%d", source_fd);
	snprintf(target, sizeof(target), NEW_ROOT "%s", bind->target);
	if (fdio_mkdir_parents(target, 0755) < 0)
		return fail(err, plan->process, "make the mount point", bind->target);
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail(err, plan->process, "bind the folder", bind->source);
	if (set_attributes(target, bind->readonly, true) < 0)
		return fail(err, plan->process, "set the mount attributes of", bind->source);
	return 0;
}

static int mount_proc_fd(const struct jail_plan *plan, struct err *err)
{
	if (mkdir(NEW_ROOT "/fd", 0755) < 0)
		return fail(err, plan->process, "make the mount point", "/fd");
	if (mount("/proc/self/fd", NEW_ROOT "/fd", NULL, MS_BIND, NULL) < 0)
		return fail(err, plan->process, "bind", "/proc/self/fd");
	return 0;
}

static int enter(const struct jail_plan *plan, struct err *err)
{
	if (chdir(NEW_ROOT) < 0)
		return fail(err, plan->process, "enter", "the new root");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return fail(err, plan->process, "make the new root", "/");
	if (umount2(".", MNT_DETACH) < 0)
		return fail(err, plan->process, "detach", "the old root");
	if (chdir("/") < 0)
		return fail(err, plan->process, "enter", "/");
	if (set_attributes("/", true, false) < 0)
		return fail(err, plan->process, "make read-only", "/");
	return 0;
}

static int build(const struct jail_plan *plan, const int *sources, struct err *err)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(err, plan->process, "make private", "the mounts");
	if (mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		    "size=64k,nr_inodes=256,mode=755") < 0)
		return fail(err, plan->process, "mount", "an empty root");
	for (size_t i = 0; i < plan->bind_count; i++) {
		r = mount_bind(plan, &plan->binds[i], sources[i], err);
		if (r < 0)
			return r;
	}
	if (plan->proc_fd) {
		r = mount_proc_fd(plan, err);
		if (r < 0)
			return r;
	}
	return enter(plan, err);
}

int root_build(const struct jail_plan *plan, struct err *err)
{
	int sources[JAIL_BINDS_MAX], r;

	if (plan->bind_count > JAIL_BINDS_MAX)
		return err_set(err, -E2BIG, "%s: more than %d folders to bind", plan->process,
			JAIL_BINDS_MAX);
	memset(sources, -1, sizeof(sources));
	r = open_sources(plan, sources, err);
	if (r == 0)
		r = build(plan, sources, err);
	for (size_t i = 0; i < plan->bind_count; i++)
		close_keeping_errno(sources[i]);
	return r;
}
