/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

static int make_parents(const char *path)
{
	char parent[PATH_MAX];
	char *slash;

	if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent))
		return -ENAMETOOLONG;
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return 0;
	*slash = '\0';
	return fdio_mkdir_parents(parent, 0755);
}

int place_file(const char *path, const void *content, size_t len, mode_t mode, uid_t uid, gid_t gid)
{
	_cleanup_close_ int fd = -1;
	int r = make_parents(path);

	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fdio_write_full(fd, content, len);
	/* Owner first: a change of owner clears set-uid bits. */
	if (r == 0 && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0))
		r = -errno;
	return r;
}

int place_link(const char *path, const char *target)
{
	int r = make_parents(path);

	if (r < 0)
		return r;
	return symlink(target, path) < 0 && errno != EEXIST ? -errno : 0;
}

int place_folder(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	int r = fdio_mkdir_parents(path, 0755);

	if (r < 0)
		return r;
	return chown(path, uid, gid) < 0 || chmod(path, mode) < 0 ? -errno : 0;
}
