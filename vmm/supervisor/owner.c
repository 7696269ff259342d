/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/owner.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/parse.h"

static bool read_id(const char *variable, uint32_t *ret)
{
	const char *text = getenv(variable);
	uint64_t value;

	if (!text || !parse_u64(text, 1, UINT32_MAX - 1, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

int owner_of_sandbox(const struct spec *spec, struct owner *ret, struct err *err)
{
	struct owner owner = { geteuid(), getegid() };
	uint32_t uid, gid;
	struct stat st;

	if (spec->workspace.host) {
		if (stat(spec->workspace.host, &st) < 0)
			return err_set(err, -errno, "workspace %s: %s", spec->workspace.host,
				strerror(errno));
		if (spec->workspace.inode &&
			(st.st_dev != spec->workspace.device || st.st_ino != spec->workspace.inode))
			return err_set(err, -ESTALE, "workspace %s: not the folder it was",
				spec->workspace.host);
		if (owner.uid == 0)
			owner = (struct owner){ st.st_uid, st.st_gid };
	}
	if (geteuid() == 0 && owner.uid == 0 && read_id("SUDO_UID", &uid) &&
		read_id("SUDO_GID", &gid))
		owner = (struct owner){ uid, gid };
	*ret = owner;
	return 0;
}

bool owner_is_other(const struct owner *owner)
{
	return owner->uid != geteuid();
}

/* In a child: becomes the owner and tries. */
static int try_access(const struct owner *owner, const char *folder, int mode)
{
	if (owner_is_other(owner) &&
		(setgroups(0, NULL) < 0 || setresgid(owner->gid, owner->gid, owner->gid) < 0 ||
			setresuid(owner->uid, owner->uid, owner->uid) < 0))
		return errno;
	return access(folder, mode) < 0 ? errno : 0;
}

int owner_check_access(
	const struct owner *owner, const char *folder, bool writable, struct err *err)
{
	int mode = R_OK | X_OK | (writable ? W_OK : 0), status;
	pid_t pid;

	if (!owner_is_other(owner)) {
		status = access(folder, mode) < 0 ? errno : 0;
	} else {
		pid = fork();
		if (pid < 0)
			return err_set(err, -errno, "share %s: %s", folder, strerror(errno));
		if (pid == 0)
			_exit(try_access(owner, folder, mode));
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				return err_set(
					err, -errno, "share %s: %s", folder, strerror(errno));
		status = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	}
	if (status == 0)
		return 0;
	err_set(err, -status, "share %s: uid %u, with whose rights it is shared, may not %s it: %s",
		folder, (unsigned int)owner->uid, writable ? "read and write" : "read",
		strerror(status));
	err_next_step(err, "share it read-only (:ro), or give that user access");
	return -status;
}
