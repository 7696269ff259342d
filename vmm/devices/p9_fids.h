/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The fids of one 9p connection: the client's numbers, what they stand for, and their caps. Heap: pool and buckets,
 * allocated whole, touched as they fill. One thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/devices/p9_server.h"
#include "vmm/share/handles.h"

#define P9_FID_BUCKETS 8192

enum p9_fid_kind {
	P9_FID_FREE = 0,
	P9_FID_FILE, /* may be opened or not: open_fd */
	P9_FID_XATTR_READ, /* a value, or a list of names, to be read */
	P9_FID_XATTR_WRITE, /* a value that is written at clunk */
};

struct p9_xattr {
	char name[256];
	uint32_t size, done; /* of data; bytes written by the guest so far */
	uint32_t flags;
	uint8_t data[SHARE_XATTR_MAX];
};

/* What a short read left over, and how often it was asked for since: p9_do_read(). */
struct p9_rest {
	uint64_t offset, asked_at_ms;
	uint32_t count, asked;
};

struct p9_fid {
	uint32_t number;
	uint32_t next; /* in its bucket, or of the free ones */
	uint32_t uid; /* of the attach it comes from */
	uint32_t handle; /* HANDLES_NONE: only open_fd */
	uint64_t dir_position; /* where open_fd stands in its folder; UINT64_MAX: unknown */
	uint64_t epoch; /* for share_before_write() */
	struct p9_xattr *xattr;
	int open_fd;
	uint8_t kind; /* enum p9_fid_kind */
	bool writable;
	bool outside; /* as a handle's, of open_fd's file */
	struct tree_id id; /* of open_fd's file */
	struct p9_rest rest;
};

struct p9_fids {
	struct handles *handles; /* borrowed */
	struct p9_fid *pool;
	uint32_t *buckets;
	uint32_t used, free, count;
	uint32_t open_count, fds_max, xattr_count;
};

/* fds_max: of opened files and of handles together. What is open comes first: handles find their files again. */
int p9_fids_init(struct p9_fids *fids, struct handles *handles, uint32_t fds_max);
void p9_fids_finish(struct p9_fids *fids);
void p9_fids_clear(struct p9_fids *fids);

struct p9_fid *p9_fids_find(struct p9_fids *fids, uint32_t number);
/* -EBADF where the number is taken or NOFID, -ENFILE where all are. *ret is a file without handle. */
int p9_fids_add(struct p9_fids *fids, uint32_t number, uint32_t uid, struct p9_fid **ret);
void p9_fids_remove(struct p9_fids *fids, struct p9_fid *fid);

/* Makes room for one more. -EMFILE where too many are open. May evict (handles_fd()). */
int p9_fids_may_open(struct p9_fids *fids);
/* Takes fd over. */
void p9_fids_set_open(
	struct p9_fids *fids, struct p9_fid *fid, int fd, bool writable, const struct tree_id *id);
void p9_fids_mark_outside(struct p9_fids *fids, const struct tree_id *id);
/* Gives fid a buffer. -ENOSPC where there are too many. */
int p9_fids_set_xattr(struct p9_fids *fids, struct p9_fid *fid, enum p9_fid_kind kind);
/* Replaces what it stands for; takes the reference over. */
void p9_fids_set_handle(struct p9_fids *fids, struct p9_fid *fid, uint32_t handle);
