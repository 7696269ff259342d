/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/share/guard.h"

#define OPEN_FLAGS    (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY)
#define INODE_BITS    56 /* of a qid path; the rest is the device's number */
#define QID_PATH_STEP 2 /* Linux's 9p client (6.1, 6.12) makes qid path + 2 the inode number */

static int init_parts(struct share *share, const struct share_config *config)
{
	int r = tree_init(&share->tree, config->root_fd, config->proc_fd, config->proc_path,
		config->readonly || config->kind != IDMAP_MAPPED, config->kind == IDMAP_HOST);

	if (r >= 0)
		r = idmap_init(&share->idmap, &share->tree, config->kind);
	if (r >= 0)
		r = links_init(&share->links);
	return r;
}

int share_init(struct share *share, const struct share_config *config, struct err *err)
{
	struct statx stx;
	int r;

	*share = (struct share){ .trust_hardlinks = config->trust_hardlinks };
	r = init_parts(share, config);
	if (r >= 0)
		r = tree_stat(config->root_fd, &stx);
	if (r < 0) {
		share->tree.root_fd = config->root_fd;
		share_finish(share);
		return err_set(err, r, "share: cannot serve the folder");
	}
	/* The root's file system is number 0, so that inode numbers are the same inside and outside. */
	share->root_qid_path = share_qid_path(share, share_device_of(&stx), stx.stx_ino);
	return 0;
}

void share_finish(struct share *share)
{
	idmap_finish(&share->idmap);
	links_finish(&share->links);
	close_keeping_errno(share->tree.root_fd);
	share->tree.root_fd = -1;
}

int share_protect(struct share *share, uint64_t device, uint64_t inode)
{
	if (share->protected_count == SHARE_PROTECTED_MAX)
		return -ENOSPC;
	share->protected_ids[share->protected_count].device = device;
	share->protected_ids[share->protected_count++].inode = inode;
	return 0;
}

static bool is_protected(const struct share *share, const struct statx *stx)
{
	for (unsigned int i = 0; i < share->protected_count; i++)
		if (share->protected_ids[i].inode == stx->stx_ino &&
			share->protected_ids[i].device == share_device_of(stx))
			return true;
	return false;
}

