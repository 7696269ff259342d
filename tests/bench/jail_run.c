/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail_run [K=V...] -- PROGRAM WORDS...: starts PROGRAM as the supervisor starts sandbox-vmm (jail_spawn()), with every fd of
 * ours at its own number and the environment that was named, waits, and ends with its exit code. For benches.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/jail/jail_spawn.h"

static size_t collect_fds(struct spawn_fd fds[static SPAWN_FDS_MAX])
{
	size_t count = 0;

	for (int fd = 0; fd < 256 && count < SPAWN_FDS_MAX; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fds[count++] = (struct spawn_fd){ fd, fd };
	return count;
}

int main(int argc, char **argv)
{
	struct spawn_fd fds[SPAWN_FDS_MAX];
	struct spawn_spec spec = { .fds = fds };
	struct err err = {};
	int split = 1, status, pidfd;
	pid_t pid;

	while (split < argc && strcmp(argv[split], "--") != 0)
		split++;
	if (split + 1 >= argc)
		return 2;
	argv[split] = NULL;
	spec.environment = (const char *const *)argv + 1;
	spec.argv = (const char *const *)argv + split + 1;
	spec.path = spec.argv[0];
	spec.fd_count = collect_fds(fds);
	if (jail_spawn(&spec, geteuid(), getegid(), &pid, &pidfd, &err) < 0) {
		fprintf(stderr, "jail_run: %s\n", err.text);
		return 125;
	}
	if (waitpid(pid, &status, 0) != pid)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
