/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/devices/p9_fids.h"
#include "vmm/devices/p9_wire.h"

#define REPLY_MAX (128u << 10) /* without the data of Rread */
#define DIRENTS_MAX                                                                                \
	(REPLY_MAX / 6 * 5) /* no entry of getdents64 grows by more than 28/24 on the wire */
#define SLICES_MAX  VIRTQUEUE_SIZE_MAX
#define BLOCK_BYTES 65536 /* st_blksize: what stdio buffers, and reads at a time */
#define CACHED_BYTES_MIN                                                                           \
	(128u << 10) /* a file that is only read is cached by the guest from this size on */
#define LINUX_9P_MAGIC                                                                             \
	0x01021997u /* f_type: so that tail and the like poll instead of waiting for inotify */

struct p9_server {
	struct share share;
	struct handles handles;
	struct p9_fids fids;
	bool coherent;
	bool late_writes; /* P9_ANAME_LATE_WRITES */
	uint32_t msize;
	struct p9_server_counters counters;
	/* of the request that is being served */
	struct virtq_chain *chain;
	uint32_t data_bytes; /* written to the chain behind the reply's fields */
	uint8_t request[P9_REQUEST_MAX];
	uint8_t reply[REPLY_MAX];
	uint8_t dirents[DIRENTS_MAX] __attribute__((aligned(8)));
};

/* Names and fids. */

struct name {
	char text[TREE_NAME_MAX + 1];
};

static int get_name(const struct p9_text *text, struct name *ret)
{
	int r = tree_name_check((const char *)text->data, text->len);

	if (r < 0)
		return r;
	memcpy(ret->text, text->data, text->len);
	ret->text[text->len] = '\0';
	return 0;
}

static int find_file(struct p9_server *s, uint32_t number, struct p9_fid **ret)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, number);

	if (!fid || fid->kind != P9_FID_FILE)
		return -EBADF;
	*ret = fid;
	return 0;
}

/* An fd that stands for the fid's file: its own where it is open, else the handle's. */
static int fid_fd(struct p9_server *s, const struct p9_fid *fid)
{
	if (fid->open_fd >= 0)
		return fid->open_fd;
	return handles_fd(&s->handles, fid->handle);
}

/* S4, for files that were linked outside when the guest found them, or are by now. */
static int check_own(struct p9_server *s, struct p9_fid *fid)
{
	bool found_outside =
		fid->handle != HANDLES_NONE && handles_get(&s->handles, fid->handle)->outside;
	int fd, r;

	if (!fid->outside && !found_outside)
		return 0;
	fd = fid_fd(s, fid);
	r = fd < 0 ? fd : share_found_inside(&s->share, fd);
	if (r < 0)
		return r;
	fid->outside = false;
	if (fid->handle != HANDLES_NONE)
		handles_clear_outside(&s->handles, fid->handle);
	return 0;
}

/* An fd for changing the file itself. */
static int find_own_fd(struct p9_server *s, uint32_t number)
{
	struct p9_fid *fid;
	int r = find_file(s, number, &fid);

	if (r >= 0)
		r = check_own(s, fid);
	return r < 0 ? r : fid_fd(s, fid);
}

static void on_left_outside(void *data, const struct tree_id *id)
{
	struct p9_server *s = data;

	handles_mark_outside(&s->handles, id);
	p9_fids_mark_outside(&s->fids, id);
}

static int find_fd(struct p9_server *s, uint32_t number)
{
	struct p9_fid *fid;
	int r = find_file(s, number, &fid);

	return r < 0 ? r : fid_fd(s, fid);
}

/* Like find_fd, and who asks for what is to be made there. */
static int find_folder(struct p9_server *s, const struct p9_request *q, struct share_user *ret_user)
{
	struct p9_fid *fid;
	int r = find_file(s, q->fid, &fid);

	if (r < 0)
		return r;
	ret_user->uid = fid->uid;
	ret_user->gid = q->gid;
	return fid_fd(s, fid);
}

static uint32_t version_of(const struct statx *stx)
{
	return ((uint32_t)stx->stx_ctime.tv_sec ^ stx->stx_ctime.tv_nsec << 2) | 1;
}

static struct p9_qid make_qid(struct p9_server *s, const struct statx *stx)
{
	uint8_t type = P9_QID_FILE;
	uint32_t version = 0;

