/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of the 9p server (p9_server.h), shared by its files: p9_server.c is the session and the frame around each request,
 * p9_lookup.c what a request names, p9_ops_*.c what it asks for, by topic. An op gets a parsed request, does it by share/,
 * and puts the fields of its reply. 0, or -errno as the guest is to see it; what it put is then dropped. One thread.
 */
#include "vmm/devices/p9_fids.h"
#include "vmm/devices/p9_server.h"
#include "vmm/devices/p9_wire.h"

#define P9_REPLY_MAX (128u << 10) /* without the data of Rread */
#define P9_DIRENTS_MAX                                                                             \
	(P9_REPLY_MAX / 6 * 5) /* no entry of getdents64 grows by more than 28/24 on the wire */

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
	uint8_t reply[P9_REPLY_MAX];
	uint8_t dirents[P9_DIRENTS_MAX] __attribute__((aligned(8)));
};

struct p9_name {
	char text[TREE_NAME_MAX + 1];
};

int p9_get_name(const struct p9_text *text, struct p9_name *ret);
int p9_find_file(struct p9_server *s, uint32_t number, struct p9_fid **ret);
/* An fd that stands for the fid's file: its own where it is open, else the handle's. */
int p9_fid_fd(struct p9_server *s, const struct p9_fid *fid);
/* S4, for files that were linked outside when the guest found them, or are by now. */
int p9_check_own(struct p9_server *s, struct p9_fid *fid);
int p9_find_fd(struct p9_server *s, uint32_t number);
/* An fd for changing the file itself. */
int p9_find_own_fd(struct p9_server *s, uint32_t number);
/* Like p9_find_fd, and who asks for what is to be made there. */
int p9_find_folder(struct p9_server *s, const struct p9_request *q, struct share_user *ret_user);
uint32_t p9_version_of(const struct statx *stx);
struct p9_qid p9_make_qid(struct p9_server *s, const struct statx *stx);
/* The reply of whatever made a file: r's error, or its qid. */
int p9_put_new_qid(struct p9_server *s, int r, const struct statx *stx, struct bytes_writer *w);
/* How many bytes of data a reply may carry. */
uint32_t p9_limit_count(const struct p9_server *s, uint32_t count, size_t room);

/* Names. */
int p9_do_walk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_mkdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_mknod(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_symlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_readlink(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_link(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_unlinkat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_remove(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_renameat(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_rename(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);

/* Opened files: data and locks. */
int p9_do_lopen(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_lcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_clunk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_read(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_write(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_fsync(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_lock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_getlock(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_readdir(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);

/* Attributes. */
int p9_do_getattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_setattr(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_statfs(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_xattrwalk(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
int p9_do_xattrcreate(struct p9_server *s, const struct p9_request *q, struct bytes_writer *w);
