/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vmm/base/array.h"

#define BLOCK_BYTES 65536 /* st_blksize: what stdio buffers, and reads at a time */
#define LINUX_9P_MAGIC                                                                             \
	0x01021997u /* f_type: so that tail and the like poll instead of waiting for inotify */

static void put_time(struct bytes_writer *w, const struct statx_timestamp *t)
{
	bytes_put_u64(w, (uint64_t)t->tv_sec);
	bytes_put_u64(w, t->tv_nsec);
}

static void put_attributes(struct p9_server *s, const struct statx *stx, struct bytes_writer *w)
{
	struct p9_qid qid = p9_make_qid(s, stx);

	bytes_put_u64(w, P9_GETATTR_BASIC | (stx->stx_mask & STATX_BTIME ? P9_GETATTR_BTIME : 0));
	p9_put_qid(w, &qid);
	bytes_put_u32(w, stx->stx_mode);
	bytes_put_u32(w, stx->stx_uid);
	bytes_put_u32(w, stx->stx_gid);
	bytes_put_u64(w, stx->stx_nlink);
	bytes_put_u64(w, makedev(stx->stx_rdev_major, stx->stx_rdev_minor));
	bytes_put_u64(w, stx->stx_size);
	bytes_put_u64(w, BLOCK_BYTES);
	bytes_put_u64(w, stx->stx_blocks);
	put_time(w, &stx->stx_atime);
	put_time(w, &stx->stx_mtime);
	put_time(w, &stx->stx_ctime);
	put_time(w, &stx->stx_btime);
	bytes_put_u64(w, 0); /* generation */
	bytes_put_u64(w, 0); /* data version */
}

int p9_do_getattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = p9_find_fd(s, q->fid);
	struct statx stx;
	int r = fd < 0 ? fd : share_getattr(&s->share, fd, &stx);

	if (r < 0)
		return r;
	put_attributes(s, &stx, w);
	return 0;
}

static struct timespec time_of(
	const struct p9_request *q, uint32_t set, uint32_t set_to, uint64_t seconds, uint64_t ns)
{
	if (!(q->valid & set))
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (!(q->valid & set_to))
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	/* UTIME_NOW and UTIME_OMIT are no times the guest may name. */
	return (struct timespec){ .tv_sec = (time_t)seconds, .tv_nsec = (long)(ns % 1000000000u) };
}

int p9_do_setattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	static const struct {
		uint32_t wire;
		enum share_set set;
	} map[] = {
		{ P9_SET_MODE, SHARE_SET_MODE },
		{ P9_SET_UID, SHARE_SET_UID },
		{ P9_SET_GID, SHARE_SET_GID },
		{ P9_SET_SIZE, SHARE_SET_SIZE },
		{ P9_SET_ATIME | P9_SET_MTIME, SHARE_SET_TIMES },
	};
	struct share_change change = {
		.mode = q->mode,
		.uid = q->uid,
		.gid = q->gid,
		.size = q->size,
		.times = { time_of(q, P9_SET_ATIME, P9_SET_ATIME_TO, q->atime_s, q->atime_ns),
			time_of(q, P9_SET_MTIME, P9_SET_MTIME_TO, q->mtime_s, q->mtime_ns) },
	};
	int fd = p9_find_own_fd(s, q->fid);

	(void)w;
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		if (q->valid & map[i].wire)
			change.set |= map[i].set;
	return fd < 0 ? fd : share_setattr(&s->share, fd, &change);
}

int p9_do_statfs(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = p9_find_fd(s, q->fid);
	struct statfs fs;
	int r = fd < 0 ? fd : share_statfs(fd, &fs);

	if (r < 0)
		return r;
	bytes_put_u32(w, LINUX_9P_MAGIC);
	bytes_put_u32(w, (uint32_t)fs.f_bsize);
	bytes_put_u64(w, fs.f_blocks);
	bytes_put_u64(w, fs.f_bfree);
	bytes_put_u64(w, fs.f_bavail);
	bytes_put_u64(w, fs.f_files);
	bytes_put_u64(w, fs.f_ffree);
	bytes_put_u64(w, 0); /* the host's file system id is none of the guest's business */
	bytes_put_u32(w, TREE_NAME_MAX);
	return 0;
}

static int get_xattr_name(const struct p9_text *text, char ret[static 256])
{
	if (text->len > 255)
		return -ERANGE;
	if (memchr(text->data, '\0', text->len))
		return -EINVAL;
	memcpy(ret, text->data, text->len);
	ret[text->len] = '\0';
	return 0;
}

static ssize_t fill_xattr(struct p9_server *s, int fd, struct p9_xattr *xattr)
{
	if (!*xattr->name)
		return share_listxattr(&s->share, fd, (char *)xattr->data, sizeof(xattr->data));
	return share_getxattr(&s->share, fd, xattr->name, xattr->data, sizeof(xattr->data));
}

int p9_do_xattrwalk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = p9_find_fd(s, q->fid);
	struct p9_fid *fid;
	ssize_t size;
	int r;

	if (fd < 0)
		return fd;
	r = p9_fids_add(&s->fids, q->other_fid, 0, &fid);
	if (r < 0)
		return r;
	r = p9_fids_set_xattr(&s->fids, fid, P9_FID_XATTR_READ);
	if (r >= 0)
		r = get_xattr_name(&q->name, fid->xattr->name);
	size = r < 0 ? r : fill_xattr(s, fd, fid->xattr);
	if (size < 0) {
		p9_fids_remove(&s->fids, fid);
		return (int)size;
	}
	fid->xattr->size = (uint32_t)size;
	bytes_put_u64(w, (uint64_t)size);
	return 0;
}

int p9_do_xattrcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	char name[256];
	int r = p9_find_file(s, q->fid, &fid);

	(void)w;
	if (r >= 0)
		r = get_xattr_name(&q->name, name);
	if (r < 0)
		return r;
	if (s->share.tree.readonly)
		return -EROFS;
	if (q->size > SHARE_XATTR_MAX)
		return -E2BIG;
	r = p9_fids_set_xattr(&s->fids, fid, P9_FID_XATTR_WRITE);
	if (r < 0)
		return r;
	strcpy(fid->xattr->name, name);
	fid->xattr->size = (uint32_t)q->size;
	fid->xattr->flags = q->flags;
	return 0;
}