	if (S_ISDIR(stx->stx_mode))
		type = P9_QID_FOLDER;
	else if (S_ISLNK(stx->stx_mode))
		type = P9_QID_SYMLINK;
	if (!s->coherent)
		version = version_of(stx);
	return (struct p9_qid){
		.type = type,
		.version = version,
		.path = share_qid_path(&s->share, share_device_of(stx), stx->stx_ino),
	};
}

static int put_new_qid(struct p9_server *s, int r, const struct statx *stx, struct bytes_writer *w)
{
	struct p9_qid qid;

	if (r < 0)
		return r;
	qid = make_qid(s, stx);
	p9_put_qid(w, &qid);
	return 0;
}

/* Session: version, auth, attach, flush. */

static int do_version(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	bool known = q->name.len >= strlen(P9_VERSION) &&
		     !memcmp(q->name.data, P9_VERSION, strlen(P9_VERSION)) &&
		     (q->name.len == strlen(P9_VERSION) || q->name.data[strlen(P9_VERSION)] == '.');

	p9_server_reset(s);
	if (q->msize < P9_MSIZE_MIN)
		return -EMSGSIZE;
	s->msize = MIN(q->msize, P9_MSIZE_MAX);
	bytes_put_u32(w, s->msize);
	bytes_put_text(w, known ? P9_VERSION : "unknown");
	return 0;
}

static int do_auth(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	(void)s, (void)q, (void)w;
	return -EOPNOTSUPP; /* who speaks on this queue is the guest's kernel; there is nobody else */
}

static int do_attach(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	struct statx stx;
	uint32_t handle;
	int fd, r;

	if (q->other_fid != P9_NOFID)
		return -EOPNOTSUPP;
	r = p9_fids_add(&s->fids, q->fid, q->uid, &fid);
	if (r < 0)
		return r;
	fd = share_lookup_parent(&s->share, s->share.tree.root_fd);
	r = fd < 0 ? fd : tree_stat(fd, &stx);
	if (r >= 0)
		r = handles_add(&s->handles, TAKE_FD(fd), &stx, &handle);
	close_keeping_errno(fd);
	if (r < 0) {
		p9_fids_remove(&s->fids, fid);
		return r;
	}
	p9_fids_set_handle(&s->fids, fid, handle);
	if (q->other_name.len == strlen(P9_ANAME_LATE_WRITES) &&
		!memcmp(q->other_name.data, P9_ANAME_LATE_WRITES, q->other_name.len))
		s->late_writes = true;
	return put_new_qid(s, 0, &stx, w);
}

static int do_flush(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	(void)s, (void)q, (void)w;
	return 0; /* the request it names was answered before this one was read */
}

/* Walk. */

