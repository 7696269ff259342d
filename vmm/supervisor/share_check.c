/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/share_check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define DEPTH_MAX 256

struct identity {
	uint64_t device, inode;
};

static bool same(struct identity a, struct identity b)
{
	return a.device == b.device && a.inode == b.inode;
}

/* The folder and all above it, itself first; gives how many. 0 where it does not exist. */
static size_t ancestors_of(const char *path, struct identity ids[static DEPTH_MAX])
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t count = 0;
	struct stat st;

	while (fd >= 0 && count < DEPTH_MAX && fstat(fd, &st) == 0) {
		struct identity id = { st.st_dev, st.st_ino };
		int parent;

		if (count && same(ids[count - 1], id))
			break; /* `..` of the root is itself */
		ids[count++] = id;
		parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = parent;
	}
	return count;
}

static bool is_among(struct identity id, const struct identity *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (same(ids[i], id))
			return true;
	return false;
}

struct clash {
	const struct spec_share *share;
	struct identity above[DEPTH_MAX]; /* the share itself first */
	size_t above_count;
	struct err *err;
};

static int refuse(const struct clash *c, const char *how, const char *what, const char *path)
{
	err_set(c->err, -EPERM, "share %s: it %s %s (%s)", c->share->host, how, what, path);
	err_next_step(c->err, "share a project's own folder");
	return -EPERM;
}

/* Nothing of ours in a share, no share in what is ours. A folder that does not exist yet clashes by its parent. */
static int check_ours(const struct clash *c, const char *what, const char *path)
{
	struct identity ours[DEPTH_MAX];
	char existing[PATH_MAX];
	size_t count;

	snprintf(existing, sizeof(existing), "%s", path);
	while ((count = ancestors_of(existing, ours)) == 0 && strcmp(existing, "/") != 0)
		strcpy(existing, dirname(existing));
	if (count && same(ours[0], c->above[0]) && strcmp(existing, path) == 0)
		return refuse(c, "is", what, path);
	if (is_among(c->above[0], ours, count))
		return refuse(c, "holds", what, path);
	if (strcmp(existing, path) == 0 && is_among(ours[0], c->above, c->above_count))
		return refuse(c, "lies inside", what, path);
	return 0;
}

/* The home folder may hold shares, but is none, and no share holds it. */
static int check_home(const struct clash *c, const char *home)
{
	struct identity ids[DEPTH_MAX];
	size_t count = home && *home ? ancestors_of(home, ids) : 0;

	if (count && same(ids[0], c->above[0]))
		return refuse(c, "is", "the home folder", home);
	if (is_among(c->above[0], ids, count))
		return refuse(c, "holds", "the home folder", home);
	return 0;
}

static int check_homes(const struct clash *c)
{
	struct stat st;
	const struct passwd *user = NULL;
	int r = check_home(c, getenv("HOME"));

	if (r == 0 && stat(c->share->host, &st) == 0 && st.st_uid != 0)
		user = getpwuid(st.st_uid);
	return r == 0 && user ? check_home(c, user->pw_dir) : r;
}

static int check_share(const struct paths *paths, const struct spec_share *share, struct err *err)
{
	const struct {
		const char *what, *path;
	} ours[] = {
		{ "our configuration", paths->config },
		{ "our state", paths->state },
		{ "our images", paths->data },
		{ "our caches", paths->cache },
		{ "our sockets", paths->runtime },
	};
	struct clash c = { .share = share, .err = err };
	int r;

	c.above_count = ancestors_of(share->host, c.above);
	if (c.above_count == 0)
		return err_set(err, -errno, "share %s: %s", share->host, strerror(errno));
	if (c.above_count == 1)
		return refuse(&c, "is", "the root folder", "/");
	r = check_homes(&c);
	for (size_t i = 0; i < ARRAY_SIZE(ours) && r == 0; i++)
		r = check_ours(&c, ours[i].what, ours[i].path);
	return r;
}

static int protect(struct share_protected *list, const struct stat *st, struct err *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i].device == st->st_dev && list->ids[i].inode == st->st_ino)
			return 0;
	if (list->count == SHARE_CHECK_PROTECTED_MAX)
		return err_set(err, -E2BIG, "shares: more than %d files of ours lie in them",
			SHARE_CHECK_PROTECTED_MAX);
	list->ids[list->count].device = st->st_dev;
	list->ids[list->count].inode = st->st_ino;
	list->count++;
	return 0;
}

/* If file lies in the share: itself and each folder between, the share's root left out. */
static int protect_file(const struct spec_share *share, const char *file,
	struct share_protected *list, struct err *err)
{
	struct identity root = { share->device, share->inode }, above[DEPTH_MAX];
	char path[PATH_MAX];
	struct stat st;
	size_t count;
	int r;

	if (!realpath(file, path) || stat(path, &st) < 0)
		return 0; /* what is not there does not run */
	r = snprintf(path, sizeof(path), "%s", file);
	count = r > 0 && (size_t)r < sizeof(path) ? ancestors_of(dirname(path), above) : 0;
	if (!is_among(root, above, count))
		return 0;
	r = protect(list, &st, err);
	for (size_t i = 0; i < count && r == 0 && !same(above[i], root); i++) {
		st.st_dev = above[i].device;
		st.st_ino = above[i].inode;
		r = protect(list, &st, err);
	}
	return r;
}

static int protect_all(
	const struct spec_share *share, struct share_protected *list, struct err *err)
{
	static const char *const programs[] = { "sandboxctl", "sandbox-supervisor", "sandbox-vmm",
		"sandbox-link", "sandbox-agent" };
	static const char *const scripts[] = { "initramfs/build", "tools/fetch", "kernel/fetch",
		"kernel/build" };
	char path[PATH_MAX], beside[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(programs) && r == 0; i++)
		if (paths_find_program(programs[i], path, NULL) == 0)
			r = protect_file(share, path, list, err);
	for (size_t i = 0; i < ARRAY_SIZE(scripts) && r == 0; i++)
		if (paths_find_image_script(scripts[i], path, NULL) == 0) {
			r = protect_file(share, path, list, err);
			/* What the scripts source. */
			*strrchr(path, '/') = '\0';
			*strrchr(path, '/') = '\0';
			if (r == 0 &&
				snprintf(beside, sizeof(beside), "%s/cache.bash", path) < PATH_MAX)
				r = protect_file(share, beside, list, err);
		}
	return r;
}

static int check_one(const struct paths *paths, const struct spec_share *share,
	struct share_protected *list, struct err *err)
{
	int r = check_share(paths, share, err);

	return r < 0 || share->readonly ? r : protect_all(share, list, err);
}

int share_check(const struct paths *paths, const struct spec *spec,
	struct share_protected *protected_ids, struct err *err)
{
	int r = spec->workspace.host ? check_one(paths, &spec->workspace, protected_ids, err) : 0;

	for (size_t i = 0; i < spec->share_count && r == 0; i++)
		r = check_one(paths, &spec->shares[i], protected_ids, err);
	return r;
}
