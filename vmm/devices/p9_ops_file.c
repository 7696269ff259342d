/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/loop.h"

#define SLICES_MAX VIRTQUEUE_SIZE_MAX
#define CACHED_BYTES_MIN                                                                           \
	(128u << 10) /* a file that is only read is cached by the guest from this size on */

/* So much must be free for late writes: more than a guest keeps unwritten for the second or two that its kernel waits. */
#define LATE_WRITES_ROOM_BYTES (256ull << 20)

/* A rest asked for so often, never later than so after the last time, is asked for by a kernel that will not stop. */
#define REST_ASKED_MAX 1000
#define REST_PAUSE_MS  50

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

static bool has_room(int fd)
{
	struct statfs fs;

	return share_statfs(fd, &fs) == 0 &&
	       fs.f_bavail >= LATE_WRITES_ROOM_BYTES / (uint64_t)MAX(fs.f_bsize, 1);
}

/*
 * What the guest may cache of an opened file. Newer kernels (6.4 and later) read and write files whose qid version is 0
 * without their page cache; others through it, in larger requests, written at close at the latest. Without their cache,
 * they take no lock between finding the end of a file and appending there, so two programs that append lose lines: what can
 * be written has another version. What is only read has not, and is exact, unless it is large, for the sake of speed.
 * A file of several names is exact too: the guest has a cache for each name. So is what is written to a disk that is nearly
 * full: a late write would fail where no program sees it. Older kernels do not look at versions.
 */
static bool may_cache(struct p9_server *s, int fd, int flags, const struct statx *stx)
{
	if (!s->coherent)
		return true;
	if (!S_ISREG(stx->stx_mode) || !s->late_writes)
		return false;
	if ((flags & O_ACCMODE) != O_RDONLY)
		return stx->stx_nlink == 1 && has_room(fd);
	return stx->stx_size >= CACHED_BYTES_MIN;
}

/* iounit 0: as much as msize allows. */
static int put_opened(struct p9_server *s, struct p9_fid *fid, int fd, int flags,
	const struct statx *stx, struct bytes_writer *w)
{
	struct tree_id id = tree_id(stx);
	struct p9_qid qid = p9_make_qid(s, stx);

	if (may_cache(s, fd, flags, stx))
		qid.version = p9_version_of(stx);
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

int p9_do_lopen(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int flags = open_flags(s, q) & ~O_EXCL;
	struct p9_fid *fid;
	struct statx stx;
	int fd, r = p9_find_file(s, q->fid, &fid);

	if (r >= 0 && fid->open_fd >= 0)
		r = -EBADF;
	if (r >= 0)
		r = p9_fids_may_open(&s->fids);
	if (r >= 0 && (flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		r = p9_check_own(s, fid);
	if (r >= 0)
		r = p9_fid_fd(s, fid);
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

int p9_do_lcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	int flags = open_flags(s, q);
	uint64_t epoch;
	struct share_user user;
	struct p9_fid *fid;
	struct statx stx;
	struct p9_name name;
	int fd, r = p9_find_file(s, q->fid, &fid);

	if (r >= 0 && fid->open_fd >= 0)
		r = -EBADF;
	if (r >= 0)
		r = p9_get_name(&q->name, &name);
	if (r >= 0)
		r = p9_fids_may_open(&s->fids);
	if (r >= 0)
		r = p9_find_folder(s, q, &user);
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
	int r = p9_check_own(s, fid), fd = r < 0 ? r : p9_fid_fd(s, fid);

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

int p9_do_clunk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
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

uint32_t p9_limit_count(const struct p9_server *s, uint32_t count, size_t room)
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

/*
 * A read of n bytes. -ESTALE where the guest's kernel would ask for the rest for ever: Linux 6.12 reads on without end where a
 * file that it does not cache is shorter than it believes (the host cut it after the guest's last look), and the program
 * cannot even be killed. Its requests follow each other at once and are always for exactly the rest of the first; a program
 * that waits for a file to grow asks for as much as it has room for, sleeps, or looks at the size.
 */
static int judge_rest(struct p9_rest *rest, const struct p9_request *q, uint32_t n)
{
	uint64_t now_ms;

	if (n != 0 || !rest->count || q->offset != rest->offset || q->count != rest->count) {
		*rest = (struct p9_rest){ .offset = q->offset + n,
			.count = n > 0 && n < q->count ? q->count - n : 0 };
		return 0;
	}
	now_ms = clock_monotonic_ms();
	if (now_ms - rest->asked_at_ms > REST_PAUSE_MS)
		rest->asked = 0;
	rest->asked_at_ms = now_ms;
	if (++rest->asked < REST_ASKED_MAX)
		return 0;
	*rest = (struct p9_rest){};
	return -ESTALE;
}

int p9_do_read(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid = p9_fids_find(&s->fids, q->fid);
	uint32_t count = p9_limit_count(s, q->count, s->chain->writable_bytes);
	ssize_t n;
	int r = 0;

	if (!fid)
		return -EBADF;
	if (fid->kind == P9_FID_XATTR_READ)
		return read_xattr(fid, q, count, w);
	if (fid->kind != P9_FID_FILE || fid->open_fd < 0)
		return -EBADF;
	if (q->offset > INT64_MAX)
		return -EINVAL;
	n = read_into_chain(s->chain, fid->open_fd, count, q->offset);
	if (n >= 0)
		r = judge_rest(&fid->rest, q, (uint32_t)n);
	if (n < 0 || r < 0)
		return n < 0 ? (int)n : r;
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
	r = p9_check_own(s, fid);
	if (r >= 0)
		r = share_before_write(&s->share, fid->open_fd, &fid->epoch);
	if (r < 0)
		return r;
	n = write_from_chain(s->chain, fid->open_fd, q->count, q->offset);
	return (int)n;
}

/* The data stand at the chain's cursor. */
int p9_do_write(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
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

int p9_do_fsync(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	struct p9_fid *fid;
	int r = p9_find_file(s, q->fid, &fid);

	(void)w;
	if (r < 0)
		return r;
	if (fid->open_fd < 0)
		return -EBADF;
	return (q->flags ? fdatasync(fid->open_fd) : fsync(fid->open_fd)) < 0 ? -errno : 0;
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
	int r = p9_find_file(s, number, &fid);

	if (r < 0)
		return r;
	return fid->open_fd < 0 ? -EBADF : fid->open_fd;
}

int p9_do_lock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
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

int p9_do_getlock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
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