/* One step from fd to an fd of the caller's. */
static int walk_step(struct p9_server *s, int fd, const struct p9_text *text, struct statx *ret)
{
	_cleanup_close_ int next = -1;
	struct name name;
	int r;

	if (text->len == 2 && !memcmp(text->data, "..", 2)) {
		next = share_lookup_parent(&s->share, fd);
	} else {
		r = get_name(text, &name);
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
		qid = make_qid(s, &stx);
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

static int do_walk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	uint32_t handle;
	int r = find_file(s, q->fid, &fid);

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
	r = fid_fd(s, fid);
	if (r >= 0)
		r = walk_names(s, q, r, w, &handle);
	return r <= 0 ? r : place_walked(s, q, fid, handle);
}

/* Open, create, close. */

static int host_flags(uint32_t flags)
{
	static const struct {
		uint32_t wire;
		int host;
	} map[] = {
		{ 0200, O_EXCL },
		{ 01000, O_TRUNC },
		{ 02000, O_APPEND },
		{ 010000, O_DSYNC },
		{ 0200000, O_DIRECTORY },
		{ 04000000, O_SYNC },
	};
	int host = (int)(flags & 3);

	if (host == 3)
		host = O_RDWR;
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		if (flags & map[i].wire)
			host |= map[i].host;
	return host;
}

/*
 * What the guest may cache of an opened file. Newer kernels (6.4 and later) read and write files whose qid version is 0
 * without their page cache; others through it, in larger requests, written at close at the latest. Without their cache,
 * they take no lock between finding the end of a file and appending there, so two programs that append lose lines: what can
 * be written has another version. What is only read has not, and is exact, unless it is large, for the sake of speed.
 * Older kernels do not look at versions.
 */
static bool may_cache(struct p9_server *s, int flags, const struct statx *stx)
{
	if (!s->coherent)
		return true;
	if (!S_ISREG(stx->stx_mode) || !s->late_writes)
		return false;
	return (flags & O_ACCMODE) != O_RDONLY || stx->stx_size >= CACHED_BYTES_MIN;
}

/* iounit 0: as much as msize allows. */
static int put_opened(struct p9_server *s, struct p9_fid *fid, int fd, int flags,
	const struct statx *stx, struct bytes_writer *w)
{
	struct tree_id id = tree_id(stx);
	struct p9_qid qid = make_qid(s, stx);

	if (may_cache(s, flags, stx))
		qid.version = version_of(stx);
	p9_fids_set_open(&s->fids, fid, fd, (flags & O_ACCMODE) != O_RDONLY, &id);
	fid->outside = share_linked_outside(&s->share, stx);
	p9_put_qid(w, &qid);
	bytes_put_u32(w, 0);
	return 0;
}

/* Late writes come through any fid of the file, each for its own place: through one that appends they would land elsewhere. */
static int open_flags(const struct p9_server *s, const struct p9_request *q)
{
	int flags = host_flags(q->flags);

	return s->late_writes ? flags & ~O_APPEND : flags;
}

static int do_lopen(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int flags = open_flags(s, q) & ~O_EXCL;
	struct p9_fid *fid;
	struct statx stx;
	int fd, r = find_file(s, q->fid, &fid);

	if (r >= 0 && fid->open_fd >= 0)
		r = -EBADF;
	if (r >= 0)
		r = p9_fids_may_open(&s->fids);
	if (r >= 0 && (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		r = check_own(s, fid);
	if (r >= 0)
		r = fid_fd(s, fid);
	if (r < 0)
		return r;
	fd = share_open(&s->share, r, flags);
	if (fd < 0)
		return fd;
	r = tree_stat(fd, &stx);
	if (r < 0) {
		close(fd);
		return r;
	}
	return put_opened(s, fid, fd, flags, &stx, w);
}

static int do_lcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int flags = open_flags(s, q);
	uint64_t epoch;
	struct share_user user;
	struct p9_fid *fid;
	struct statx stx;
	struct name name;
	int fd, r = find_file(s, q->fid, &fid);

	if (r >= 0 && fid->open_fd >= 0)
		r = -EBADF;
	if (r >= 0)
		r = get_name(&q->name, &name);
	if (r >= 0)
		r = p9_fids_may_open(&s->fids);
	if (r >= 0)
		r = find_folder(s, q, &user);
	if (r < 0)
		return r;
	fd = share_create(&s->share, r, name.text, flags, q->mode, &user, &stx, &epoch);
	if (fd < 0)
		return fd;
	p9_fids_set_handle(&s->fids, fid, HANDLES_NONE);
	fid->epoch = epoch;
	return put_opened(s, fid, fd, flags, &stx, w);
}

static int write_xattr(struct p9_server *s, struct p9_fid *fid)
{
	const struct p9_xattr *xattr = fid->xattr;
	int r = check_own(s, fid), fd = r < 0 ? r : fid_fd(s, fid);

	if (fd < 0)
		return fd;
	if (xattr->done != xattr->size)
		return -EINVAL;
	/* A removal comes as an empty value that has to be there already. */
	if (!xattr->size && (xattr->flags & XATTR_REPLACE))
		return share_setxattr(&s->share, fd, xattr->name, NULL, 0, 0);
	return share_setxattr(
		&s->share, fd, xattr->name, xattr->data, xattr->size, (int)xattr->flags);
}

static int do_clunk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, q->fid);
	int r = 0;

	(void)w;
	if (!fid)
		return -EBADF;
	if (fid->kind == P9_FID_XATTR_WRITE)
		r = write_xattr(s, fid);
	p9_fids_remove(&s->fids, fid);
	return r;
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

static int do_remove(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_fd(s, q->fid);
	int r = fd < 0 ? fd : remove_by_fid(s, fd);
	int clunked = do_clunk(s, q, w); /* whatever became of the file */

	return r < 0 ? r : clunked;
}

/* Data. */

static uint32_t limit_count(const struct p9_server *s, uint32_t count, size_t room)
{
	if (room < P9_READ_BYTES)
		return 0;
	count = MIN(count, s->msize - P9_READ_BYTES);
	return (uint32_t)MIN((size_t)count, room - P9_READ_BYTES);
}

/* From the file into the guest's memory, behind where the reply's fields will stand. */
static ssize_t read_into_chain(struct virtq_chain *chain, int fd, uint32_t count, uint64_t offset)
{
	uint16_t index = chain->write_index;
	size_t within = chain->write_offset, written = chain->bytes_written;
	struct iovec slices[SLICES_MAX];
	size_t bytes, slice_count;
	ssize_t n;

	virtq_chain_skip_writable(chain, P9_READ_BYTES);
	slice_count = virtq_chain_peek_writable(chain, slices, SLICES_MAX, count, &bytes);
	n = preadv(fd, slices, (int)slice_count, (off_t)offset);
	/* Back to the front: the fields are written last, when the count is known. */
	chain->write_index = index;
	chain->write_offset = within;
	chain->bytes_written = written;
	return n < 0 ? -errno : n;
}

static int read_xattr(const struct p9_fid *fid, const struct p9_request *q, uint32_t count,
	struct bytes_writer *w)
{
	const struct p9_xattr *xattr = fid->xattr;

	if (q->offset > xattr->size)
		return -EINVAL;
	count = MIN(count, xattr->size - (uint32_t)q->offset);
	bytes_put_u32_blob(w, xattr->data + q->offset, count);
	return 0;
}

static int do_read(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, q->fid);
	uint32_t count = limit_count(s, q->count, s->chain->writable_bytes);
	ssize_t n;

	if (!fid)
		return -EBADF;
	if (fid->kind == P9_FID_XATTR_READ)
		return read_xattr(fid, q, count, w);
	if (fid->kind != P9_FID_FILE || fid->open_fd < 0)
		return -EBADF;
	if (q->offset > INT64_MAX)
		return -EINVAL;
	n = read_into_chain(s->chain, fid->open_fd, count, q->offset);
	if (n < 0)
		return (int)n;
	bytes_put_u32(w, (uint32_t)n);
	s->data_bytes = (uint32_t)n;
	return 0;
}

