/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/p9_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"

static size_t cut(const struct p9_client *client, struct iovec *slices, void *data, size_t size)
{
	size_t piece = client->split, count = 0;

	/* As many pieces as there may be, the last one takes the rest. */
	for (size_t at = 0; at < size; count++) {
		size_t len = size - at;

		if (piece && piece < len && count < VIRTQUEUE_SIZE_MAX / 2 - 1)
			len = piece;
		slices[count] = (struct iovec){ (uint8_t *)data + at, len };
		at += len;
	}
	return count;
}

int64_t p9_client_raw(struct p9_client *client, const void *data, size_t size, size_t room)
{
	struct virtq_chain chain = {};

	memmove(client->out, data, size);
	memset(client->in, 0xa5, MIN(room, sizeof(client->in)));
	chain.readable_count = (uint16_t)cut(client, chain.slices, client->out, size);
	chain.writable_count =
		(uint16_t)cut(client, chain.slices + chain.readable_count, client->in, room);
	chain.readable_bytes = size;
	chain.writable_bytes = room;
	return p9_server_handle(client->server, &chain);
}

void p9_client_begin(struct p9_client *client, uint8_t type)
{
	client->request = bytes_writer(client->out, sizeof(client->out));
	p9_begin(&client->request, type, 7);
}

int p9_client_call(struct p9_client *client)
{
	uint8_t type, sent = client->out[4];
	uint16_t tag;
	uint32_t size;
	int64_t n;

	p9_end(&client->request, 0);
	if (client->request.failed)
		abort();
	n = p9_client_raw(client, client->out, client->request.offset, P9_MSIZE_MAX);
	if (n < 0)
		return (int)n;
	if (n < P9_HEADER_BYTES || !p9_parse_header(client->in, &size, &type, &tag) || size != n ||
		tag != 7)
		abort();
	client->in_size = size;
	client->reply = bytes_reader(client->in + P9_HEADER_BYTES, size - P9_HEADER_BYTES);
	if (type == P9_RLERROR)
		return -(int)bytes_get_u32(&client->reply);
	if (type != sent + 1)
		abort();
	return 0;
}

struct p9_client *p9_client_create(struct p9_server *server)
{
	struct p9_client *client = calloc(1, sizeof(*client));

	if (!client)
		abort();
	client->server = server;
	client->next_fid = 1;
	if (p9_client_version(client, P9_MSIZE_MAX) < 0)
		abort();
	return client;
}

void p9_client_destroy(struct p9_client *client)
{
	free(client);
}

uint32_t p9_client_new_fid(struct p9_client *client)
{
	return client->next_fid++;
}

int p9_client_version(struct p9_client *client, uint32_t msize)
{
	p9_client_begin(client, P9_TVERSION);
	bytes_put_u32(&client->request, msize);
	bytes_put_text(&client->request, P9_VERSION);
	return p9_client_call(client);
}

int p9_client_attach(struct p9_client *client, uint32_t uid, uint32_t *ret_fid)
{
	return p9_client_attach_as(client, uid, "", ret_fid);
}

int p9_client_attach_as(
	struct p9_client *client, uint32_t uid, const char *aname, uint32_t *ret_fid)
{
	uint32_t fid = p9_client_new_fid(client);
	int r;

	p9_client_begin(client, P9_TATTACH);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, P9_NOFID);
	bytes_put_text(&client->request, "");
	bytes_put_text(&client->request, aname);
	bytes_put_u32(&client->request, uid);
	r = p9_client_call(client);
	if (r >= 0)
		*ret_fid = fid;
	return r;
}

static int walk_count(struct p9_client *client, uint16_t count, uint32_t fid, uint32_t *ret_fid)
{
	int r = p9_client_call(client);
	uint16_t got;

	if (r < 0)
		return r;
	got = bytes_get_u16(&client->reply);
	if (got != count)
		return -ENOENT; /* partly: no fid was made */
	*ret_fid = fid;
	return 0;
}

int p9_client_walk_raw(
	struct p9_client *client, uint32_t fid, const void *name, size_t len, uint32_t *ret_fid)
{
	uint32_t new_fid = p9_client_new_fid(client);

	p9_client_begin(client, P9_TWALK);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, new_fid);
	bytes_put_u16(&client->request, 1);
	bytes_put_u16_blob(&client->request, name, len);
	return walk_count(client, 1, new_fid, ret_fid);
}

int p9_client_walk(struct p9_client *client, uint32_t fid, const char *path, uint32_t *ret_fid)
{
	uint32_t new_fid = p9_client_new_fid(client);
	uint16_t count = 0;

	p9_client_begin(client, P9_TWALK);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, new_fid);
	bytes_put_u16(&client->request, 0);
	while (*path) {
		size_t len = strcspn(path, "/");

		bytes_put_u16_blob(&client->request, path, len);
		count++;
		path += len + (path[len] == '/');
	}
	store_le16(client->out + P9_HEADER_BYTES + 8, count);
	return walk_count(client, count, new_fid, ret_fid);
}

