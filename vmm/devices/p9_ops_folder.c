/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"

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

int p9_do_readdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	uint32_t count = p9_limit_count(s, q->count, s->chain->writable_bytes);
	struct p9_fid *fid;
	struct statx stx;
	ssize_t n;
	int r = p9_find_file(s, q->fid, &fid);

	if (r < 0)
		return r;
	if (fid->open_fd < 0)
		return -EBADF;
	r = seek_folder(fid, q->offset);
	if (r >= 0)
		r = tree_stat(fid->open_fd, &stx);
	if (r < 0)
		return r;
	count = MIN(count, P9_REPLY_MAX - P9_READ_BYTES) / 6 * 5;
	n = getdents64(fid->open_fd, s->dirents, MIN(count, P9_DIRENTS_MAX));
	if (n < 0)
		return -errno;
	bytes_put_u32(w, 0);
	put_dirents(s, fid, &stx, (size_t)n, w);
	store_le32(w->data + P9_HEADER_BYTES, (uint32_t)(w->offset - P9_READ_BYTES));
	return 0;
}
