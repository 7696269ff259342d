/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/p9_fids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NONE UINT32_MAX

int p9_fids_init(struct p9_fids *fids, struct handles *handles, uint32_t fds_max)
{
	*fids = (struct p9_fids){
		.handles = handles,
		.pool = calloc(P9_FIDS_MAX, sizeof(struct p9_fid)),
		.buckets = malloc(P9_FID_BUCKETS * sizeof(uint32_t)),
		.free = NONE,
		.fds_max = fds_max,
	};
	if (!fids->pool || !fids->buckets)
		return -ENOMEM;
	memset(fids->buckets, 0xff, P9_FID_BUCKETS * sizeof(uint32_t));
	return 0;
}

static uint32_t *bucket_of(struct p9_fids *fids, uint32_t number)
{
	return &fids->buckets[(number * 0x9e3779b1u >> 16) % P9_FID_BUCKETS];
}

struct p9_fid *p9_fids_find(struct p9_fids *fids, uint32_t number)
{
	uint32_t place = *bucket_of(fids, number);

	while (place != NONE && fids->pool[place].number != number)
		place = fids->pool[place].next;
	return place == NONE ? NULL : &fids->pool[place];
}

int p9_fids_add(struct p9_fids *fids, uint32_t number, uint32_t uid, struct p9_fid **ret)
{
	uint32_t *bucket = bucket_of(fids, number);
	uint32_t place = fids->free;

	if (number == UINT32_MAX || p9_fids_find(fids, number))
		return -EBADF;
	if (place == NONE && fids->used == P9_FIDS_MAX)
		return -ENFILE;
	if (place == NONE)
		place = fids->used++;
	else
		fids->free = fids->pool[place].next;
	fids->pool[place] = (struct p9_fid){
		.number = number,
		.next = *bucket,
		.uid = uid,
		.handle = HANDLES_NONE,
		.open_fd = -1,
		.kind = P9_FID_FILE,
	};
	*bucket = place;
	fids->count++;
	*ret = &fids->pool[place];
	return 0;
}

static void release(struct p9_fids *fids, struct p9_fid *fid)
{
	if (fid->handle != HANDLES_NONE)
		handles_unref(fids->handles, fid->handle);
	if (fid->open_fd >= 0) {
		close(fid->open_fd);
		fids->open_count--;
		handles_limit(fids->handles, fids->fds_max - fids->open_count);
	}
	if (fid->xattr) {
		free(fid->xattr);
		fids->xattr_count--;
	}
	*fid = (struct p9_fid){ .open_fd = -1, .handle = HANDLES_NONE };
}

void p9_fids_remove(struct p9_fids *fids, struct p9_fid *fid)
{
	uint32_t place = (uint32_t)(fid - fids->pool);
	uint32_t *link = bucket_of(fids, fid->number);

	while (*link != place)
		link = &fids->pool[*link].next;
	*link = fid->next;
	release(fids, fid);
	fid->next = fids->free;
	fids->free = place;
	fids->count--;
}

void p9_fids_clear(struct p9_fids *fids)
{
	for (uint32_t i = 0; i < fids->used; i++)
		if (fids->pool[i].kind != P9_FID_FREE)
			release(fids, &fids->pool[i]);
	memset(fids->buckets, 0xff, P9_FID_BUCKETS * sizeof(uint32_t));
	fids->used = fids->count = 0;
	fids->free = NONE;
}

void p9_fids_finish(struct p9_fids *fids)
{
	if (fids->pool && fids->buckets)
		p9_fids_clear(fids);
	free(fids->pool);
	free(fids->buckets);
	*fids = (struct p9_fids){};
}

int p9_fids_may_open(struct p9_fids *fids)
{
	uint32_t open = fids->open_count + 1;

	if (open + HANDLES_FDS_MIN > fids->fds_max)
		return -EMFILE;
	return handles_limit(fids->handles, fids->fds_max - open) < 0 ? -EMFILE : 0;
}

void p9_fids_set_open(
	struct p9_fids *fids, struct p9_fid *fid, int fd, bool writable, const struct tree_id *id)
{
	fid->open_fd = fd;
	fid->writable = writable;
	fid->id = *id;
	fid->dir_position = 0;
	fid->rest = (struct p9_rest){};
	fids->open_count++;
}

void p9_fids_mark_outside(struct p9_fids *fids, const struct tree_id *id)
{
	for (uint32_t i = 0; i < fids->used; i++)
		if (fids->pool[i].open_fd >= 0 && tree_id_equal(&fids->pool[i].id, id))
			fids->pool[i].outside = true;
}

int p9_fids_set_xattr(struct p9_fids *fids, struct p9_fid *fid, enum p9_fid_kind kind)
{
	if (fids->xattr_count == P9_XATTRS_MAX)
		return -ENOSPC;
	fid->xattr = malloc(sizeof(*fid->xattr));
	if (!fid->xattr)
		return -ENOMEM;
	fid->xattr->size = fid->xattr->done = fid->xattr->flags = 0;
	fid->xattr->name[0] = '\0';
	fid->kind = (uint8_t)kind;
	fids->xattr_count++;
	return 0;
}

void p9_fids_set_handle(struct p9_fids *fids, struct p9_fid *fid, uint32_t handle)
{
	if (fid->handle != HANDLES_NONE)
		handles_unref(fids->handles, fid->handle);
	fid->handle = handle;
}
