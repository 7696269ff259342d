/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Host files, confined to one folder: the only place that gives names to the host's file system on a guest's word.
 *
 * Theory of operation. A file is an fd (O_PATH, or one that was opened) and never a path. A step takes one name, checked
 * by tree_name_check(), from a folder's fd. openat2(2) with RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV makes
 * the step; calls that have no such form (mkdirat, unlinkat, renameat2, ...) never follow the last component, and there
 * is no other one. So neither `..`, `/`, symlinks, magic links and mounts (S1) nor any swap of names between two requests
 * (S2) lead out. An O_PATH fd is opened for use through the process's own /proc/self/fd, which the jail leaves at /fd:
 * a number of ours, made into text here.
 *
 * Of host trees that are not the user's own gift (`strangers_only`, the image `host`), only what any stranger may read
 * is shown: a folder is stepped through if it is o+x, opened if it is o+r (S11).
 *
 * Threads: one, the share's loop. Errors: -errno. All fds are CLOEXEC and the caller's, except root_fd and proc_fd, which
 * the tree borrows for its life. Nothing here allocates.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TREE_NAME_MAX	255
#define TREE_DEPTH_MAX	256 /* components of a path that is walked */
#define TREE_PROC_MAX	32
#define TREE_PATH_MAX	4096
#define TREE_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME)

struct tree {
	int root_fd; /* O_PATH or O_RDONLY folder, opened where no path leads out (design: jail) */
	int proc_fd; /* /proc/self/fd of this process */
	char proc_path[TREE_PROC_MAX]; /* the same as a path: "/fd" in the jail */
	bool readonly; /* every change is -EROFS (V5) */
	bool strangers_only; /* S11 */
};

/* Who a file is. Inode numbers come back after a delete; the birth time tells the new one apart where there is one. */
struct tree_id {
	uint64_t device, inode, birth_ns;
};

/* -ENAMETOOLONG where the path of proc_path is; -ENOTDIR where root_fd is no folder. */
int tree_init(struct tree *tree, int root_fd, int proc_fd, const char *proc_path, bool readonly,
	bool strangers_only);

/* len bytes are one component a file may have: not empty, `.`, `..`, no `/`, no NUL, at most TREE_NAME_MAX. */
int tree_name_check(const char *name, size_t len);

/* statx(2) of an fd, with the birth time. */
int tree_stat(int fd, struct statx *ret);
/* The same of a name in a folder, links not followed. */
int tree_stat_child(int dir_fd, const char *name, struct statx *ret);
struct tree_id tree_id(const struct statx *stx);
bool tree_id_equal(const struct tree_id *a, const struct tree_id *b);

/* One step down; an O_PATH fd, of a symlink itself too. */
int tree_open_child(const struct tree *tree, int dir_fd, const char *name);
/*
 * Where a file is now: its folder (O_PATH fd) and, if ret_name is given, its name there. -ENOENT where it was removed or
 * moves about too fast; -EXDEV for the root itself and for what is not below it any more.
 */
int tree_open_parent(
	const struct tree *tree, int fd, int *ret_dir_fd, char ret_name[static TREE_NAME_MAX + 1]);
/* The path below the root, without a leading slash ("" for the root), as the kernel tells it. Only a hint. */
int tree_path_of(const struct tree *tree, int fd, char ret_path[static TREE_PATH_MAX]);
/* Walks a relative path, one component at a time. Empty: the root again. */
int tree_walk(const struct tree *tree, const char *path, int *ret_fd);

/* Opens a regular file or folder for use; whatever else an fd may be is -ENXIO, symlinks -ELOOP. flags as of open(2). */
int tree_reopen(const struct tree *tree, int fd, int flags);
/* A new regular file (O_CREAT | O_EXCL added). mode has no set-id or sticky bit, else -EPERM (S3). */
int tree_create_file(const struct tree *tree, int dir_fd, const char *name, int flags, mode_t mode);

int tree_mkdir(const struct tree *tree, int dir_fd, const char *name, mode_t mode);
int tree_symlink(const struct tree *tree, int dir_fd, const char *name, const char *target);
int tree_link(const struct tree *tree, int fd, int dir_fd, const char *name);
int tree_unlink(const struct tree *tree, int dir_fd, const char *name, bool directory);
int tree_rename(const struct tree *tree, int old_dir_fd, const char *old_name, int new_dir_fd,
	const char *new_name, unsigned int flags);
/* The target's length; not NUL-terminated. */
ssize_t tree_readlink(int fd, char *data, size_t size);

int tree_chmod(const struct tree *tree, int fd, mode_t mode); /* S3 as for tree_create_file */
int tree_truncate(const struct tree *tree, int fd, uint64_t size);
int tree_set_times(const struct tree *tree, int fd, const struct timespec times[2]);

ssize_t tree_getxattr(const struct tree *tree, int fd, const char *name, void *data, size_t size);
ssize_t tree_listxattr(const struct tree *tree, int fd, char *data, size_t size);
int tree_setxattr(const struct tree *tree, int fd, const char *name, const void *data, size_t size,
	int flags);
int tree_removexattr(const struct tree *tree, int fd, const char *name);
