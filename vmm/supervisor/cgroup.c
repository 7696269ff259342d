/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/base/parse.h"

#define PREFIX	      "sandboxctl-"
#define INSTANCE_PART 12 /* digits of the instance in a group's name */
#define FILE_MAX      (64 * 1024)

static int write_file(const char *folder, const char *file, const char *text)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_parent(const char *proc_self_cgroup, char ret_path[static PATH_MAX])
{
	const char *line = proc_self_cgroup, *end;
	char path[PATH_MAX];

	while (line && strncmp(line, "0::/", 4) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return -ENOENT;
	line += 3;
	end = strchrnul(line, '\n');
	/* A group outside of what we see of the tree starts with "/..". */
	if (strstr(line, "/../") || snprintf(path, sizeof(path), CGROUP_MOUNT "%.*s",
					    (int)(end - line), line) >= (int)sizeof(path))
		return -ENOENT;
	*strrchr(path, '/') = '\0'; /* of the root itself: the mount */
	strcpy(ret_path, path);
	return 0;
}

bool cgroup_is_ours(const char *path)
{
	const char *name = strrchr(path, '/');

	return strncmp(path, CGROUP_MOUNT "/", strlen(CGROUP_MOUNT) + 1) == 0 &&
	       !strstr(path, "/../") && strncmp(name + 1, PREFIX, strlen(PREFIX)) == 0;
}

#define FIX_NO_V2 "boot with systemd.unified_cgroup_hierarchy=1"
#define FIX_SESSION                                                                                \
	"start it from a session that systemd has given a part of the cgroup v2 tree: "            \
	"systemd-run --user --scope sandboxctl start ..."

static int unusable(struct err *err, const char *why, const char *fix)
{
	err_set(err, -EOPNOTSUPP, "%s", why);
	err_next_step(err, "%s", fix);
	return -EOPNOTSUPP;
}

int cgroup_usable(char ret_parent[static PATH_MAX], struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char parent[PATH_MAX], procs[PATH_MAX + 16];
	struct statfs fs;

	if (statfs(CGROUP_MOUNT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return unusable(err, "no cgroup v2 at " CGROUP_MOUNT, FIX_NO_V2);
	if (fdio_read_file(AT_FDCWD, "/proc/self/cgroup", FILE_MAX, &text, NULL) < 0 ||
		cgroup_parent(text, parent) < 0)
		return unusable(err, "this process is in no cgroup v2", FIX_NO_V2);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", parent);
	if (access(parent, W_OK) < 0 || access(procs, W_OK) < 0)
		return unusable(
			err, "this part of the cgroup v2 tree is not delegated to us", FIX_SESSION);
	strcpy(ret_parent, parent);
	return 0;
}

static int limit_pids(const char *parent, const char *path, uint32_t pids, struct err *err)
{
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%u", pids);
	r = write_file(path, "pids.max", text);
	/* Not handed down yet: what is delegated may be. */
	if (r == -ENOENT && (r = write_file(parent, "cgroup.subtree_control", "+pids")) == 0)
		r = write_file(path, "pids.max", text);
	return r < 0 ? unusable(err, "the cgroup controller `pids` is not delegated to us",
			       FIX_SESSION)
		     : 0;
}

int cgroup_create(const char *name, const char *instance, uint32_t pids,
	char ret_path[static PATH_MAX], struct err *err)
{
	char parent[PATH_MAX], path[PATH_MAX];
	int r = cgroup_usable(parent, err);

	if (r < 0)
		return r;
	if (snprintf(path, sizeof(path), "%s/" PREFIX "%s-%.*s", parent, name, INSTANCE_PART,
		    instance) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "cgroup %s: its path is too long", parent);
	if (mkdir(path, 0755) < 0)
		return err_set(err, -errno, "cgroup %s: %s", path, strerror(errno));
	if (pids && (r = limit_pids(parent, path, pids, err)) < 0) {
		rmdir(path);
		return r;
	}
	strcpy(ret_path, path);
	return 0;
}

int cgroup_enter(const char *path, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return cgroup_is_ours(path) ? write_file(path, "cgroup.procs", text) : -EINVAL;
}

/* A file of the group, the caller's; NULL where there is none. */
static char *read_file(const char *path, const char *name)
{
	char file[PATH_MAX], *text = NULL;

	if (!cgroup_is_ours(path) ||
		snprintf(file, sizeof(file), "%s/%s", path, name) >= (int)sizeof(file) ||
		fdio_read_file(AT_FDCWD, file, FILE_MAX, &text, NULL) < 0)
		return NULL;
	return text;
}

bool cgroup_populated(const char *path)
{
	_cleanup_free_ char *text = read_file(path, "cgroup.events");

	return text && strstr(text, "populated 1");
}

static bool is_known(const struct process_stat *members, int count, pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (members[i].id.pid == pid)
			return true;
	return false;
}

int cgroup_add_members(const char *path, struct process_stat *members, int count, size_t max)
{
	_cleanup_free_ char *text = read_file(path, "cgroup.procs");
	char *rest = text, *line;
	int pid;

	while (count >= 0 && (size_t)count < max && (line = strsep(&rest, "\n")))
		if (parse_int(line, 1, INT_MAX, &pid) && !is_known(members, count, pid) &&
			process_stat_of(pid, &members[count]) == 0)
			count++;
	return count;
}

void cgroup_kill(const char *path)
{
	if (cgroup_is_ours(path))
		(void)write_file(path, "cgroup.kill", "1");
}

int cgroup_remove(const char *path)
{
	uint64_t end = clock_monotonic_ms() + CGROUP_REMOVE_WAIT_MS;
	struct timespec pause = { .tv_nsec = 20 * 1000000 };

	if (!cgroup_is_ours(path))
		return 0;
	while (rmdir(path) < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || clock_monotonic_ms() >= end)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return 0;
}