uint64_t share_device_of(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

uint64_t share_qid_path(struct share *share, uint64_t device, uint64_t inode)
{
	unsigned int i = 0;

	while (i < share->device_count && share->devices[i] != device)
		i++;
	if (i == share->device_count && i < SHARE_DEVICES_MAX - 1)
		share->devices[share->device_count++] = device;
	if (!i)
		return inode - QID_PATH_STEP;
	/* Inode numbers that use the top bits (overlayfs) are folded: unlikely to meet, and only the guest would mind. */
	if (inode >> INODE_BITS)
		inode = inode * 0x9e3779b97f4a7c15u >> (64 - INODE_BITS);
	return (uint64_t)i << INODE_BITS | inode;
}

int share_lookup(const struct share *share, int dir_fd, const char *name)
{
	return tree_open_child(&share->tree, dir_fd, name);
}

static int duplicate(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? -errno : r;
}

int share_lookup_parent(const struct share *share, int fd)
{
	char name[TREE_NAME_MAX + 1];
	struct statx root, stx;
	struct tree_id root_id, id;
	int parent, r = tree_stat(fd, &stx);

	if (r >= 0)
		r = tree_stat(share->tree.root_fd, &root);
	if (r < 0)
		return r;
	root_id = tree_id(&root);
	id = tree_id(&stx);
	if (tree_id_equal(&root_id, &id))
		return duplicate(share->tree.root_fd);
	r = tree_open_parent(&share->tree, fd, &parent, name);
	return r < 0 ? r : parent;
}

int share_getattr(const struct share *share, int fd, struct statx *ret)
{
	int r = tree_stat(fd, ret);

	if (r < 0)
		return r;
	idmap_view(&share->idmap, fd, ret);
	return 0;
}

/* Folders have many links by nature. */
bool share_linked_outside(struct share *share, const struct statx *real)
{
	struct tree_id id = tree_id(real);

	return !share->trust_hardlinks && !S_ISDIR(real->stx_mode) &&
	       !links_all_ours(&share->links, &id, real->stx_nlink);
}

/* S4: for `status`, which names them. */
static int refuse(struct share *share, const struct statx *real)
{
	struct share_file file = { .device = share_device_of(real), .inode = real->stx_ino };
	unsigned int i = 0;

	share->linked_outside++;
	while (i < share->refused_count &&
		(share->refused[i].inode != file.inode || share->refused[i].device != file.device))
		i++;
	if (i == share->refused_count && i < SHARE_REFUSED_MAX)
		share->refused[share->refused_count++] = file;
	return -EPERM;
}

static int check_linked_outside(struct share *share, const struct statx *real)
{
	return share_linked_outside(share, real) ? refuse(share, real) : 0;
}

int share_found_inside(struct share *share, int fd)
{
	_cleanup_close_ int dir_fd = -1;
	char name[TREE_NAME_MAX + 1];
	struct statx real;
	int r = tree_stat(fd, &real);

	if (r < 0)
		return r;
	r = check_linked_outside(share, &real);
	if (r < 0 || tree_open_parent(&share->tree, fd, &dir_fd, name) >= 0)
		return r;
	return refuse(share, &real);
}

/* Before any change of a file itself, through an fd. */
static int check_changeable(struct share *share, int fd, struct statx *ret)
{
	int r;

	if (share->tree.readonly)
		return -EROFS;
	r = tree_stat(fd, ret);
	if (r < 0)
		return r;
	if (share->protected_count && !S_ISDIR(ret->stx_mode) && is_protected(share, ret))
		return -EROFS;
	return check_linked_outside(share, ret);
}

/* S3: as the kernel does for a local file that is written or given away. */
static int clear_set_id_of(struct share *share, int fd, const struct statx *real)
{
	struct statx view = *real;
	mode_t kept;

	if (!S_ISREG(real->stx_mode))
		return 0;
	idmap_view(&share->idmap, fd, &view);
	kept = view.stx_mode & (mode_t)~S_ISUID;
	if (kept & S_IXGRP)
		kept &= (mode_t)~S_ISGID;
	if (kept == view.stx_mode)
		return 0;
	return idmap_set_mode(&share->idmap, fd, real, kept);
}

static int clear_set_id(struct share *share, int fd)
{
	struct statx real;
	int r = tree_stat(fd, &real);

	return r < 0 ? r : clear_set_id_of(share, fd, &real);
}

static int set_size(struct share *share, int fd, uint64_t size)
{
	int r = tree_truncate(&share->tree, fd, size);

	return r < 0 ? r : clear_set_id(share, fd);
}

static int set_owner(
	struct share *share, int fd, const struct statx *real, const struct share_change *change)
{
	int r = 0;

	if (change->set & SHARE_SET_UID)
		r = idmap_set_owner(&share->idmap, fd, real, false, change->uid);
	if (r >= 0 && (change->set & SHARE_SET_GID))
		r = idmap_set_owner(&share->idmap, fd, real, true, change->gid);
	return r < 0 ? r : clear_set_id(share, fd);
}

int share_setattr(struct share *share, int fd, const struct share_change *change)
{
	struct statx real;
	int r = check_changeable(share, fd, &real);

	if (r >= 0 && (change->set & SHARE_SET_SIZE))
		r = set_size(share, fd, change->size);
	if (r >= 0 && (change->set & (SHARE_SET_UID | SHARE_SET_GID)))
		r = set_owner(share, fd, &real, change);
	if (r >= 0 && (change->set & SHARE_SET_MODE)) {
		r = tree_stat(fd, &real);
		if (r >= 0)
			r = idmap_set_mode(&share->idmap, fd, &real, change->mode);
	}
	if (r >= 0 && (change->set & SHARE_SET_TIMES))
		r = tree_set_times(&share->tree, fd, change->times);
	return r;
}

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

int share_open(struct share *share, int fd, int flags)
{
	struct statx stx;
	int r;

	flags &= OPEN_FLAGS;
	if (writes(flags)) {
		r = check_changeable(share, fd, &stx);
		if (r < 0)
			return r;
	}
	r = tree_reopen(&share->tree, fd, flags);
	if (r >= 0 && (flags & O_TRUNC))
		clear_set_id(share, r);
	return r;
}

static int open_existing(struct share *share, int dir_fd, const char *name, int flags)
{
	_cleanup_close_ int fd = share_lookup(share, dir_fd, name);

	return fd < 0 ? fd : share_open(share, fd, flags);
}

/* The real mode of what was just made is as wanted, whatever umask and default ACLs did; then what is not real. */
static int finish_new(struct share *share, int fd, mode_t mode, uint64_t rdev,
	const struct share_user *user, struct statx *ret)
{
	mode_t wanted = idmap_real_mode(mode);
	int r = tree_stat(fd, ret);

	if (r < 0)
		return r;
	if (!S_ISLNK(ret->stx_mode) && (ret->stx_mode & 0777) != wanted) {
		r = tree_chmod(&share->tree, fd, wanted);
		if (r < 0)
			return r;
		ret->stx_mode = (uint16_t)((ret->stx_mode & S_IFMT) | wanted);
	}
	idmap_set_new(&share->idmap, fd, ret, user->uid, user->gid, mode, rdev);
	return 0;
}

int share_create(struct share *share, int dir_fd, const char *name, int flags, mode_t mode,
	const struct share_user *user, struct statx *ret, uint64_t *ret_epoch)
{
	_cleanup_close_ int fd = -1;
	uint64_t epoch = 0;
	struct statx stx;
	int r;

	mode = S_IFREG | (mode & 07777);
	fd = tree_create_file(
		&share->tree, dir_fd, name, flags & OPEN_FLAGS & ~O_TRUNC, idmap_real_mode(mode));
	if (fd == -EEXIST && !(flags & O_EXCL)) {
		fd = open_existing(share, dir_fd, name, flags);
		r = fd < 0 ? fd : tree_stat(fd, &stx);
	} else {
		r = fd < 0 ? fd : finish_new(share, fd, mode, 0, user, &stx);
		/* What was made without set-id bits has none to lose. */
		if (!(mode & (S_ISUID | S_ISGID)))
			epoch = share->idmap.special_epoch;
	}
	if (r < 0)
		return r;
	*ret = stx;
	*ret_epoch = epoch;
	return TAKE_FD(fd);
}

int share_before_write(struct share *share, int fd, uint64_t *epoch)
{
	struct statx stx;
	int r = 0;

	if (share->tree.readonly)
		return -EROFS;
	if (!share->trust_hardlinks || *epoch != share->idmap.special_epoch)
		r = check_changeable(share, fd, &stx);
	if (r < 0 || *epoch == share->idmap.special_epoch)
		return r;
	r = clear_set_id_of(share, fd, &stx);
	if (r >= 0)
		*epoch = share->idmap.special_epoch;
	return r;
}

/*
 * What was made by name is looked at again, to give it its owner and to tell the guest its number. By then the name may
 * stand for something else (another share over the same folder, the host): what is of another type keeps what it has.
 */
static int finish_named(struct share *share, int dir_fd, const char *name, mode_t mode,
	const struct share_user *user, struct statx *ret)
{
	_cleanup_close_ int fd = share_lookup(share, dir_fd, name);
	struct statx stx;
	int r = fd < 0 ? fd : tree_stat(fd, &stx);

	if (r >= 0 && (stx.stx_mode & S_IFMT) == (mode & S_IFMT))
		r = finish_new(share, fd, mode, 0, user, &stx);
	if (r >= 0)
		*ret = stx;
	return r;
}

int share_mkdir(struct share *share, int dir_fd, const char *name, mode_t mode,
	const struct share_user *user, struct statx *ret)
{
	int r;

	mode = S_IFDIR | (mode & 07777);
	r = tree_mkdir(&share->tree, dir_fd, name, idmap_real_mode(mode));
	return r < 0 ? r : finish_named(share, dir_fd, name, mode, user, ret);
}

/* S3: no special file becomes real: an empty file stands for it. Held by its fd from the first moment on, not by its name. */
int share_mknod(struct share *share, int dir_fd, const char *name, mode_t mode, uint64_t rdev,
	const struct share_user *user, struct statx *ret)
{
	_cleanup_close_ int fd = -1;
	mode_t type = mode & S_IFMT;
	struct statx stx;
	int r;

	if (!type)
		type = S_IFREG;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
		type != S_IFSOCK)
		return -EINVAL;
	mode = type | (mode & 07777);
	fd = tree_create_file(&share->tree, dir_fd, name, O_RDONLY, idmap_real_mode(mode));
	r = fd < 0 ? fd : finish_new(share, fd, mode, rdev, user, &stx);
	if (r >= 0)
		*ret = stx;
	return r;
}

