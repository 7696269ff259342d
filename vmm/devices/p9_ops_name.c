/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "vmm/base/cleanup.h"

/* One step from fd to an fd of the caller's. */
static int walk_step(struct p9_server *s, int fd, const struct p9_text *text, struct statx *ret)
{
	_cleanup_close_ int next = -1;
	struct p9_name name;
	int r;

	if (text->len == 2 && !memcmp(text->data, "..", 2)) {
		next = share_lookup_parent(&s->share, fd);
	} else {
		r = p9_get_name(text, &name);
		if (r < 0)
			return r;
		next = share_lookup(&s->share, fd, name.text);
	}
	r = next < 0 ? next : tree_stat(next, ret);
	return r < 0 ? r : TAKE_FD(next);
}

/* A handle for the fid's file, with a reference for the caller. */
static int share_handle(struct p9_server *s, const struct p9_fid *fid, uint32_t *ret)
{
	struct statx stx;
	int fd, r;

	if (fid->handle != HANDLES_NONE) {
		handles_ref(&s->handles, fid->handle);
		*ret = fid->handle;
		return 0;
	}
	r = tree_stat(fid->open_fd, &stx);
	if (r < 0)
		return r;
	fd = fcntl(fid->open_fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : handles_add(&s->handles, fd, &stx, ret);
}

/* All steps. 1 and a handle if they all went; 0 if only some did; what went is in w. */
static int walk_names(struct p9_server *s, const struct p9_request *q, int from,
	struct bytes_writer *w, uint32_t *ret_handle)
{
	_cleanup_close_ int fd = -1;
	struct statx stx;

	for (unsigned int i = 0; i < q->name_count; i++) {
		struct p9_qid qid;
		int next = walk_step(s, i ? fd : from, &q->names[i], &stx);

		if (next < 0 && !i)
			return next;
		if (next < 0)
			return 0;
		close_keeping_errno(fd);
		fd = next;
		qid = p9_make_qid(s, &stx);
		p9_put_qid(w, &qid);
		store_le16(w->data + P9_HEADER_BYTES, (uint16_t)(i + 1));
	}
	if (handles_add(&s->handles, TAKE_FD(fd), &stx, ret_handle) < 0)
		return -ENFILE;
	return 1;
}

static int place_walked(
	struct p9_server *s, const struct p9_request *q, struct p9_fid *fid, uint32_t handle)
{
	uint32_t uid = fid->uid;
	int r = 0;

	if (q->fid != q->other_fid)
		r = p9_fids_add(&s->fids, q->other_fid, uid, &fid);
	if (r < 0)
		handles_unref(&s->handles, handle);
	else
		p9_fids_set_handle(&s->fids, fid, handle);
	return r;
}

int p9_do_walk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	uint32_t handle;
	int r = p9_find_file(s, q->fid, &fid);

	if (r < 0)
		return r;
	/* An opened fid can be cloned, not moved. */
	if (q->fid == q->other_fid ? fid->open_fd >= 0 : !!p9_fids_find(&s->fids, q->other_fid))
		return -EBADF;
	bytes_put_u16(w, 0);
	if (!q->name_count) {
		r = share_handle(s, fid, &handle);
		return r < 0 ? r : place_walked(s, q, fid, handle);
	}
	r = p9_fid_fd(s, fid);
	if (r >= 0)
		r = walk_names(s, q, r, w, &handle);
	return r <= 0 ? r : place_walked(s, q, fid, handle);
}

static int remove_by_fid(struct p9_server *s, int fd)
{
	_cleanup_close_ int dir_fd = -1;
	char name[TREE_NAME_MAX + 1];
	struct statx stx;
	int r = tree_open_parent(&s->share.tree, fd, &dir_fd, name);

	if (r >= 0)
		r = tree_stat(fd, &stx);
	if (r < 0)
		return r;
	return share_unlink(&s->share, dir_fd, name, S_ISDIR(stx.stx_mode));
}

int p9_do_remove(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = p9_find_fd(s, q->fid);
	int r = fd < 0 ? fd : remove_by_fid(s, fd);
	int clunked = p9_do_clunk(s, q, w); /* whatever became of the file */

	return r < 0 ? r : clunked;
}

