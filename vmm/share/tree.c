/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define NO_WAY_OUT     (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)
#define REAL_MODE_BITS 0777 /* S3: what may become real of a mode */
#define STEP_TRIES     8 /* openat2 says EAGAIN where renames race with it */

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

int tree_init(struct tree *tree, int root_fd, int proc_fd, const char *proc_path, bool readonly,
	bool strangers_only)
{
	struct statx stx;
	int r;

	if (strlen(proc_path) + 12 > TREE_PROC_MAX)
		return -ENAMETOOLONG;
	r = tree_stat(root_fd, &stx);
	if (r < 0)
		return r;
	if (!S_ISDIR(stx.stx_mode))
		return -ENOTDIR;
	*tree = (struct tree){
		.root_fd = root_fd,
		.proc_fd = proc_fd,
		.readonly = readonly,
		.strangers_only = strangers_only,
	};
	strcpy(tree->proc_path, proc_path);
	return 0;
}

int tree_name_check(const char *name, size_t len)
{
	if (len > TREE_NAME_MAX)
		return -ENAMETOOLONG;
	if (!len)
		return -ENOENT;
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

/* Our own callers check; this is the second lock on the same door. */
static int check(const char *name)
{
	return tree_name_check(name, strnlen(name, TREE_NAME_MAX + 1));
}

int tree_stat(int fd, struct statx *ret)
{
	return result(statx(fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, TREE_STATX_MASK, ret));
}

int tree_stat_child(int dir_fd, const char *name, struct statx *ret)
{
	int r = check(name);

	return r < 0 ? r
		     : result(statx(dir_fd, name,
			       AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT,
			       TREE_STATX_MASK, ret));
}

struct tree_id tree_id(const struct statx *stx)
{
	uint64_t birth_ns = 0;

	if (stx->stx_mask & STATX_BTIME)
		birth_ns = (uint64_t)stx->stx_btime.tv_sec * 1000000000u + stx->stx_btime.tv_nsec;
	return (struct tree_id){
		.device = (uint64_t)stx->stx_dev_major << 32 | stx->stx_dev_minor,
		.inode = stx->stx_ino,
		.birth_ns = birth_ns,
	};
}

bool tree_id_equal(const struct tree_id *a, const struct tree_id *b)
{
	return a->device == b->device && a->inode == b->inode && a->birth_ns == b->birth_ns;
}

/* An own fd by its number, as a name below proc_fd. */
struct fd_name {
	char text[12];
};

static struct fd_name fd_name(int fd)
{
	struct fd_name name;
	char *p = name.text + sizeof(name.text);
	unsigned int v = (unsigned int)fd;

	*--p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	memmove(name.text, p, (size_t)(name.text + sizeof(name.text) - p));
	return name;
}

struct fd_path {
	char text[TREE_PROC_MAX + 12];
};

static struct fd_path fd_path(const struct tree *tree, int fd)
{
	struct fd_path path;
	size_t len = strlen(tree->proc_path);

	memcpy(path.text, tree->proc_path, len);
	path.text[len] = '/';
	strcpy(path.text + len + 1, fd_name(fd).text);
	return path;
}

static int step(int dir_fd, const char *name, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = NO_WAY_OUT };
	long fd;

	for (int i = 0; i < STEP_TRIES; i++) {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return result(fd);
}

/* S11: whether any stranger may step through a folder (bit S_IXOTH) or read what is in it (S_IROTH). */
static int check_stranger(const struct tree *tree, int fd, mode_t bit)
{
	struct statx stx;
	int r;

	if (!tree->strangers_only)
		return 0;
	r = tree_stat(fd, &stx);
	if (r < 0)
		return r;
	return stx.stx_mode & bit ? 0 : -EACCES;
}

int tree_open_child(const struct tree *tree, int dir_fd, const char *name)
{
	int r = check(name);

	if (r < 0)
		return r;
	r = check_stranger(tree, dir_fd, S_IXOTH);
	if (r < 0)
		return r;
	return step(dir_fd, name, O_PATH | O_NOFOLLOW, 0);
}

static int read_fd_link(const struct tree *tree, int fd, char ret_path[static TREE_PATH_MAX])
{
	ssize_t len = readlinkat(tree->proc_fd, fd_name(fd).text, ret_path, TREE_PATH_MAX);

	if (len < 0)
		return -errno;
	if (len >= TREE_PATH_MAX)
		return -ENAMETOOLONG;
	ret_path[len] = '\0';
	return (int)len;
}

int tree_path_of(const struct tree *tree, int fd, char ret_path[static TREE_PATH_MAX])
{
	char root[TREE_PATH_MAX], path[TREE_PATH_MAX];
	int root_len = read_fd_link(tree, tree->root_fd, root);
	int len = read_fd_link(tree, fd, path);

	if (root_len < 0)
		return root_len;
	if (len < 0)
		return len;
	if (root_len == 1) /* "/" itself */
		root_len = 0;
	if (len < root_len || memcmp(path, root, (size_t)root_len))
		return -EXDEV;
	if (len > root_len && path[root_len] != '/')
		return -EXDEV;
	strcpy(ret_path, path + root_len + (len > root_len));
	return 0;
}

static int duplicate(int fd)
{
	return result(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int tree_walk(const struct tree *tree, const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = duplicate(tree->root_fd);
	char name[TREE_NAME_MAX + 1];

	if (fd < 0)
		return fd;
	for (unsigned int depth = 0; *path; depth++) {
		size_t len = strcspn(path, "/");
		int child;

		if (depth == TREE_DEPTH_MAX || len > TREE_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		child = tree_open_child(tree, fd, name);
		if (child < 0)
			return child;
		close(fd);
		fd = child;
		path += len + (path[len] == '/');
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Whether `name` in dir_fd is the file of fd now. */
static int check_is(const struct tree *tree, int dir_fd, const char *name, int fd)
{
	_cleanup_close_ int found = tree_open_child(tree, dir_fd, name);
	struct statx wanted, seen;
	struct tree_id wanted_id, seen_id;
	int r;

	if (found < 0)
		return found;
	r = tree_stat(fd, &wanted);
	if (r >= 0)
		r = tree_stat(found, &seen);
	if (r < 0)
		return r;
	wanted_id = tree_id(&wanted);
	seen_id = tree_id(&seen);
	return tree_id_equal(&wanted_id, &seen_id) ? 0 : -ENOENT;
}

int tree_open_parent(
	const struct tree *tree, int fd, int *ret_dir_fd, char ret_name[static TREE_NAME_MAX + 1])
{
	char path[TREE_PATH_MAX], *name;
	_cleanup_close_ int dir_fd = -1;
	int r = tree_path_of(tree, fd, path);

	if (r < 0)
		return r;
	if (!*path)
		return -EXDEV;
	name = strrchr(path, '/');
	if (name)
		*name++ = '\0';
	else
		name = path;
	r = tree_walk(tree, name == path ? "" : path, &dir_fd);
	if (r < 0)
		return r;
	r = check(name);
	if (r >= 0)
		r = check_is(tree, dir_fd, name, fd);
	if (r < 0)
		return r;
	strcpy(ret_name, name);
	*ret_dir_fd = TAKE_FD(dir_fd);
	return 0;
}

/* Opening a FIFO or a device does something; only files and folders are opened. What an inode is never changes. */
static int check_openable(const struct tree *tree, int fd, int flags)
{
	struct statx stx;
	int r = tree_stat(fd, &stx);

	if (r < 0)
		return r;
	if (S_ISLNK(stx.stx_mode))
		return -ELOOP;
	if (!S_ISREG(stx.stx_mode) && !S_ISDIR(stx.stx_mode))
		return -ENXIO;
	if (tree->strangers_only && !(stx.stx_mode & S_IROTH))
		return -EACCES;
	if (tree->readonly && (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		return -EROFS;
	return 0;
}

int tree_reopen(const struct tree *tree, int fd, int flags)
{
	int r = check_openable(tree, fd, flags);

	if (r < 0)
		return r;
	return result(openat(tree->proc_fd, fd_name(fd).text,
		(flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_PATH)) | O_CLOEXEC | O_NOCTTY));
}

/* Before any change by name. */
static int check_change(const struct tree *tree, const char *name, mode_t mode)
{
	if (tree->readonly)
		return -EROFS;
	if (mode & (mode_t)~REAL_MODE_BITS)
		return -EPERM;
	return check(name);
}

int tree_create_file(const struct tree *tree, int dir_fd, const char *name, int flags, mode_t mode)
{
	int r = check_change(tree, name, mode);

	if (r < 0)
		return r;
	return step(
		dir_fd, name, (uint64_t)(flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY), mode);
}

int tree_mkdir(const struct tree *tree, int dir_fd, const char *name, mode_t mode)
{
	int r = check_change(tree, name, mode);

	return r < 0 ? r : result(mkdirat(dir_fd, name, mode));
}

int tree_symlink(const struct tree *tree, int dir_fd, const char *name, const char *target)
{
	int r = check_change(tree, name, 0);

	return r < 0 ? r : result(symlinkat(target, dir_fd, name));
}

int tree_link(const struct tree *tree, int fd, int dir_fd, const char *name)
{
	int r = check_change(tree, name, 0);

	if (r < 0)
		return r;
	return result(linkat(tree->proc_fd, fd_name(fd).text, dir_fd, name, AT_SYMLINK_FOLLOW));
}

int tree_unlink(const struct tree *tree, int dir_fd, const char *name, bool directory)
{
	int r = check_change(tree, name, 0);

	return r < 0 ? r : result(unlinkat(dir_fd, name, directory ? AT_REMOVEDIR : 0));
}

int tree_rename(const struct tree *tree, int old_dir_fd, const char *old_name, int new_dir_fd,
	const char *new_name, unsigned int flags)
{
	int r = check_change(tree, old_name, 0);

	if (r >= 0)
		r = check(new_name);
	if (r < 0)
		return r;
	if (!flags)
		return result(renameat(old_dir_fd, old_name, new_dir_fd, new_name));
	return result(renameat2(old_dir_fd, old_name, new_dir_fd, new_name, flags));
}

ssize_t tree_readlink(int fd, char *data, size_t size)
{
	ssize_t len = readlinkat(fd, "", data, size);

	return len < 0 ? -errno : len;
}

int tree_chmod(const struct tree *tree, int fd, mode_t mode)
{
	if (tree->readonly)
		return -EROFS;
	if (mode & (mode_t)~REAL_MODE_BITS)
		return -EPERM;
	return result(fchmodat(tree->proc_fd, fd_name(fd).text, mode, 0));
}

int tree_truncate(const struct tree *tree, int fd, uint64_t size)
{
	int r = check_openable(tree, fd, O_WRONLY);

	if (r < 0)
		return r;
	if (size > INT64_MAX)
		return -EFBIG;
	return result(truncate(fd_path(tree, fd).text, (off_t)size));
}

int tree_set_times(const struct tree *tree, int fd, const struct timespec times[2])
{
	if (tree->readonly)
		return -EROFS;
	return result(utimensat(fd, "", times, AT_EMPTY_PATH));
}

ssize_t tree_getxattr(const struct tree *tree, int fd, const char *name, void *data, size_t size)
{
	ssize_t len = getxattr(fd_path(tree, fd).text, name, data, size);

	return len < 0 ? -errno : len;
}

ssize_t tree_listxattr(const struct tree *tree, int fd, char *data, size_t size)
{
	ssize_t len = listxattr(fd_path(tree, fd).text, data, size);

	return len < 0 ? -errno : len;
}

int tree_setxattr(
	const struct tree *tree, int fd, const char *name, const void *data, size_t size, int flags)
{
	if (tree->readonly)
		return -EROFS;
	return result(setxattr(fd_path(tree, fd).text, name, data, size, flags));
}

int tree_removexattr(const struct tree *tree, int fd, const char *name)
{
	if (tree->readonly)
		return -EROFS;
	return result(removexattr(fd_path(tree, fd).text, name));
}