static ssize_t write_from_chain(struct virtq_chain *chain, int fd, uint32_t count, uint64_t offset)
{
	struct iovec slices[SLICES_MAX];
	uint32_t done = 0;

	while (done < count) {
		size_t bytes, slice_count = virtq_chain_peek_readable(
				      chain, slices, SLICES_MAX, count - done, &bytes);
		ssize_t n = pwritev(fd, slices, (int)slice_count, (off_t)(offset + done));

		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		virtq_chain_skip_readable(chain, (size_t)n);
		done += (uint32_t)n;
	}
	return done;
}

static int collect_xattr(struct p9_server *s, struct p9_xattr *xattr, const struct p9_request *q)
{
	if (q->offset != xattr->done || q->count > xattr->size - xattr->done)
		return -EINVAL;
	virtq_chain_read(s->chain, xattr->data + xattr->done, q->count);
	xattr->done += q->count;
	return 0;
}

static int write_file(struct p9_server *s, struct p9_fid *fid, const struct p9_request *q)
{
	ssize_t n;
	int r;

	if (fid->open_fd < 0 || !fid->writable)
		return -EBADF;
	if (q->offset > (uint64_t)INT64_MAX - q->count)
		return -EFBIG;
	r = check_own(s, fid);
	if (r >= 0)
		r = share_before_write(&s->share, fid->open_fd, &fid->epoch);
	if (r < 0)
		return r;
	n = write_from_chain(s->chain, fid->open_fd, q->count, q->offset);
	return (int)n;
}

/* The data stand at the chain's cursor. */
static int do_write(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, q->fid);
	int r;

	if (q->count > virtq_chain_readable_left(s->chain))
		return -EPROTO;
	if (fid && fid->kind == P9_FID_XATTR_WRITE) {
		r = collect_xattr(s, fid->xattr, q);
		if (r >= 0)
			bytes_put_u32(w, q->count);
		return r;
	}
	if (!fid || fid->kind != P9_FID_FILE)
		return -EBADF;
	r = write_file(s, fid, q);
	if (r < 0)
		return r;
	bytes_put_u32(w, (uint32_t)r);
	return 0;
}

