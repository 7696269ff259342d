/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One shared folder as a guest may use it: what 9p and virtio-fs both translate to. Each rule lives here once: confinement
 * (tree), ownership (idmap), files linked outside (S4), set-id bits cleared on write (S3), attributes' names (guard),
 * read-only (V5), what a stranger may read (S11), our own running binaries (S10).
 *
 * fds are the caller's: O_PATH or opened ones, of this share. Names are one component, NUL-terminated; they are checked
 * here. Errors: -errno, as the guest is to see them. One thread: the share's loop.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "vmm/base/err.h"
#include "vmm/share/idmap.h"
#include "vmm/share/links.h"
#include "vmm/share/tree.h"

#define SHARE_DEVICES_MAX                                                                          \
	256 /* file systems seen below one share (btrfs subvolumes, overlayfs layers) */
#define SHARE_PROTECTED_MAX 64
#define SHARE_REFUSED_MAX   16 /* files linked outside that are remembered by number */
#define SHARE_FDS_DEFAULT   4096
#define SHARE_FDS_MIN	    64
#define SHARE_XATTR_MAX	    65536 /* bytes of a value or of a list of names: the kernel's own limit */

struct share_config {
	int root_fd; /* taken over by share_init(), also where it fails */
	int proc_fd; /* /proc/self/fd; borrowed for the share's life */
	const char *proc_path; /* the same as a path; copied */
	enum idmap_kind kind;
	bool readonly;
	bool trust_hardlinks;
	/* fds that may be held for the guest, for files it has open and, as far as they go, for others it knows. 0: SHARE_FDS_DEFAULT. */
	uint32_t fds_max;
};

/*
 * S4, and what nlink alone cannot tell: a file whose name inside the share went while it had others outside has one name
 * left, and it is not ours. Whoever holds fds of files notes which were linked outside when they were found, and is told
 * of those that are left outside by a removal; share_found_inside() clears a file of that suspicion.
 */
struct share {
	void (*left_outside)(void *data, const struct tree_id *id); /* NULL: nobody holds fds */
	void *left_outside_data;
	struct tree tree;
	struct idmap idmap;
	struct links links;
	bool trust_hardlinks;
	uint64_t linked_outside; /* requests refused by S4 */
	struct share_file {
		uint64_t device, inode; /* as share_device_of() tells */
	} refused[SHARE_REFUSED_MAX]; /* the first files that it refused, each once */
	unsigned int refused_count;
	uint64_t devices[SHARE_DEVICES_MAX]; /* the place is the number in qid paths */
	unsigned int device_count;
	uint64_t root_qid_path;
	struct {
		uint64_t device, inode;
	} protected_ids[SHARE_PROTECTED_MAX];
	unsigned int protected_count;
};

/* Who asks: owner of what is made. */
struct share_user {
	uint32_t uid, gid;
};

/* What setattr changes: SHARE_SET_* bits. */
enum share_set {
	SHARE_SET_MODE = 1 << 0,
	SHARE_SET_UID = 1 << 1,
	SHARE_SET_GID = 1 << 2,
	SHARE_SET_SIZE = 1 << 3,
	SHARE_SET_TIMES = 1 << 4,
};

struct share_change {
	unsigned int set;
	mode_t mode;
	uint32_t uid, gid;
	uint64_t size;
	struct timespec times[2]; /* as for utimensat(2), UTIME_NOW and UTIME_OMIT included */
};

int share_init(struct share *share, const struct share_config *config, struct err *err);
void share_finish(struct share *share);

/*
 * The file (device, inode as stat tells them) cannot be written, replaced, renamed or removed, nor can, if it is a folder,
 * its name. For the binaries that run, and every folder on the way to them (S10). -ENOSPC above SHARE_PROTECTED_MAX.
 */
int share_protect(struct share *share, uint64_t device, uint64_t inode);

/*
 * Unique over device and inode as long as the share lives. On the root's own file system such that a guest sees the host's
 * inode numbers: git's index knows files by them, and else each side would read every file again after the other's status.
 */
uint64_t share_qid_path(struct share *share, uint64_t device, uint64_t inode);
uint64_t share_device_of(const struct statx *stx);

int share_lookup(const struct share *share, int dir_fd, const char *name); /* an O_PATH fd */
/* `..`: the root's is itself. An O_PATH fd. */
int share_lookup_parent(const struct share *share, int fd);

int share_getattr(const struct share *share, int fd, struct statx *ret);
int share_setattr(struct share *share, int fd, const struct share_change *change);

/* flags: access mode, O_TRUNC, O_APPEND, O_DSYNC, O_SYNC, O_DIRECTORY; others are left out. */
int share_open(struct share *share, int fd, int flags);
/* As open(2) with O_CREAT, O_EXCL if it is in flags. mode is permissions. Gives an opened fd. *ret: real attributes. *ret_epoch: its own,
 * for share_before_write(). */
int share_create(struct share *share, int dir_fd, const char *name, int flags, mode_t mode,
	const struct share_user *user, struct statx *ret, uint64_t *ret_epoch);
/*
 * Before each write through an opened fd: -EPERM where it counts as linked outside by now (S4), and set-id bits go (S3).
 * *epoch is the opened file's, 0 at first.
 */
int share_before_write(struct share *share, int fd, uint64_t *epoch);

/* mode with its type: S_IFDIR for mkdir. *ret: real attributes of what was made. */
int share_mkdir(struct share *share, int dir_fd, const char *name, mode_t mode,
	const struct share_user *user, struct statx *ret);
int share_mknod(struct share *share, int dir_fd, const char *name, mode_t mode, uint64_t rdev,
	const struct share_user *user, struct statx *ret);
int share_symlink(struct share *share, int dir_fd, const char *name, const char *target,
	const struct share_user *user, struct statx *ret);

int share_link(struct share *share, int fd, int dir_fd, const char *name);
int share_unlink(struct share *share, int dir_fd, const char *name, bool directory);
int share_rename(struct share *share, int old_dir_fd, const char *old_name, int new_dir_fd,
	const char *new_name);
ssize_t share_readlink(const struct share *share, int fd, char *data, size_t size);

/* size 0 asks for the size. Names that guard hides are -ENODATA to read, -EOPNOTSUPP to write, left out of lists. */
ssize_t share_getxattr(
	const struct share *share, int fd, const char *name, void *data, size_t size);
ssize_t share_listxattr(const struct share *share, int fd, char *data, size_t size);
/* data NULL: removes. flags: XATTR_CREATE, XATTR_REPLACE. */
int share_setxattr(
	struct share *share, int fd, const char *name, const void *data, size_t size, int flags);

/* Whether a file has more names than this server knows to be the share's (never with trust_hardlinks). */
bool share_linked_outside(struct share *share, const struct statx *real);
/* 0: all names of the fd's file are the share's, and the one it was found by is still there. -EPERM, counted, if not. */
int share_found_inside(struct share *share, int fd);

int share_statfs(int fd, struct statfs *ret);
