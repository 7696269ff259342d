/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/jailed_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/paths.h"

#define FD_LOG	 2
#define FD_FIRST 3

void child_command_add(struct child_command *c, const char *format, ...)
{
	va_list args;

	if (c->failed || c->word_count == CHILD_WORDS_MAX) {
		c->failed = true;
		return;
	}
	va_start(args, format);
	if (vasprintf(&c->words[c->word_count], format, args) < 0) {
		c->words[c->word_count] = NULL;
		c->failed = true;
	} else {
		c->word_count++;
	}
	va_end(args);
}

int child_command_give(struct child_command *c, int fd)
{
	int target = FD_FIRST + (int)c->fd_count;

	if (c->fd_count == SPAWN_FDS_MAX - 1) /* one is the log's */
		c->failed = true;
	else
		c->fds[c->fd_count++] = (struct spawn_fd){ fd, target };
	return target;
}

void child_command_add_fd(struct child_command *c, const char *option, int fd)
{
	if (fd < 0)
		return;
	child_command_add(c, "%s", option);
	child_command_add(c, "%d", child_command_give(c, fd));
}

void child_command_finish(struct child_command *c)
{
	for (size_t i = 0; i < c->word_count; i++)
		free(c->words[i]);
	*c = (struct child_command){};
}

void jailed_child_init(struct jailed_child *child, const char *name)
{
	*child =
		(struct jailed_child){ .name = name, .pidfd = -1, .event_fd = -1, .stderr_fd = -1 };
}

void jailed_child_finish(struct jailed_child *child)
{
	close_keeping_errno(TAKE_FD(child->pidfd));
	close_keeping_errno(TAKE_FD(child->event_fd));
	close_keeping_errno(TAKE_FD(child->stderr_fd));
}

int socket_pair(int type, int *ret_ours, int *ret_theirs, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "cannot make a pair of sockets: %s", strerror(errno));
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

/* Before it runs an instruction of its own. */
static int enter_cgroup(void *data, pid_t pid, struct err *err)
{
	const struct child_place *place = data;
	int r = cgroup_enter(place->cgroup, pid);

	return r < 0 ? err_set(err, r, "cgroup %s: a process cannot enter it: %s", place->cgroup,
			       strerror(-r))
		     : 0;
}

static int spawn_it(struct jailed_child *child, const struct child_command *c,
	const struct child_place *place, struct err *err)
{
	static const char *const environment[] = { NULL };
	struct spawn_spec spec = { .environment = environment,
		.argv = (const char *const *)c->words,
		.fds = c->fds,
		.fd_count = c->fd_count };
	char path[PATH_MAX];
	pid_t pid;
	int r = paths_find_program(child->name, path, err);

	if (r < 0)
		return r;
	spec.path = path;
	if (place->cgroup) {
		spec.before_exec = enter_cgroup;
		spec.data = (void *)(size_t)place; /* const again in enter_cgroup() */
	}
	r = jail_spawn(&spec, place->uid, place->gid, &pid, &child->pidfd, err);
	if (r < 0)
		return r;
	r = process_id_of(pid, &child->id);
	return r < 0 ? err_set(err, r, "%s: ended at once", child->name) : 0;
}

int jailed_child_spawn(struct jailed_child *child, struct child_command *command,
	const struct child_place *place, struct err *err)
{
	_cleanup_close_ int event = -1, log_write = -1;
	int log[2], r = socket_pair(SOCK_SEQPACKET, &child->event_fd, &event, err);

	if (r == 0 && pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		r = err_set(
			err, -errno, "%s: cannot make a pipe: %s", child->name, strerror(errno));
	if (r == 0) {
		child->stderr_fd = log[0];
		log_write = log[1];
		child_command_add_fd(command, "--event-fd", event);
		if (!command->failed)
			command->fds[command->fd_count++] = (struct spawn_fd){ log_write, FD_LOG };
		r = command->failed
			    ? err_set(err, -E2BIG, "%s: too many arguments or files", child->name)
			    : spawn_it(child, command, place, err);
	}
	child_command_finish(command);
	return r;
}
