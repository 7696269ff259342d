/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/ssh_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/spawn.h"

static int run(
	const char *path, const char *const *argv, const char *const *environment, struct err *err)
{
	struct spawn_spec spec = { .path = path, .argv = argv, .environment = environment };
	_cleanup_close_ int pidfd = -1;
	int status, r;
	pid_t pid;

	r = spawn(&spec, &pid, &pidfd, err);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? 0
		       : err_set(err, -EIO, "%s: it failed", path);
}

/* One key pair, by a temporary name: half a pair never has the right name. */
static int make_pair(const char *folder, const char *file, const char *comment,
	const char *const *environment, struct err *err)
{
	char path[PATH_MAX], temporary[PATH_MAX + 8], from[PATH_MAX + 16], to[PATH_MAX + 8];
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment,
		"-f", temporary, NULL };
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "ssh keys: %s: the path is too long", folder);
	if (access(path, F_OK) == 0)
		return 0;
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	unlink(temporary);
	r = run("/usr/bin/ssh-keygen", argv, environment, err);
	if (r < 0)
		return r;
	snprintf(from, sizeof(from), "%s.pub", temporary);
	snprintf(to, sizeof(to), "%s.pub", path);
	if (rename(from, to) < 0 || rename(temporary, path) < 0)
		return err_set(err, -errno, "ssh keys: %s: %s", path, strerror(errno));
	return 0;
}

static int write_known_hosts(const char *folder, const char *name, struct err *err)
{
	_cleanup_free_ char *public_key = NULL, *line = NULL;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/host_ed25519.pub", folder);
	r = fdio_read_file(AT_FDCWD, path, SSH_KEYS_FILE_MAX, &public_key, NULL);
	if (r < 0)
		return err_set(err, r, "ssh keys: %s: %s", path, strerror(-r));
	if (asprintf(&line, "%s %s", name, public_key) < 0) {
		line = NULL;
		return err_set(err, -ENOMEM, "ssh keys: out of memory");
	}
	snprintf(path, sizeof(path), "%s/known_hosts", folder);
	r = fdio_write_file_atomic(AT_FDCWD, path, line, strlen(line), 0600);
	return r < 0 ? err_set(err, r, "ssh keys: %s: %s", path, strerror(-r)) : 0;
}

int ssh_keys_make(
	const char *folder, const char *name, const char *const *environment, struct err *err)
{
	int r = fdio_mkdir_parents(folder, 0700);

	if (r < 0)
		return err_set(err, r, "ssh keys: %s: %s", folder, strerror(-r));
	if (strlen(folder) > PATH_MAX - 64)
		return err_set(err, -ENAMETOOLONG, "ssh keys: %s: the path is too long", folder);
	if (access("/usr/bin/ssh-keygen", X_OK) < 0) {
		err_set(err, -ENOENT, "ssh keys: this host has no ssh-keygen");
		err_next_step(err, "apt-get install openssh-client");
		return -ENOENT;
	}
	r = make_pair(folder, "id_ed25519", name, environment, err);
	if (r == 0)
		r = make_pair(folder, "host_ed25519", name, environment, err);
	return r == 0 ? write_known_hosts(folder, name, err) : r;
}