int share_symlink(struct share *share, int dir_fd, const char *name, const char *target,
	const struct share_user *user, struct statx *ret)
{
	int r = tree_symlink(&share->tree, dir_fd, name, target);

	return r < 0 ? r : finish_named(share, dir_fd, name, S_IFLNK | 0777, user, ret);
}

int share_link(struct share *share, int fd, int dir_fd, const char *name)
{
	struct statx real;
	struct tree_id id;
	int r = check_changeable(share, fd, &real);

	if (r >= 0)
		r = tree_link(&share->tree, fd, dir_fd, name);
	if (r < 0)
		return r;
	id = tree_id(&real);
	links_made(&share->links, &id);
	return 0;
}

/* What a name that is about to go stands for. ret->stx_mask 0: nothing that could be told. */
static int look_before_removal(
	const struct share *share, int dir_fd, const char *name, struct statx *ret)
{
	int r = tree_stat_child(dir_fd, name, ret);

	if (r < 0)
		*ret = (struct statx){};
	else if (is_protected(share, ret))
		return -EROFS;
	return 0;
}

static void note_removal(struct share *share, const struct statx *gone)
{
	struct tree_id id = tree_id(gone);

	if (!gone->stx_mask)
		return;
	/* Before the books are changed: they still hold the name that went. */
	if (gone->stx_nlink > 1 && share->left_outside && share_linked_outside(share, gone))
		share->left_outside(share->left_outside_data, &id);
	links_removed(&share->links, &id);
	if (gone->stx_nlink <= 1 || S_ISDIR(gone->stx_mode))
		idmap_forget(&share->idmap, &id);
}