static int do_fsync(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	int r = find_file(s, q->fid, &fid);

	(void)w;
	if (r < 0)
		return r;
	if (fid->open_fd < 0)
		return -EBADF;
	return (q->flags ? fdatasync(fid->open_fd) : fsync(fid->open_fd)) < 0 ? -errno : 0;
}

/* Folders. */

static uint8_t qid_type_of(uint8_t dirent_type)
{
	return dirent_type == DT_DIR ? P9_QID_FOLDER : dirent_type == DT_LNK ? P9_QID_SYMLINK : 0;
}

/* What `..` of the share's root is to the guest: itself. */
static uint64_t dirent_path(struct p9_server *s, const struct dirent64 *entry, uint64_t device,
	uint64_t own_inode, bool is_root)
{
	uint64_t inode = entry->d_ino;

	if (is_root && !strcmp(entry->d_name, ".."))
		inode = own_inode;
	return share_qid_path(&s->share, device, inode);
}

static void put_dirents(struct p9_server *s, struct p9_fid *fid, const struct statx *stx,
	size_t size, struct bytes_writer *w)
{
	uint64_t device = share_device_of(stx),
		 own = share_qid_path(&s->share, device, stx->stx_ino);
	bool is_root = own == s->share.root_qid_path;

	for (size_t at = 0; at < size;) {
		const struct dirent64 *entry =
			(const struct dirent64 *)(const void *)(s->dirents + at);
		struct p9_qid qid = {
			.type = qid_type_of(entry->d_type),
			.path = dirent_path(s, entry, device, stx->stx_ino, is_root),
		};

		p9_put_entry(w, &qid, (uint64_t)entry->d_off, entry->d_type, entry->d_name,
			strlen(entry->d_name));
		fid->dir_position = (uint64_t)entry->d_off;
		at += entry->d_reclen;
	}
}

static int seek_folder(struct p9_fid *fid, uint64_t offset)
{
	if (fid->dir_position == offset)
		return 0;
	fid->dir_position = UINT64_MAX;
	if (lseek(fid->open_fd, (off_t)offset, SEEK_SET) < 0)
		return -errno;
	fid->dir_position = offset;
	return 0;
}

static int do_readdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	uint32_t count = limit_count(s, q->count, s->chain->writable_bytes);
	struct p9_fid *fid;
	struct statx stx;
	ssize_t n;
	int r = find_file(s, q->fid, &fid);

	if (r < 0)
		return r;
	if (fid->open_fd < 0)
		return -EBADF;
	r = seek_folder(fid, q->offset);
	if (r >= 0)
		r = tree_stat(fid->open_fd, &stx);
	if (r < 0)
		return r;
	count = MIN(count, REPLY_MAX - P9_READ_BYTES) / 6 * 5;
	n = getdents64(fid->open_fd, s->dirents, MIN(count, DIRENTS_MAX));
	if (n < 0)
		return -errno;
	bytes_put_u32(w, 0);
	put_dirents(s, fid, &stx, (size_t)n, w);
	store_le32(w->data + P9_HEADER_BYTES, (uint32_t)(w->offset - P9_READ_BYTES));
	return 0;
}

static int do_mkdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct share_user user;
	struct statx stx;
	struct name name;
	int fd = find_folder(s, q, &user), r = fd < 0 ? fd : get_name(&q->name, &name);

	if (r >= 0)
		r = share_mkdir(&s->share, fd, name.text, q->mode, &user, &stx);
	return put_new_qid(s, r, &stx, w);
}

static int do_mknod(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct share_user user;
	struct statx stx;
	struct name name;
	int fd = find_folder(s, q, &user), r = fd < 0 ? fd : get_name(&q->name, &name);

	if (r >= 0)
		r = share_mknod(&s->share, fd, name.text, q->mode, makedev(q->major, q->minor),
			&user, &stx);
	return put_new_qid(s, r, &stx, w);
}

