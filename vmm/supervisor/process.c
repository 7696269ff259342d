/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/base/parse.h"

#define PROC_FILE_MAX (4 * 1024 * 1024)

static void copy_printable(char *to, size_t size, const char *from, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = isprint((unsigned char)from[i]) ? from[i] : '?';
	to[n] = '\0';
}

bool process_stat_parse(const char *text, struct process_stat *ret)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	struct process_stat stat = {};
	unsigned long long start;
	int pid, parent, group, session, threads;

	if (!open || !close || close < open || sscanf(text, "%d", &pid) != 1 || pid <= 0)
		return false;
	/* proc(5): fields 3 to 6, 20 and 22. */
	if (sscanf(close + 1,
		    " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu",
		    &stat.state, &parent, &group, &session, &threads, &start) != 6)
		return false;
	stat.id = (struct process_id){ .pid = pid, .start_ticks = start };
	stat.parent = parent;
	stat.group = group;
	stat.session = session;
	stat.threads = threads;
	copy_printable(stat.command, sizeof(stat.command), open + 1, (size_t)(close - open - 1));
	*ret = stat;
	return true;
}

int process_stat_of(pid_t pid, struct process_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[64];

	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fdio_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return -ESRCH;
	return process_stat_parse(text, ret) ? 0 : -ESRCH;
}

int process_id_of(pid_t pid, struct process_id *ret)
{
	struct process_stat stat;
	int r = process_stat_of(pid, &stat);

	if (r == 0)
		*ret = stat.id;
	return r;
}

static bool has_ended(const struct process_stat *stat)
{
	return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

/* Whether id is still that process; fills stat. */
static bool stat_of_living(const struct process_id *id, struct process_stat *ret)
{
	return process_stat_of(id->pid, ret) == 0 && ret->id.start_ticks == id->start_ticks &&
	       !has_ended(ret);
}

bool process_id_alive(const struct process_id *id)
{
	struct process_stat stat;

	return stat_of_living(id, &stat);
}

bool process_id_stopped(const struct process_id *id)
{
	struct process_stat stat;

	return stat_of_living(id, &stat) && (stat.state == 'T' || stat.state == 't');
}

bool process_hangs(pid_t pid)
{
	char path[300];
	struct dirent *entry;
	bool hangs = false;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	_cleanup_closedir_ DIR *tasks = opendir(path);

	while (tasks && !hangs && (entry = readdir(tasks))) {
		_cleanup_free_ char *text = NULL;
		struct process_stat stat;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, entry->d_name);
		hangs = fdio_read_file(AT_FDCWD, path, 4096, &text, NULL) == 0 &&
			process_stat_parse(text, &stat) && stat.state == 'D';
	}
	return hangs;
}

/* A pidfd of just this process: the identity is checked after the fd holds it. */
static int open_pidfd(const struct process_id *id)
{
	_cleanup_close_ int fd = -1;

	if (id->pid <= 0)
		return -ESRCH;
	fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
	if (fd < 0)
		return -errno;
	return process_id_alive(id) ? TAKE_FD(fd) : -ESRCH;
}

int process_id_signal(const struct process_id *id, int signal)
{
	_cleanup_close_ int fd = open_pidfd(id);

	if (fd < 0)
		return fd;
	return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_id_wait(const struct process_id *id, uint64_t timeout_ms)
{
	uint64_t end = clock_monotonic_ms() + timeout_ms;
	_cleanup_close_ int fd = open_pidfd(id);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return fd == -ESRCH ? 0 : fd;
	for (;;) {
		uint64_t now = clock_monotonic_ms();
		int r = poll(&p, 1, now < end ? (int)(end - now) : 0);

		if (r > 0)
			return 0;
		if (r == 0 && clock_monotonic_ms() >= end)
			return -ETIME;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

int process_group_members(pid_t group, struct process_stat *ret, size_t max)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	if (!proc)
		return -errno;
	while (count < max && (entry = readdir(proc))) {
		struct process_stat stat;
		int pid;

		if (!parse_int(entry->d_name, 1, 0x7fffffff, &pid) ||
			process_stat_of(pid, &stat) < 0)
			continue;
		if (stat.group == group && !has_ended(&stat))
			ret[count++] = stat;
	}
	return (int)count;
}

bool host_smt_active(void)
{
	_cleanup_free_ char *text = NULL;

	return fdio_read_file(AT_FDCWD, "/sys/devices/system/cpu/smt/active", 16, &text, NULL) ==
		       0 &&
	       text[0] == '1';
}

int host_boot_id(char ret_boot_id[static PROCESS_BOOT_ID_LEN + 1])
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fdio_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &len);

	if (r < 0)
		return r;
	if (len < PROCESS_BOOT_ID_LEN)
		return -EIO;
	memcpy(ret_boot_id, text, PROCESS_BOOT_ID_LEN);
	ret_boot_id[PROCESS_BOOT_ID_LEN] = '\0';
	return 0;
}

/* The inode and owner of the listening socket on a port in one of /proc/net/tcp's tables. */
static bool find_listening_socket(
	const char *table, uint16_t port, unsigned long *ret_inode, unsigned int *ret_uid)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (fdio_read_file(AT_FDCWD, table, PROC_FILE_MAX, &text, NULL) < 0)
		return false;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		unsigned int local_port, state, uid;
		unsigned long inode;

		if (sscanf(line,
			    " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu",
			    &local_port, &state, &uid, &inode) != 4)
			continue;
		if (local_port == port && state == 0x0a /* TCP_LISTEN */) {
			*ret_inode = inode;
			*ret_uid = uid;
			return true;
		}
	}
	return false;
}

static bool process_has_socket(int pid, const char *link)
{
	char path[64], target[64];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	_cleanup_closedir_ DIR *fds = opendir(path);

	if (!fds)
		return false;
	while ((entry = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, link) == 0)
			return true;
	}
	return false;
}

static bool find_socket_owner(unsigned long inode, struct process_stat *ret)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	char link[64];
	int pid;

	snprintf(link, sizeof(link), "socket:[%lu]", inode);
	while (proc && (entry = readdir(proc)))
		if (parse_int(entry->d_name, 1, 0x7fffffff, &pid) &&
			process_has_socket(pid, link) && process_stat_of(pid, ret) == 0)
			return true;
	return false;
}

bool process_find_listener(uint16_t port, char *ret_text, size_t size)
{
	struct process_stat stat;
	unsigned long inode;
	unsigned int uid;

	if (!find_listening_socket("/proc/net/tcp", port, &inode, &uid) &&
		!find_listening_socket("/proc/net/tcp6", port, &inode, &uid))
		return false;
	if (find_socket_owner(inode, &stat))
		snprintf(ret_text, size, "pid %d (%s)", (int)stat.id.pid, stat.command);
	else
		snprintf(ret_text, size, "a process of uid %u", uid);
	return true;
}
