/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"

static int format_path(char out[static PATH_MAX], struct err *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int format_path(char out[static PATH_MAX], struct err *err, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out, PATH_MAX, format, args);
	va_end(args);
	if (n < 0 || n >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "path %.64s...: longer than %d bytes", out,
			PATH_MAX - 1);
	return 0;
}

/* $variable, or HOME/otherwise; ret gets the product's folder in it. */
static int load_one(
	const char *variable, const char *otherwise, char ret[static PATH_MAX], struct err *err)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && *base) {
		if (base[0] != '/')
			return err_set(err, -EINVAL, "%s: not an absolute path", variable);
		return format_path(ret, err, "%s/%s", base, PATHS_PROGRAM);
	}
	if (!home || home[0] != '/') {
		err_set(err, -ENOENT, "HOME is not set to an absolute path, nor is %s", variable);
		err_next_step(err, "set HOME to your home folder");
		return -ENOENT;
	}
	return format_path(ret, err, "%s/%s/%s", home, otherwise, PATHS_PROGRAM);
}

int paths_load(struct paths *ret, struct err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int r = load_one("XDG_STATE_HOME", ".local/state", ret->state, err);

	if (r == 0)
		r = load_one("XDG_CACHE_HOME", ".cache", ret->cache, err);
	if (r == 0)
		r = load_one("XDG_CONFIG_HOME", ".config", ret->config, err);
	if (r == 0)
		r = load_one("XDG_DATA_HOME", ".local/share", ret->data, err);
	if (r < 0)
		return r;
	if (runtime && *runtime)
		return load_one("XDG_RUNTIME_DIR", "", ret->runtime, err);
	return format_path(ret->runtime, err, "%s/run", ret->state);
}

/* Whether nobody but root and us could swap what lies in the folder. */
static int check_ancestor(const char *path, const struct stat *st, struct err *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, -EPERM, "folder %s: belongs to uid %u, not to root or us", path,
			(unsigned int)st->st_uid);
	if (st->st_mode & S_IWOTH)
		return err_set(err, -EPERM,
			"folder %s: anybody may write in it; sockets and state must not lie below it",
			path);
	if (st->st_mode & S_IWGRP && st->st_gid != 0 && st->st_gid != getegid())
		return err_set(err, -EPERM, "folder %s: its group %u may write in it", path,
			(unsigned int)st->st_gid);
	return 0;
}

static int check_private(const char *path, const struct stat *st, struct err *err)
{
	if (!S_ISDIR(st->st_mode))
		return err_set(err, -ENOTDIR, "%s: not a folder", path);
	if (st->st_uid != geteuid())
		return err_set(err, -EPERM, "folder %s: belongs to uid %u, not to us", path,
			(unsigned int)st->st_uid);
	if (st->st_mode & 077) {
		err_set(err, -EPERM, "folder %s: others may enter it (mode %03o)", path,
			(unsigned int)(st->st_mode & 0777));
		err_next_step(err, "chmod 700 '%s'", path);
		return -EPERM;
	}
	return 0;
}

/* One step down; *fd is replaced. A link among the ancestors is allowed: what it leads to is checked like any other. */
static int step_down(int *fd, const char *component, bool last, struct err *err, const char *path)
{
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC | (last ? O_NOFOLLOW : 0);
	int next = openat(*fd, component, flags);

	if (next < 0 && errno == ENOENT && last) {
		if (mkdirat(*fd, component, 0700) < 0 && errno != EEXIST)
			return err_set(err, -errno, "folder %s: cannot make it: %s", path,
				strerror(errno));
		next = openat(*fd, component, flags);
	}
	if (next < 0)
		return err_set(err, -errno, "folder %s: %s", path,
			errno == ENOTDIR || errno == ELOOP ? "a link or not a folder"
							   : strerror(errno));
	close(*fd);
	*fd = next;
	return 0;
}