static int do_symlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	char target[TREE_PATH_MAX];
	struct share_user user;
	struct statx stx;
	struct name name;
	int fd = find_folder(s, q, &user), r = fd < 0 ? fd : get_name(&q->name, &name);

	if (r < 0)
		return r;
	if (q->other_name.len >= sizeof(target))
		return -ENAMETOOLONG;
	if (memchr(q->other_name.data, '\0', q->other_name.len))
		return -EINVAL;
	memcpy(target, q->other_name.data, q->other_name.len);
	target[q->other_name.len] = '\0';
	r = share_symlink(&s->share, fd, name.text, target, &user, &stx);
	return put_new_qid(s, r, &stx, w);
}

static int do_readlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	char target[TREE_PATH_MAX];
	int fd = find_fd(s, q->fid);
	ssize_t len = fd < 0 ? fd : share_readlink(&s->share, fd, target, sizeof(target));

	if (len < 0)
		return (int)len;
	if (memchr(target, '\0', (size_t)len))
		return -EINVAL;
	bytes_put_u16_blob(w, target, (size_t)len);
	return 0;
}

static int do_link(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int dir_fd = find_fd(s, q->other_fid), fd = find_own_fd(s, q->fid);
	struct name name;
	int r = get_name(&q->name, &name);

	(void)w;
	if (dir_fd < 0 || fd < 0)
		return dir_fd < 0 ? dir_fd : fd;
	return r < 0 ? r : share_link(&s->share, fd, dir_fd, name.text);
}

static int do_unlinkat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_fd(s, q->fid);
	struct name name;
	int r = fd < 0 ? fd : get_name(&q->name, &name);

	(void)w;
	return r < 0 ? r : share_unlink(&s->share, fd, name.text, q->flags & P9_UNLINK_FOLDER);
}

static int do_renameat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int old_fd = find_fd(s, q->fid), new_fd = find_fd(s, q->other_fid);
	struct name old_name, new_name;
	int r = get_name(&q->name, &old_name);

	(void)w;
	if (r >= 0)
		r = get_name(&q->other_name, &new_name);
	if (old_fd < 0 || new_fd < 0)
		return old_fd < 0 ? old_fd : new_fd;
	return r < 0 ? r : share_rename(&s->share, old_fd, old_name.text, new_fd, new_name.text);
}

static int do_rename(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	_cleanup_close_ int old_dir_fd = -1;
	int fd = find_fd(s, q->fid), new_fd = find_fd(s, q->other_fid);
	char old_name[TREE_NAME_MAX + 1];
	struct name name;
	int r = get_name(&q->name, &name);

	(void)w;
	if (fd < 0 || new_fd < 0)
		return fd < 0 ? fd : new_fd;
	if (r >= 0)
		r = tree_open_parent(&s->share.tree, fd, &old_dir_fd, old_name);
	return r < 0 ? r : share_rename(&s->share, old_dir_fd, old_name, new_fd, name.text);
}

/* Attributes. */

static void put_time(struct bytes_writer *w, const struct statx_timestamp *t)
{
	bytes_put_u64(w, (uint64_t)t->tv_sec);
	bytes_put_u64(w, t->tv_nsec);
}

static void put_attributes(struct p9_server *s, const struct statx *stx, struct bytes_writer *w)
{
	struct p9_qid qid = make_qid(s, stx);

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

static int do_getattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_fd(s, q->fid);
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

static int do_setattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
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
	int fd = find_own_fd(s, q->fid);

	(void)w;
	for (unsigned int i = 0; i < ARRAY_SIZE(map); i++)
		if (q->valid & map[i].wire)
			change.set |= map[i].set;
	return fd < 0 ? fd : share_setattr(&s->share, fd, &change);
}