int p9_client_open(struct p9_client *client, uint32_t fid, uint32_t flags)
{
	p9_client_begin(client, P9_TLOPEN);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, flags);
	return p9_client_call(client);
}

int p9_client_create_file(struct p9_client *client, uint32_t fid, const char *name, uint32_t flags,
	uint32_t mode, uint32_t gid)
{
	p9_client_begin(client, P9_TLCREATE);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	bytes_put_u32(&client->request, flags);
	bytes_put_u32(&client->request, mode);
	bytes_put_u32(&client->request, gid);
	return p9_client_call(client);
}

static int call_with_fid(struct p9_client *client, uint8_t type, uint32_t fid)
{
	p9_client_begin(client, type);
	bytes_put_u32(&client->request, fid);
	return p9_client_call(client);
}

int p9_client_clunk(struct p9_client *client, uint32_t fid)
{
	return call_with_fid(client, P9_TCLUNK, fid);
}

int p9_client_remove(struct p9_client *client, uint32_t fid)
{
	return call_with_fid(client, P9_TREMOVE, fid);
}

int64_t p9_client_read(
	struct p9_client *client, uint32_t fid, uint64_t offset, void *data, uint32_t count)
{
	uint32_t got;
	int r;

	p9_client_begin(client, P9_TREAD);
	bytes_put_u32(&client->request, fid);
	bytes_put_u64(&client->request, offset);
	bytes_put_u32(&client->request, count);
	r = p9_client_call(client);
	if (r < 0)
		return r;
	got = bytes_get_u32(&client->reply);
	if (got > count || got != bytes_left(&client->reply))
		abort();
	memcpy(data, bytes_get(&client->reply, got), got);
	return got;
}

int64_t p9_client_write(
	struct p9_client *client, uint32_t fid, uint64_t offset, const void *data, uint32_t count)
{
	int r;

	p9_client_begin(client, P9_TWRITE);
	bytes_put_u32(&client->request, fid);
	bytes_put_u64(&client->request, offset);
	bytes_put_u32(&client->request, count);
	bytes_put(&client->request, data, count);
	r = p9_client_call(client);
	return r < 0 ? r : (int64_t)bytes_get_u32(&client->reply);
}

static struct p9_qid get_qid(struct bytes_reader *r)
{
	struct p9_qid qid;

	qid.type = bytes_get_u8(r);
	qid.version = bytes_get_u32(r);
	qid.path = bytes_get_u64(r);
	return qid;
}

int p9_client_getattr(struct p9_client *client, uint32_t fid, struct p9_client_stat *ret)
{
	struct bytes_reader *reply = &client->reply;
	int r;

	p9_client_begin(client, P9_TGETATTR);
	bytes_put_u32(&client->request, fid);
	bytes_put_u64(&client->request, P9_GETATTR_BASIC);
	r = p9_client_call(client);
	if (r < 0)
		return r;
	if (bytes_left(reply) != 153)
		abort();
	bytes_get_u64(reply);
	ret->qid = get_qid(reply);
	ret->mode = bytes_get_u32(reply);
	ret->uid = bytes_get_u32(reply);
	ret->gid = bytes_get_u32(reply);
	ret->nlink = bytes_get_u64(reply);
	ret->rdev = bytes_get_u64(reply);
	ret->size = bytes_get_u64(reply);
	bytes_get(reply, 32); /* blksize, blocks, atime */
	ret->mtime_s = bytes_get_u64(reply);
	ret->mtime_ns = bytes_get_u64(reply);
	return 0;
}

int p9_client_setattr(struct p9_client *client, uint32_t fid, uint32_t valid, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t size)
{
	p9_client_begin(client, P9_TSETATTR);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, valid);
	bytes_put_u32(&client->request, mode);
	bytes_put_u32(&client->request, uid);
	bytes_put_u32(&client->request, gid);
	bytes_put_u64(&client->request, size);
	for (int i = 0; i < 4; i++)
		bytes_put_u64(&client->request, 1000);
	return p9_client_call(client);
}

int p9_client_mkdir(
	struct p9_client *client, uint32_t fid, const char *name, uint32_t mode, uint32_t gid)
{
	p9_client_begin(client, P9_TMKDIR);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	bytes_put_u32(&client->request, mode);
	bytes_put_u32(&client->request, gid);
	return p9_client_call(client);
}

int p9_client_mknod(struct p9_client *client, uint32_t fid, const char *name, uint32_t mode,
	uint32_t major, uint32_t minor)
{
	p9_client_begin(client, P9_TMKNOD);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	bytes_put_u32(&client->request, mode);
	bytes_put_u32(&client->request, major);
	bytes_put_u32(&client->request, minor);
	bytes_put_u32(&client->request, 1000);
	return p9_client_call(client);
}