int paths_open_private(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_free_ char *canonical_parent = NULL, *copy = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash, *rest, *part;
	struct stat st;
	int r;

	slash = copy ? strrchr(copy, '/') : NULL;
	if (!slash || copy[0] != '/' || !slash[1])
		return err_set(err, -EINVAL, "folder %s: not an absolute path", path);
	/* Links above are resolved first, then every folder of what they lead to is looked at, from the root down. */
	*slash = '\0';
	canonical_parent = realpath(*copy ? copy : "/", NULL);
	if (!canonical_parent)
		return err_set(err, -errno, "folder %s: %s", copy, strerror(errno));
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "folder /: %s", strerror(errno));
	rest = canonical_parent + 1;
	while ((part = strsep(&rest, "/"))) {
		char shown[PATH_MAX]; /* what fd is: all before part */

		snprintf(shown, sizeof(shown), "%.*s",
			(int)MAX(part - canonical_parent - 1, (ptrdiff_t)1), canonical_parent);
		if (fstat(fd, &st) < 0)
			return err_set(err, -errno, "folder %s: %s", path, strerror(errno));
		r = check_ancestor(shown, &st, err);
		if (r == 0 && *part)
			r = step_down(&fd, part, false, err, path);
		if (r < 0)
			return r;
		if (rest)
			rest[-1] = '/';
	}
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "folder %s: %s", path, strerror(errno));
	r = check_ancestor(canonical_parent, &st, err);
	if (r == 0)
		r = step_down(&fd, slash + 1, true, err, path);
	if (r == 0 && fstat(fd, &st) < 0)
		r = err_set(err, -errno, "folder %s: %s", path, strerror(errno));
	if (r == 0)
		r = check_private(path, &st, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Parents of an XDG folder may be missing on a new account: made 0700, as the specification asks. */
static int prepare_folder(const char *path, struct err *err)
{
	_cleanup_free_ char *parent = strdup(path);
	_cleanup_close_ int fd = -1;
	int r;

	if (!parent)
		return err_set(err, -ENOMEM, "folder %s: out of memory", path);
	*strrchr(parent, '/') = '\0';
	r = fdio_mkdir_parents(parent, 0700);
	if (r < 0)
		return err_set(err, r, "folder %s: cannot make it: %s", parent, strerror(-r));
	return paths_open_private(path, &fd, err);
}

static int prepare_state(const struct paths *paths, struct err *err)
{
	char sandboxes[PATH_MAX];
	int r = format_path(sandboxes, err, "%s/sandboxes", paths->state);

	if (r == 0)
		r = prepare_folder(paths->state, err);
	if (r == 0)
		r = prepare_folder(sandboxes, err);
	if (r == -ENOSPC || r == -EDQUOT)
		err_next_step(err, "make room there, or set XDG_STATE_HOME to another folder");
	else if (r < 0 && err && !err->next_step[0])
		err_next_step(err, "set XDG_STATE_HOME to a folder that is yours alone");
	return r;
}

/* Whoever logs a user in makes $XDG_RUNTIME_DIR; one that is not there is another's or of another session. */
static int prepare_runtime(const struct paths *paths, struct err *err)
{
	_cleanup_close_ int fd = -1;
	int r = paths_open_private(paths->runtime, &fd, err);

	if (r == -ENOSPC || r == -EDQUOT)
		err_next_step(err, "make room there");
	else if (r < 0 && err && !err->next_step[0])
		err_next_step(
			err, "set XDG_RUNTIME_DIR to a folder that is yours alone, or unset it");
	return r;
}

/* A folder that is looked at as an ancestor is, with all above it. 0 where it is not there. */
static int check_not_writable(const char *path, struct err *err)
{
	char at[PATH_MAX];
	struct stat st;

	if (!realpath(path, at))
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "folder %s: %s", path, strerror(errno));
	for (;;) {
		char *slash = strrchr(at, '/');
		int r = stat(at, &st) < 0
				? err_set(err, -errno, "folder %s: %s", at, strerror(errno))
				: check_ancestor(at, &st, err);

		if (r < 0 || !slash[1])
			return r;
		slash[slash == at ? 1 : 0] = '\0';
	}
}

/* E17: kernels, what the guest begins with and its tools lie here: nobody else may put theirs in their place. */
static int check_cache(const struct paths *paths, struct err *err)
{
	static const char *const parts[] = { "", "/kernels", "/vmlinux", "/vmlinux/by-stat",
		"/initramfs", "/initramfs/by-stat", "/tools" };
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++) {
		r = format_path(path, err, "%s%s", paths->cache, parts[i]);
		if (r == 0)
			r = check_not_writable(path, err);
	}
	if (r < 0 && err && !err->next_step[0])
		err_next_step(err, "set XDG_CACHE_HOME to a folder that is yours alone, or take "
				   "that right away: chmod go-w");
	return r;
}

