/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/share_rules.h"

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
#include "vmm/share/share_check.h"

#define PASSWD_LINE_MAX 16384
#define DEPTH_MAX	256

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

/* The home of whoever owns the share, where that is not $HOME: root works in other people's projects. */
static bool owners_home(const struct spec_share *share, char ret_home[static PATH_MAX])
{
	struct passwd user, *found = NULL;
	char text[PASSWD_LINE_MAX];
	struct stat st;

	if (stat(share->host, &st) < 0 || st.st_uid == 0 ||
		getpwuid_r(st.st_uid, &user, text, sizeof(text), &found) != 0 || !found ||
		user.pw_dir[0] != '/')
		return false;
	snprintf(ret_home, PATH_MAX, "%s", user.pw_dir);
	return true;
}

static int check_share(const struct paths *paths, const struct spec_share *share, struct err *err)
{
	const char *home = getenv("HOME");
	char other_home[PATH_MAX];
	struct share_place places[] = {
		{ "our configuration", paths->config, SHARE_PLACE_OURS },
		{ "our state", paths->state, SHARE_PLACE_OURS },
		{ "our images", paths->data, SHARE_PLACE_OURS },
		{ "our caches", paths->cache, SHARE_PLACE_OURS },
		{ "our sockets", paths->runtime, SHARE_PLACE_OURS },
		{},
		{},
	};
	struct share_root root;
	size_t count = 5;

	if (home && home[0] == '/')
		places[count++] = (struct share_place){ "the home folder", home, SHARE_PLACE_HOME };
	if (owners_home(share, other_home))
		places[count++] = (struct share_place){ "its owner's home folder", other_home,
			SHARE_PLACE_HOME };
	return share_check_root(share->host, places, count, &root, err);
}

static int protect(struct share_protected *list, const struct stat *st, struct err *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i].device == st->st_dev && list->ids[i].inode == st->st_ino)
			return 0;
	if (list->count == SHARE_RULES_PROTECTED_MAX)
		return err_set(err, -E2BIG, "shares: more than %d files of ours lie in them",
			SHARE_RULES_PROTECTED_MAX);
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
		"sandbox-link", "sandbox-agent", "sandbox-unpack", "sandbox-proxy",
		"sandbox-injector", "sandbox-audit", "sandbox-secret" };
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

int share_rules_check(const struct paths *paths, const struct spec *spec,
	struct share_protected *protected_ids, struct err *err)
{
	int r = spec->workspace.host ? check_one(paths, &spec->workspace, protected_ids, err) : 0;

	for (size_t i = 0; i < spec->share_count && r == 0; i++)
		r = check_one(paths, &spec->shares[i], protected_ids, err);
	return r;
}