int p9_do_mkdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct share_user user;
	struct statx stx;
	struct p9_name name;
	int fd = p9_find_folder(s, q, &user), r = fd < 0 ? fd : p9_get_name(&q->name, &name);

	if (r >= 0)
		r = share_mkdir(&s->share, fd, name.text, q->mode, &user, &stx);
	return p9_put_new_qid(s, r, &stx, w);
}

int p9_do_mknod(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct share_user user;
	struct statx stx;
	struct p9_name name;
	int fd = p9_find_folder(s, q, &user), r = fd < 0 ? fd : p9_get_name(&q->name, &name);

	if (r >= 0)
		r = share_mknod(&s->share, fd, name.text, q->mode, makedev(q->major, q->minor),
			&user, &stx);
	return p9_put_new_qid(s, r, &stx, w);
}

int p9_do_symlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	char target[TREE_PATH_MAX];
	struct share_user user;
	struct statx stx;
	struct p9_name name;
	int fd = p9_find_folder(s, q, &user), r = fd < 0 ? fd : p9_get_name(&q->name, &name);

	if (r < 0)
		return r;
	if (q->other_name.len >= sizeof(target))
		return -ENAMETOOLONG;
	if (memchr(q->other_name.data, '\0', q->other_name.len))
		return -EINVAL;
	memcpy(target, q->other_name.data, q->other_name.len);
	target[q->other_name.len] = '\0';
	r = share_symlink(&s->share, fd, name.text, target, &user, &stx);
	return p9_put_new_qid(s, r, &stx, w);
}

int p9_do_readlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	char target[TREE_PATH_MAX];
	int fd = p9_find_fd(s, q->fid);
	ssize_t len = fd < 0 ? fd : share_readlink(&s->share, fd, target, sizeof(target));

	if (len < 0)
		return (int)len;
	if (memchr(target, '\0', (size_t)len))
		return -EINVAL;
	bytes_put_u16_blob(w, target, (size_t)len);
	return 0;
}

int p9_do_link(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int dir_fd = p9_find_fd(s, q->other_fid), fd = p9_find_own_fd(s, q->fid);
	struct p9_name name;
	int r = p9_get_name(&q->name, &name);

	(void)w;
	if (dir_fd < 0 || fd < 0)
		return dir_fd < 0 ? dir_fd : fd;
	return r < 0 ? r : share_link(&s->share, fd, dir_fd, name.text);
}

int p9_do_unlinkat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = p9_find_fd(s, q->fid);
	struct p9_name name;
	int r = fd < 0 ? fd : p9_get_name(&q->name, &name);

	(void)w;
	return r < 0 ? r : share_unlink(&s->share, fd, name.text, q->flags & P9_UNLINK_FOLDER);
}

int p9_do_renameat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int old_fd = p9_find_fd(s, q->fid), new_fd = p9_find_fd(s, q->other_fid);
	struct p9_name old_name, new_name;
	int r = p9_get_name(&q->name, &old_name);

	(void)w;
	if (r >= 0)
		r = p9_get_name(&q->other_name, &new_name);
	if (old_fd < 0 || new_fd < 0)
		return old_fd < 0 ? old_fd : new_fd;
	return r < 0 ? r : share_rename(&s->share, old_fd, old_name.text, new_fd, new_name.text);
}

int p9_do_rename(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	_cleanup_close_ int old_dir_fd = -1;
	int fd = p9_find_fd(s, q->fid), new_fd = p9_find_fd(s, q->other_fid);
	char old_name[TREE_NAME_MAX + 1];
	struct p9_name name;
	int r = p9_get_name(&q->name, &name);

	(void)w;
	if (fd < 0 || new_fd < 0)
		return fd < 0 ? fd : new_fd;
	if (r >= 0)
		r = tree_open_parent(&s->share.tree, fd, &old_dir_fd, old_name);
	return r < 0 ? r : share_rename(&s->share, old_dir_fd, old_name, new_fd, name.text);
}