int paths_prepare(const struct paths *paths, struct err *err)
{
	int r = prepare_state(paths, err);

	if (r == 0)
		r = prepare_runtime(paths, err);
	return r < 0 ? r : check_cache(paths, err);
}

static int path_below(const char *base, const char *name, const char *file,
	char ret_path[static PATH_MAX], struct err *err)
{
	if (!sandbox_name_valid(name))
		return err_set(
			err, -EINVAL, "name %s: not of the form [a-z0-9][a-z0-9-]{0,40}", name);
	if (file)
		return format_path(ret_path, err, "%s/%s/%s", base, name, file);
	return format_path(ret_path, err, "%s/%s", base, name);
}

int paths_of_state(const struct paths *paths, const char *name, const char *file,
	char ret_path[static PATH_MAX], struct err *err)
{
	char base[PATH_MAX];
	int r = format_path(base, err, "%s/sandboxes", paths->state);

	return r < 0 ? r : path_below(base, name, file, ret_path, err);
}

int paths_of_runtime(const struct paths *paths, const char *name, const char *file,
	char ret_path[static PATH_MAX], struct err *err)
{
	int r = path_below(paths->runtime, name, file, ret_path, err);
	size_t len;

	if (r < 0)
		return r;
	len = strlen(ret_path);
	if (len > PATHS_SOCKET_MAX && strcmp(ret_path + len - 5, ".sock") == 0) {
		err_set(err, -ENAMETOOLONG, "socket %s: its path has %zu bytes, the most is %d",
			ret_path, len, PATHS_SOCKET_MAX);
		err_next_step(err, "set XDG_RUNTIME_DIR to a shorter path of your own (mode 0700)");
		return -ENAMETOOLONG;
	}
	return 0;
}

/* The folder of the running program. */
static int own_folder(char ret[static PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

#ifndef LIBEXEC_FOLDER
#define LIBEXEC_FOLDER "/usr/local/libexec/sandboxctl"
#endif
#ifndef SOURCE_IMAGES_FOLDER
#define SOURCE_IMAGES_FOLDER LIBEXEC_FOLDER "/images"
#endif

/* From bin/ of an installation to its libexec/, wherever the whole was put (DESTDIR, a copied prefix). */
#define BESIDE_BIN "../libexec/sandboxctl"

/* The first of these folders that has an executable of this name. -ENOENT names the first and the last. */
static int find_in(const char *what, const char *const *folders, size_t count, const char *name,
	char ret_path[static PATH_MAX], struct err *err)
{
	char found[PATH_MAX];

	for (size_t i = 0; i < count; i++) {
		int r = format_path(found, err, "%s/%s", folders[i], name);

		if (r < 0)
			return r;
		if (access(found, X_OK) == 0) {
			strcpy(ret_path, found);
			return 0;
		}
	}
	return err_set(err, -ENOENT, "%s %s: neither in %s nor in %s", what, name, folders[0],
		folders[count - 1]);
}

int paths_find_program(const char *program, char ret_path[static PATH_MAX], struct err *err)
{
	char own[PATH_MAX], beside_bin[PATH_MAX];
	const char *const folders[] = { own, beside_bin, LIBEXEC_FOLDER };
	int r = own_folder(own);

	if (r < 0)
		return err_set(err, r, "program %s: /proc/self/exe: %s", program, strerror(-r));
	r = format_path(beside_bin, err, "%s/" BESIDE_BIN, own);
	return r < 0 ? r : find_in("program", folders, ARRAY_SIZE(folders), program, ret_path, err);
}

int paths_find_image_script(const char *script, char ret_path[static PATH_MAX], struct err *err)
{
	char own[PATH_MAX], beside[PATH_MAX], beside_bin[PATH_MAX];
	const char *const folders[] = { beside, beside_bin, SOURCE_IMAGES_FOLDER,
		LIBEXEC_FOLDER "/images" };
	int r = own_folder(own);

	if (r < 0)
		return err_set(err, r, "images/%s: /proc/self/exe: %s", script, strerror(-r));
	r = format_path(beside, err, "%s/images", own);
	if (r == 0)
		r = format_path(beside_bin, err, "%s/" BESIDE_BIN "/images", own);
	return r < 0 ? r
		     : find_in("image script", folders, ARRAY_SIZE(folders), script, ret_path, err);
}
