/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/project.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/registry.h"

/* Cuts the last component off; false at the root. */
static bool go_up(char *folder)
{
	char *slash = strrchr(folder, '/');

	if (strcmp(folder, "/") == 0)
		return false;
	slash[slash == folder ? 1 : 0] = '\0';
	return true;
}

static bool trusted_owner(uid_t uid)
{
	const char *sudo_uid = getenv("SUDO_UID");
	uint64_t sudo;

	return uid == geteuid() || uid == 0 ||
	       (sudo_uid && parse_u64(sudo_uid, 0, UINT32_MAX, &sudo) && uid == sudo);
}

static bool holds(const char *folder, const char *name)
{
	_cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat s;

	return fd >= 0 && fstatat(fd, name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
	       trusted_owner(s.st_uid);
}

static int take_folder(const char *folder, struct project *ret, struct err *err)
{
	struct stat s;

	if (stat(folder, &s) < 0)
		return err_set(err, -errno, "%s: %s", folder, strerror(errno));
	if (!S_ISDIR(s.st_mode))
		return err_set(err, -ENOTDIR, "%s: not a folder", folder);
	snprintf(ret->folder, sizeof(ret->folder), "%s", folder);
	ret->device = s.st_dev;
	ret->inode = s.st_ino;
	return 0;
}

/* Whether folder decides by itself; sets ret->name where it has a sandbox. */
static bool is_project(const struct paths *paths, const char *folder, struct project *ret)
{
	struct project p = {};

	if (take_folder(folder, &p, NULL) < 0)
		return false;
	if (paths && registry_find_workspace(paths, p.device, p.inode, ret->name) == 0) {
		ret->has_sandbox = true;
		return true;
	}
	return holds(folder, ".sandbox.json");
}

/* The folder in at[]; what was found is left there. */
static void search(const struct paths *paths, char at[static PATH_MAX], struct project *ret)
{
	char start[PATH_MAX], git_root[PATH_MAX] = "";
	int parents = 0;

	strcpy(start, at);
	do {
		if (is_project(paths, at, ret))
			return;
		if (!git_root[0] && holds(at, ".git"))
			strcpy(git_root, at);
	} while (go_up(at) && ++parents < PROJECT_PARENTS_MAX);
	strcpy(at, git_root[0] ? git_root : start);
}

static void default_name(const struct paths *paths, struct project *ret)
{
	const char *slash = strrchr(ret->folder, '/');
	const char *base = slash ? slash + 1 : ret->folder;

	/* The folder's own name, also where another folder's sandbox has it: start says so and offers a free one. */
	(void)paths;
	registry_name_from(base, ret->name);
}

static int no_folder(const char *path, int code, struct err *err)
{
	if (strcmp(path, ".") != 0)
		return err_set(err, -code, "%s: %s", path, strerror(code));
	err_set(err, -code, "the folder that you are in cannot be found: %s", strerror(code));
	err_next_step(err, "cd to one that is there, or name the sandbox and its --workspace");
	return -code;
}

int project_find(const struct paths *paths, const char *path, struct project *ret, struct err *err)
{
	struct project p = {};
	char at[PATH_MAX];
	int r;

	if (!realpath(path, at))
		return no_folder(path, errno, err);
	search(paths, at, &p);
	r = take_folder(at, &p, err);
	if (r < 0)
		return r;
	if (!p.has_sandbox)
		default_name(paths, &p);
	*ret = p;
	return 0;
}

bool project_is_inside(const char *path, uint64_t device, uint64_t inode)
{
	char at[PATH_MAX];
	struct stat s;

	if (!realpath(path, at))
		return false;
	do {
		if (stat(at, &s) == 0 && s.st_dev == device && s.st_ino == inode)
			return true;
	} while (go_up(at));
	return false;
}