static int do_statfs(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_fd(s, q->fid);
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

static int do_xattrwalk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_fd(s, q->fid);
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

static int do_xattrcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	char name[256];
	int r = find_file(s, q->fid, &fid);

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

/* Locks: the host's own, on the opened file, so that they hold between guest and host too. Never waits. */

static int host_lock(const struct p9_request *q, struct flock *ret)
{
	static const short types[] = {
		[P9_LOCK_READ] = F_RDLCK, [P9_LOCK_WRITE] = F_WRLCK, [P9_LOCK_UNLOCK] = F_UNLCK
	};

	if (q->lock_type >= ARRAY_SIZE(types) || q->lock_start > INT64_MAX)
		return -EINVAL;
	*ret = (struct flock){
		.l_type = types[q->lock_type],
		.l_whence = SEEK_SET,
		.l_start = (off_t)q->lock_start,
		.l_len = q->lock_length > INT64_MAX - q->lock_start ? 0 : (off_t)q->lock_length,
	};
	return 0;
}

static int find_open(struct p9_server *s, uint32_t number)
{
	struct p9_fid *fid;
	int r = find_file(s, number, &fid);

	if (r < 0)
		return r;
	return fid->open_fd < 0 ? -EBADF : fid->open_fd;
}

static int do_lock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_open(s, q->fid);
	struct flock lock;
	int r = fd < 0 ? fd : host_lock(q, &lock);

	if (r < 0)
		return r;
	if (fcntl(fd, F_OFD_SETLK, &lock) >= 0)
		bytes_put_u8(w, P9_LOCK_SUCCESS);
	else if (errno == EAGAIN || errno == EACCES)
		bytes_put_u8(w, P9_LOCK_BLOCKED);
	else
		return -errno;
	return 0;
}

static int do_getlock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int fd = find_open(s, q->fid);
	struct flock lock;
	int r = fd < 0 ? fd : host_lock(q, &lock);

	if (r < 0)
		return r;
	/* Linux's client sends this whatever it was asked for: told is whatever stands against a write lock. */
	if (q->lock_type == P9_LOCK_UNLOCK)
		lock.l_type = F_WRLCK;
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	if (lock.l_type == F_UNLCK)
		bytes_put_u8(w, P9_LOCK_UNLOCK);
	else
		bytes_put_u8(w, lock.l_type == F_RDLCK ? P9_LOCK_READ : P9_LOCK_WRITE);
	bytes_put_u64(w, (uint64_t)lock.l_start);
	bytes_put_u64(w, (uint64_t)lock.l_len);
	bytes_put_u32(w, q->lock_process);
	bytes_put_u16_blob(w, q->name.data, q->name.len);
	return 0;
}

/* The frame around it all. */

static int (*const actions[128])(
	struct p9_server *s, const struct p9_request *q, struct bytes_writer *w) = {
	[P9_TSTATFS] = do_statfs,
	[P9_TLOPEN] = do_lopen,
	[P9_TLCREATE] = do_lcreate,
	[P9_TSYMLINK] = do_symlink,
	[P9_TMKNOD] = do_mknod,
	[P9_TRENAME] = do_rename,
	[P9_TREADLINK] = do_readlink,
	[P9_TGETATTR] = do_getattr,
	[P9_TSETATTR] = do_setattr,
	[P9_TXATTRWALK] = do_xattrwalk,
	[P9_TXATTRCREATE] = do_xattrcreate,
	[P9_TREADDIR] = do_readdir,
	[P9_TFSYNC] = do_fsync,
	[P9_TLOCK] = do_lock,
	[P9_TGETLOCK] = do_getlock,
	[P9_TLINK] = do_link,
	[P9_TMKDIR] = do_mkdir,
	[P9_TRENAMEAT] = do_renameat,
	[P9_TUNLINKAT] = do_unlinkat,
	[P9_TVERSION] = do_version,
	[P9_TAUTH] = do_auth,
	[P9_TATTACH] = do_attach,
	[P9_TFLUSH] = do_flush,
	[P9_TWALK] = do_walk,
	[P9_TREAD] = do_read,
	[P9_TWRITE] = do_write,
	[P9_TCLUNK] = do_clunk,
	[P9_TREMOVE] = do_remove,
};

/* The body into private memory; of Twrite the fields only. Gives its size. */
static int fetch_body(struct p9_server *s, uint32_t size, uint8_t type)
{
	size_t body = size - P9_HEADER_BYTES;

	if (body > virtq_chain_readable_left(s->chain))
		return -EPROTO;
	if (type == P9_TWRITE)
		body = MIN(body, (size_t)(P9_WRITE_BYTES - P9_HEADER_BYTES));
	if (body > sizeof(s->request))
		return -EMSGSIZE;
	virtq_chain_read(s->chain, s->request, body);
	return (int)body;
}

static int serve(
	struct p9_server *s, uint32_t size, uint8_t type, uint16_t tag, struct bytes_writer *w)
{
	struct p9_request q;
	int r;

