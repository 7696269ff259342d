/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_wire.h"

#include <errno.h>

#include "vmm/base/array.h"

static struct p9_text get_text(struct bytes_reader *r)
{
	struct p9_text text = {};

	text.data = bytes_get_u16_blob(r, UINT16_MAX, &text.len);
	return text;
}

static void parse_statfs(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
}

static void parse_lopen(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->flags = bytes_get_u32(r);
}

static void parse_lcreate(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->flags = bytes_get_u32(r);
	q->mode = bytes_get_u32(r);
	q->gid = bytes_get_u32(r);
}

static void parse_symlink(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->other_name = get_text(r);
	q->gid = bytes_get_u32(r);
}

static void parse_mknod(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->mode = bytes_get_u32(r);
	q->major = bytes_get_u32(r);
	q->minor = bytes_get_u32(r);
	q->gid = bytes_get_u32(r);
}

static void parse_rename(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->other_fid = bytes_get_u32(r);
	q->name = get_text(r);
}

static void parse_getattr(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	bytes_get_u64(r); /* what is asked for; all of it is given */
}

static void parse_setattr(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->valid = bytes_get_u32(r);
	q->mode = bytes_get_u32(r);
	q->uid = bytes_get_u32(r);
	q->gid = bytes_get_u32(r);
	q->size = bytes_get_u64(r);
	q->atime_s = bytes_get_u64(r);
	q->atime_ns = bytes_get_u64(r);
	q->mtime_s = bytes_get_u64(r);
	q->mtime_ns = bytes_get_u64(r);
}

static void parse_xattrwalk(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->other_fid = bytes_get_u32(r);
	q->name = get_text(r);
}

static void parse_xattrcreate(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->size = bytes_get_u64(r);
	q->flags = bytes_get_u32(r);
}

/* Tread, Treaddir, and Twrite up to its data. */
static void parse_read(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->offset = bytes_get_u64(r);
	q->count = bytes_get_u32(r);
}

static void parse_fsync(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	/* Older clients leave datasync out. */
	if (bytes_left(r))
		q->flags = bytes_get_u32(r);
}

static void parse_lock(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->lock_type = bytes_get_u8(r);
	q->flags = bytes_get_u32(r);
	q->lock_start = bytes_get_u64(r);
	q->lock_length = bytes_get_u64(r);
	q->lock_process = bytes_get_u32(r);
	q->name = get_text(r);
}

static void parse_getlock(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->lock_type = bytes_get_u8(r);
	q->lock_start = bytes_get_u64(r);
	q->lock_length = bytes_get_u64(r);
	q->lock_process = bytes_get_u32(r);
	q->name = get_text(r);
}

/* dfid fid name: the folder comes first here. */
static void parse_link(struct bytes_reader *r, struct p9_request *q)
{
	q->other_fid = bytes_get_u32(r);
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
}

static void parse_mkdir(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->mode = bytes_get_u32(r);
	q->gid = bytes_get_u32(r);
}

static void parse_renameat(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->other_fid = bytes_get_u32(r);
	q->other_name = get_text(r);
}

static void parse_unlinkat(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->flags = bytes_get_u32(r);
}

static void parse_version(struct bytes_reader *r, struct p9_request *q)
{
	q->msize = bytes_get_u32(r);
	q->name = get_text(r);
}

static void parse_auth(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->other_name = get_text(r);
	q->uid = bytes_get_u32(r);
}

static void parse_attach(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->other_fid = bytes_get_u32(r);
	q->name = get_text(r);
	q->other_name = get_text(r);
	q->uid = bytes_get_u32(r);
}

static void parse_flush(struct bytes_reader *r, struct p9_request *q)
{
	q->old_tag = bytes_get_u16(r);
}

static void parse_walk(struct bytes_reader *r, struct p9_request *q)
{
	q->fid = bytes_get_u32(r);
	q->other_fid = bytes_get_u32(r);
	q->name_count = bytes_get_u16(r);
	if (q->name_count > P9_WALK_MAX) {
		r->failed = true;
		return;
	}
	for (unsigned int i = 0; i < q->name_count; i++)
		q->names[i] = get_text(r);
}

static void (*const parsers[128])(struct bytes_reader *r, struct p9_request *q) = {
	[P9_TSTATFS] = parse_statfs,
	[P9_TLOPEN] = parse_lopen,
	[P9_TLCREATE] = parse_lcreate,
	[P9_TSYMLINK] = parse_symlink,
	[P9_TMKNOD] = parse_mknod,
	[P9_TRENAME] = parse_rename,
	[P9_TREADLINK] = parse_statfs,
	[P9_TGETATTR] = parse_getattr,
	[P9_TSETATTR] = parse_setattr,
	[P9_TXATTRWALK] = parse_xattrwalk,
	[P9_TXATTRCREATE] = parse_xattrcreate,
	[P9_TREADDIR] = parse_read,
	[P9_TFSYNC] = parse_fsync,
	[P9_TLOCK] = parse_lock,
	[P9_TGETLOCK] = parse_getlock,
	[P9_TLINK] = parse_link,
	[P9_TMKDIR] = parse_mkdir,
	[P9_TRENAMEAT] = parse_renameat,
	[P9_TUNLINKAT] = parse_unlinkat,
	[P9_TVERSION] = parse_version,
	[P9_TAUTH] = parse_auth,
	[P9_TATTACH] = parse_attach,
	[P9_TFLUSH] = parse_flush,
	[P9_TWALK] = parse_walk,
	[P9_TREAD] = parse_read,
	[P9_TWRITE] = parse_read,
	[P9_TCLUNK] = parse_statfs,
	[P9_TREMOVE] = parse_statfs,
};

bool p9_parse_header(const uint8_t data[static P9_HEADER_BYTES], uint32_t *ret_size,
	uint8_t *ret_type, uint16_t *ret_tag)
{
	if (load_le32(data) < P9_HEADER_BYTES)
		return false;
	*ret_size = load_le32(data);
	*ret_type = data[4];
	*ret_tag = load_le16(data + 5);
	return true;
}

int p9_parse(uint8_t type, uint16_t tag, const uint8_t *body, size_t size, struct p9_request *ret)
{
	struct bytes_reader r = bytes_reader(body, size);
	struct p9_request q = {};

	if (type >= ARRAY_SIZE(parsers) || !parsers[type])
		return -EOPNOTSUPP;
	q.type = type;
	q.tag = tag;
	parsers[type](&r, &q);
	if (!bytes_done(&r))
		return -EPROTO;
	*ret = q;
	return 0;
}

void p9_begin(struct bytes_writer *w, uint8_t type, uint16_t tag)
{
	bytes_put_u32(w, 0);
	bytes_put_u8(w, type);
	bytes_put_u16(w, tag);
}

void p9_put_qid(struct bytes_writer *w, const struct p9_qid *qid)
{
	bytes_put_u8(w, qid->type);
	bytes_put_u32(w, qid->version);
	bytes_put_u64(w, qid->path);
}

void p9_put_entry(struct bytes_writer *w, const struct p9_qid *qid, uint64_t next_offset,
	uint8_t type, const char *name, size_t len)
{
	p9_put_qid(w, qid);
	bytes_put_u64(w, next_offset);
	bytes_put_u8(w, type);
	bytes_put_u16_blob(w, name, len);
}

uint32_t p9_end(struct bytes_writer *w, uint32_t more)
{
	uint32_t size = (uint32_t)w->offset + more;

	if (!w->failed)
		store_le32(w->data, size);
	return size;
}