int p9_client_symlink(struct p9_client *client, uint32_t fid, const char *name, const char *target)
{
	p9_client_begin(client, P9_TSYMLINK);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	bytes_put_text(&client->request, target);
	bytes_put_u32(&client->request, 1000);
	return p9_client_call(client);
}

int p9_client_readlink(struct p9_client *client, uint32_t fid, char *text, size_t size)
{
	int r = call_with_fid(client, P9_TREADLINK, fid);

	if (r < 0)
		return r;
	return bytes_get_text(&client->reply, text, size) ? 0 : -ERANGE;
}

int p9_client_link(struct p9_client *client, uint32_t dir_fid, uint32_t fid, const char *name)
{
	p9_client_begin(client, P9_TLINK);
	bytes_put_u32(&client->request, dir_fid);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	return p9_client_call(client);
}

int p9_client_unlink(struct p9_client *client, uint32_t fid, const char *name, bool folder)
{
	p9_client_begin(client, P9_TUNLINKAT);
	bytes_put_u32(&client->request, fid);
	bytes_put_text(&client->request, name);
	bytes_put_u32(&client->request, folder ? P9_UNLINK_FOLDER : 0);
	return p9_client_call(client);
}

int p9_client_rename(struct p9_client *client, uint32_t old_fid, const char *old_name,
	uint32_t new_fid, const char *new_name)
{
	p9_client_begin(client, P9_TRENAMEAT);
	bytes_put_u32(&client->request, old_fid);
	bytes_put_text(&client->request, old_name);
	bytes_put_u32(&client->request, new_fid);
	bytes_put_text(&client->request, new_name);
	return p9_client_call(client);
}

int64_t p9_client_getxattr(
	struct p9_client *client, uint32_t fid, const char *name, void *data, size_t size)
{
	uint32_t new_fid = p9_client_new_fid(client);
	uint64_t have;
	int64_t n;
	int r;

	p9_client_begin(client, P9_TXATTRWALK);
	bytes_put_u32(&client->request, fid);
	bytes_put_u32(&client->request, new_fid);
	bytes_put_text(&client->request, name);
	r = p9_client_call(client);
	if (r < 0)
		return r;
	have = bytes_get_u64(&client->reply);
	n = have > size ? -ERANGE : p9_client_read(client, new_fid, 0, data, (uint32_t)have);
	r = p9_client_clunk(client, new_fid);
	return r < 0 ? r : n;
}

int p9_client_setxattr(struct p9_client *client, uint32_t fid, const char *name, const void *data,
	size_t size, uint32_t flags)
{
	uint32_t new_fid;
	int64_t n = 0;
	int r = p9_client_walk(client, fid, "", &new_fid);

	if (r < 0)
		return r;
	p9_client_begin(client, P9_TXATTRCREATE);
	bytes_put_u32(&client->request, new_fid);
	bytes_put_text(&client->request, name);
	bytes_put_u64(&client->request, size);
	bytes_put_u32(&client->request, flags);
	r = p9_client_call(client);
	if (r >= 0 && size)
		n = p9_client_write(client, new_fid, 0, data, (uint32_t)size);
	if (r < 0 || n < 0) {
		p9_client_clunk(client, new_fid);
		return r < 0 ? r : (int)n;
	}
	return p9_client_clunk(client, new_fid);
}

int p9_client_readdir(struct p9_client *client, uint32_t fid, uint32_t count,
	void (*fn)(void *data, const char *name, uint8_t type, const struct p9_qid *qid,
		uint64_t offset),
	void *data)
{
	uint64_t offset = 0;

	for (;;) {
		struct bytes_reader page;
		uint8_t copy[65536];
		int r;

		p9_client_begin(client, P9_TREADDIR);
		bytes_put_u32(&client->request, fid);
		bytes_put_u64(&client->request, offset);
		bytes_put_u32(&client->request, MIN(count, (uint32_t)sizeof(copy)));
		r = p9_client_call(client);
		if (r < 0)
			return r;
		page.size = bytes_get_u32(&client->reply);
		if (page.size != bytes_left(&client->reply) || page.size > count)
			abort();
		if (!page.size)
			return 0;
		memcpy(copy, bytes_get(&client->reply, page.size), page.size);
		page = bytes_reader(copy, page.size);
		while (bytes_left(&page)) {
			struct p9_qid qid = get_qid(&page);
			uint8_t type;
			char name[256];

			offset = bytes_get_u64(&page);
			type = bytes_get_u8(&page);
			if (!bytes_get_text(&page, name, sizeof(name)))
				abort();
			fn(data, name, type, &qid, offset);
		}
	}
}