int share_unlink(struct share *share, int dir_fd, const char *name, bool directory)
{
	struct statx gone;
	int r;

	if (share->tree.readonly)
		return -EROFS;
	r = look_before_removal(share, dir_fd, name, &gone);
	if (r >= 0)
		r = tree_unlink(&share->tree, dir_fd, name, directory);
	if (r >= 0)
		note_removal(share, &gone);
	return r;
}

static bool same_file(const struct statx *a, const struct statx *b)
{
	struct tree_id a_id = tree_id(a), b_id = tree_id(b);

	return tree_id_equal(&a_id, &b_id);
}

int share_rename(struct share *share, int old_dir_fd, const char *old_name, int new_dir_fd,
	const char *new_name)
{
	struct statx moved, gone;
	int r;

	if (share->tree.readonly)
		return -EROFS;
	r = look_before_removal(share, old_dir_fd, old_name, &moved);
	if (r >= 0)
		r = look_before_removal(share, new_dir_fd, new_name, &gone);
	if (r >= 0)
		r = tree_rename(&share->tree, old_dir_fd, old_name, new_dir_fd, new_name, 0);
	/* Two names of one file: rename(2) leaves both. */
	if (r >= 0 && !same_file(&moved, &gone))
		note_removal(share, &gone);
	return r;
}

ssize_t share_readlink(const struct share *share, int fd, char *data, size_t size)
{
	_cleanup_close_ int plain = -1;
	struct statx real, view;
	ssize_t len;
	int r = tree_stat(fd, &real);

	if (r < 0)
		return r;
	if (S_ISLNK(real.stx_mode))
		return tree_readlink(fd, data, size);
	view = real;
	idmap_view(&share->idmap, fd, &view);
	if (!S_ISLNK(view.stx_mode))
		return -EINVAL;
	/* QEMU's mapped-xattr keeps a symlink as a file that holds its target. */
	plain = tree_reopen(&share->tree, fd, O_RDONLY);
	if (plain < 0)
		return plain;
	len = pread(plain, data, size, 0);
	return len < 0 ? -errno : len;
}

ssize_t share_getxattr(const struct share *share, int fd, const char *name, void *data, size_t size)
{
	if (share->idmap.kind != IDMAP_MAPPED)
		return -EOPNOTSUPP;
	if (!guard_xattr_visible(name, strlen(name)))
		return -ENODATA;
	return tree_getxattr(&share->tree, fd, name, data, size);
}

ssize_t share_listxattr(const struct share *share, int fd, char *data, size_t size)
{
	ssize_t len;
	size_t kept = 0;

	if (share->idmap.kind != IDMAP_MAPPED)
		return 0;
	len = tree_listxattr(&share->tree, fd, data, size);
	for (char *p = data; len > 0;) {
		size_t name = strnlen(p, (size_t)len);

		/* The kernel ends each name with NUL. */
		if (name < (size_t)len && guard_xattr_visible(p, name)) {
			memmove(data + kept, p, name + 1);
			kept += name + 1;
		}
		p += name + 1;
		len -= (ssize_t)name + 1;
	}
	return len < 0 ? len : (ssize_t)kept;
}

int share_setxattr(
	struct share *share, int fd, const char *name, const void *data, size_t size, int flags)
{
	struct statx real;
	int r = check_changeable(share, fd, &real);

	if (r < 0)
		return r;
	if (!guard_xattr_visible(name, strlen(name)))
		return -EOPNOTSUPP;
	if (!data)
		return tree_removexattr(&share->tree, fd, name);
	return tree_setxattr(
		&share->tree, fd, name, data, size, flags & (XATTR_CREATE | XATTR_REPLACE));
}

int share_statfs(int fd, struct statfs *ret)
{
	return fstatfs(fd, ret) < 0 ? -errno : 0;
}