	/* Before Tversion there is no session, and after it no longer message than agreed. */
	if (type != P9_TVERSION && (!s->msize || size > s->msize))
		return -EPROTO;
	r = fetch_body(s, size, type);
	if (r >= 0)
		r = p9_parse(type, tag, s->request, (size_t)r, &q);
	if (r >= 0 && type == P9_TWRITE && q.count != size - P9_WRITE_BYTES)
		r = -EPROTO;
	if (r < 0)
		return r;
	r = actions[type](s, &q, w);
	if (r >= 0 && (w->failed || w->offset + s->data_bytes > s->chain->writable_bytes))
		return -EMSGSIZE;
	return r;
}

static void put_error(struct p9_server *s, int error, uint16_t tag, struct bytes_writer *w)
{
	*w = bytes_writer(s->reply, sizeof(s->reply));
	p9_begin(w, P9_RLERROR, tag);
	bytes_put_u32(w, (uint32_t)-error);
	s->data_bytes = 0;
	s->counters.errors++;
	if (error == -ENFILE || error == -EMFILE)
		s->counters.refused++;
}

int64_t p9_server_handle(struct p9_server *s, struct virtq_chain *chain)
{
	struct bytes_writer w = bytes_writer(s->reply, sizeof(s->reply));
	uint8_t header[P9_HEADER_BYTES], type;
	uint32_t size, written;
	uint16_t tag;
	int r;

	if (chain->writable_bytes < P9_ERROR_BYTES ||
		virtq_chain_read(chain, header, sizeof(header)) != sizeof(header) ||
		!p9_parse_header(header, &size, &type, &tag))
		return -EPROTO;
	s->chain = chain;
	s->data_bytes = 0;
	s->counters.requests++;
	p9_begin(&w, (uint8_t)(type + 1), tag);
	r = serve(s, size, type, tag, &w);
	if (r < 0)
		put_error(s, r, tag, &w);
	written = p9_end(&w, s->data_bytes);
	virtq_chain_write(chain, s->reply, w.offset);
	virtq_chain_skip_writable(chain, s->data_bytes);
	s->chain = NULL;
	return written;
}

int p9_server_create(const struct share_config *config, struct p9_server **ret, struct err *err)
{
	struct p9_server *s = calloc(1, sizeof(*s));
	uint32_t fds = config->fds_max ? config->fds_max : SHARE_FDS_DEFAULT;
	int r;

	if (!s) {
		close_keeping_errno(config->root_fd);
		return err_set(err, -ENOMEM, "9p: no memory for a server");
	}
	s->coherent = config->kind == IDMAP_MAPPED;
	fds = MAX(fds, (uint32_t)SHARE_FDS_MIN);
	r = share_init(&s->share, config, err);
	if (r < 0) {
		free(s);
		return r;
	}
	r = handles_init(&s->handles, &s->share, fds);
	if (r >= 0)
		r = p9_fids_init(&s->fids, &s->handles, fds);
	s->share.left_outside = on_left_outside;
	s->share.left_outside_data = s;
	if (r < 0) {
		p9_server_destroy(s);
		return err_set(err, r, "9p: no memory for a server");
	}
	*ret = s;
	return 0;
}

void p9_server_destroy(struct p9_server *s)
{
	if (!s)
		return;
	p9_fids_finish(&s->fids);
	handles_finish(&s->handles);
	share_finish(&s->share);
	free(s);
}

void p9_server_reset(struct p9_server *s)
{
	p9_fids_clear(&s->fids);
	handles_clear(&s->handles);
	s->msize = 0;
	s->late_writes = false;
}

struct share *p9_server_share(struct p9_server *s)
{
	return &s->share;
}

void p9_server_read_counters(const struct p9_server *s, struct p9_server_counters *ret)
{
	*ret = s->counters;
	ret->linked_outside = s->share.linked_outside;
	ret->kept_in_memory = s->share.idmap.kept_in_memory;
	ret->lost = s->share.idmap.lost;
	ret->fids = s->fids.count;
	ret->handles = s->handles.count;
	ret->handle_fds = s->handles.fd_count;
	ret->open_fds = s->fids.open_count;
	ret->evictions = s->handles.evictions;
}
