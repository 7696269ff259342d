/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

static void on_left_outside(void *data, const struct tree_id *id)
{
	struct p9_server *s = data;

	handles_mark_outside(&s->handles, id);
	p9_fids_mark_outside(&s->fids, id);
}

/* Session. */

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
	return p9_put_new_qid(s, 0, &stx, w);
}

static int do_flush(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w)
{
	(void)s, (void)q, (void)w;
	return 0; /* the request it names was answered before this one was read */
}

static int (*const actions[128])(
	struct p9_server *s, const struct p9_request *q, struct bytes_writer *w) = {
	[P9_TSTATFS] = p9_do_statfs,
	[P9_TLOPEN] = p9_do_lopen,
	[P9_TLCREATE] = p9_do_lcreate,
	[P9_TSYMLINK] = p9_do_symlink,
	[P9_TMKNOD] = p9_do_mknod,
	[P9_TRENAME] = p9_do_rename,
	[P9_TREADLINK] = p9_do_readlink,
	[P9_TGETATTR] = p9_do_getattr,
	[P9_TSETATTR] = p9_do_setattr,
	[P9_TXATTRWALK] = p9_do_xattrwalk,
	[P9_TXATTRCREATE] = p9_do_xattrcreate,
	[P9_TREADDIR] = p9_do_readdir,
	[P9_TFSYNC] = p9_do_fsync,
	[P9_TLOCK] = p9_do_lock,
	[P9_TGETLOCK] = p9_do_getlock,
	[P9_TLINK] = p9_do_link,
	[P9_TMKDIR] = p9_do_mkdir,
	[P9_TRENAMEAT] = p9_do_renameat,
	[P9_TUNLINKAT] = p9_do_unlinkat,
	[P9_TVERSION] = do_version,
	[P9_TAUTH] = do_auth,
	[P9_TATTACH] = do_attach,
	[P9_TFLUSH] = do_flush,
	[P9_TWALK] = p9_do_walk,
	[P9_TREAD] = p9_do_read,
	[P9_TWRITE] = p9_do_write,
	[P9_TCLUNK] = p9_do_clunk,
	[P9_TREMOVE] = p9_do_remove,
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
