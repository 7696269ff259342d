/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The guest's side of 9P2000.L over a p9 server's buffer interface: messages in, chains cut into pieces, replies out. Raw
 * enough to say what no kernel would. Never linked into the product; a test's own mistake aborts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/devices/p9_server.h"
#include "vmm/devices/p9_wire.h"

#define P9_CLIENT_BYTES (P9_MSIZE_MAX + 64)

struct p9_client {
	struct p9_server *server;
	size_t split; /* bytes of each piece of a chain; 0: one piece */
	uint32_t next_fid;
	struct bytes_writer request;
	uint8_t out[P9_CLIENT_BYTES];
	uint8_t in[P9_CLIENT_BYTES];
	size_t in_size; /* of the last reply */
	struct bytes_reader reply; /* its fields */
};

struct p9_client_stat {
	struct p9_qid qid;
	uint32_t mode, uid, gid;
	uint64_t nlink, rdev, size, mtime_s, mtime_ns;
};

/* Heap. Also says Tversion with the largest msize. */
struct p9_client *p9_client_create(struct p9_server *server);
void p9_client_destroy(struct p9_client *client);

/* A message by hand: begin, bytes_put_*(&client->request), call. 0 or -errno as Rlerror said; -EPROTO for a fault. */
void p9_client_begin(struct p9_client *client, uint8_t type);
int p9_client_call(struct p9_client *client);
/* Bytes as they are, `room` bytes for the reply. Gives what p9_server_handle() gave. */
int64_t p9_client_raw(struct p9_client *client, const void *data, size_t size, size_t room);

uint32_t p9_client_new_fid(struct p9_client *client);
int p9_client_version(struct p9_client *client, uint32_t msize);
int p9_client_attach(struct p9_client *client, uint32_t uid, uint32_t *ret_fid);
int p9_client_attach_as(
	struct p9_client *client, uint32_t uid, const char *aname, uint32_t *ret_fid);
/* path: components with `/` between them; "": a clone. */
int p9_client_walk(struct p9_client *client, uint32_t fid, const char *path, uint32_t *ret_fid);
/* One component as given, bytes and all. */
int p9_client_walk_raw(
	struct p9_client *client, uint32_t fid, const void *name, size_t len, uint32_t *ret_fid);
int p9_client_open(struct p9_client *client, uint32_t fid, uint32_t flags);
int p9_client_create_file(struct p9_client *client, uint32_t fid, const char *name, uint32_t flags,
	uint32_t mode, uint32_t gid);
int p9_client_clunk(struct p9_client *client, uint32_t fid);
int p9_client_remove(struct p9_client *client, uint32_t fid);
int64_t p9_client_read(
	struct p9_client *client, uint32_t fid, uint64_t offset, void *data, uint32_t count);
int64_t p9_client_write(
	struct p9_client *client, uint32_t fid, uint64_t offset, const void *data, uint32_t count);
int p9_client_getattr(struct p9_client *client, uint32_t fid, struct p9_client_stat *ret);
int p9_client_setattr(struct p9_client *client, uint32_t fid, uint32_t valid, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t size);
int p9_client_mkdir(
	struct p9_client *client, uint32_t fid, const char *name, uint32_t mode, uint32_t gid);
int p9_client_mknod(struct p9_client *client, uint32_t fid, const char *name, uint32_t mode,
	uint32_t major, uint32_t minor);
int p9_client_symlink(struct p9_client *client, uint32_t fid, const char *name, const char *target);
int p9_client_readlink(struct p9_client *client, uint32_t fid, char *text, size_t size);
int p9_client_link(struct p9_client *client, uint32_t dir_fid, uint32_t fid, const char *name);
int p9_client_unlink(struct p9_client *client, uint32_t fid, const char *name, bool folder);
int p9_client_rename(struct p9_client *client, uint32_t old_fid, const char *old_name,
	uint32_t new_fid, const char *new_name);
/* size or -errno; value "" of names: the list. */
int64_t p9_client_getxattr(
	struct p9_client *client, uint32_t fid, const char *name, void *data, size_t size);
int p9_client_setxattr(struct p9_client *client, uint32_t fid, const char *name, const void *data,
	size_t size, uint32_t flags);
/* Calls fn for each entry, in replies of at most `count` bytes. */
int p9_client_readdir(struct p9_client *client, uint32_t fid, uint32_t count,
	void (*fn)(void *data, const char *name, uint8_t type, const struct p9_qid *qid,
		uint64_t offset),
	void *data);
