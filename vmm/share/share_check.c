/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/share_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define PATH_BYTES_MAX 4096

struct identity {
	uint64_t device, inode;
};

/* A folder and all its ancestors, itself first, `/` last. */
struct ancestry {
	struct identity at[SHARE_CHECK_DEPTH_MAX];
	size_t count;
};

static bool same(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static int identify(int fd, struct identity *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct identity){ .device = st.st_dev, .inode = st.st_ino };
	return 0;
}

/* Up by `..` until it leads nowhere else. */
static int read_ancestry(int fd, struct ancestry *ret)
{
	_cleanup_close_ int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int r;

	ret->count = 0;
	if (at < 0)
		return -errno;
	while (ret->count < SHARE_CHECK_DEPTH_MAX) {
		int up;

		r = identify(at, &ret->at[ret->count]);
		if (r < 0)
			return r;
		if (ret->count && same(&ret->at[ret->count], &ret->at[ret->count - 1]))
			return 0;
		ret->count++;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return -errno;
		close(at);
		at = up;
	}
	return -ELOOP;
}

static bool among(const struct ancestry *ancestry, const struct identity *id)
{
	for (size_t i = 0; i < ancestry->count; i++)
		if (same(&ancestry->at[i], id))
			return true;
	return false;
}

/* The place itself, or its nearest parent that exists. *ret_exists says which. */
static int open_place(const char *path, bool *ret_exists)
{
	char text[PATH_BYTES_MAX];

	if (strlen(path) >= sizeof(text) || *path != '/')
		return -EINVAL;
	strcpy(text, path);
	*ret_exists = true;
	for (;;) {
		int fd = open(text, O_PATH | O_CLOEXEC);
		char *slash = strrchr(text, '/');

		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			return -errno;
		*ret_exists = false;
		if (slash == text)
			return -ENOENT;
		*slash = '\0';
	}
}

static int place_ancestry(const struct share_place *place, struct ancestry *ret, bool *ret_exists)
{
	_cleanup_close_ int fd = open_place(place->path, ret_exists);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return read_ancestry(fd, ret);
}

static int refuse(
	struct err *err, const char *path, const char *relation, const struct share_place *place)
{
	err_set(err, -EPERM, "%s cannot be shared: it %s %s (%s)", path, relation, place->what,
		place->path);
	return err_next_step(err, "share a project folder of its own"), -EPERM;
}

static int check_place(const char *path, const struct ancestry *share,
	const struct share_place *place, struct share_root *root, struct err *err)
{
	struct ancestry ours;
	bool exists, is, holds;
	int r = place_ancestry(place, &ours, &exists);

	if (r < 0)
		return err_set(err, r, "%s (%s): cannot be compared with the share %s", place->path,
			place->what, path);
	is = exists && same(&share->at[0], &ours.at[0]);
	/* Of a place that is not there yet, the nearest parent would hold it. */
	holds = among(&ours, &share->at[0]) && !is;
	if (is)
		return refuse(err, path, "is", place);
	if (holds && place->kind != SHARE_PLACE_BINARIES)
		return refuse(err, path, "holds", place);
	if (holds)
		root->holds_binaries = true;
	if (exists && place->kind != SHARE_PLACE_HOME && among(share, &ours.at[0]))
		return refuse(err, path, "lies inside", place);
	return 0;
}

static int not_entered(int fd, const char *path, struct err *err)
{
	struct stat st;

	err_set(err, -EACCES, "share %s: you may not enter it", path);
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid())
		err_next_step(err, "it is yours: chmod u+rwx gives you what is missing");
	else
		err_next_step(err, "share a project folder of your own");
	return -EACCES;
}

int share_check_root(const char *path, const struct share_place *places, size_t count,
	struct share_root *ret, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct share_root root = {};
	struct ancestry share;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "share %s: %s", path, strerror(errno));
	r = faccessat(fd, ".", X_OK, AT_EACCESS) < 0 ? -errno : read_ancestry(fd, &share);
	if (r == -EACCES)
		return not_entered(fd, path, err);
	if (r < 0)
		return err_set(err, r, "share %s: its parents cannot be looked at: %s", path,
			strerror(-r));
	if (share.count == 1)
		return err_set(err, -EPERM,
			"%s is the root of the host's files: it cannot be shared", path);
	for (size_t i = 0; i < count; i++) {
		r = check_place(path, &share, &places[i], &root, err);
		if (r < 0)
			return r;
	}
	root.device = share.at[0].device;
	root.inode = share.at[0].inode;
	*ret = root;
	return 0;
}
