/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

int handles_init(struct handles *handles, struct share *share, uint32_t fds_max)
{
	*handles = (struct handles){
		.share = share,
		.free = HANDLES_NONE,
		.newest = HANDLES_NONE,
		.oldest = HANDLES_NONE,
		.fds_max = fds_max < HANDLES_FDS_MIN ? HANDLES_FDS_MIN : fds_max,
		.pool = calloc(HANDLES_MAX, sizeof(struct handle)),
	};
	return handles->pool ? 0 : -ENOMEM;
}

/* The order of use. */

static void unlink_handle(struct handles *handles, struct handle *h)
{
	if (h->newer != HANDLES_NONE)
		handles->pool[h->newer].older = h->older;
	else
		handles->newest = h->older;
	if (h->older != HANDLES_NONE)
		handles->pool[h->older].newer = h->newer;
	else
		handles->oldest = h->newer;
}

static void link_newest(struct handles *handles, struct handle *h)
{
	uint32_t place = (uint32_t)(h - handles->pool);

	h->newer = HANDLES_NONE;
	h->older = handles->newest;
	if (handles->newest != HANDLES_NONE)
		handles->pool[handles->newest].newer = place;
	else
		handles->oldest = place;
	handles->newest = place;
}

static void set_fd(struct handles *handles, struct handle *h, int fd)
{
	h->fd = fd;
	handles->fd_count++;
	link_newest(handles, h);
}

static void drop_fd(struct handles *handles, struct handle *h)
{
	unlink_handle(handles, h);
	handles->fd_count--;
	close(h->fd);
	h->fd = -1;
}

static void drop_path(struct handles *handles, struct handle *h)
{
	if (!h->path)
		return;
	handles->path_bytes -= strlen(h->path) + 1;
	free(h->path);
	h->path = NULL;
}

/* A file that has no name any more, or whose name looks like that, keeps its fd. */
static bool keep_path(struct handles *handles, struct handle *h)
{
	char path[TREE_PATH_MAX];
	struct statx stx;
	size_t size;

	if (tree_path_of(&handles->share->tree, h->fd, path) < 0)
		return false;
	size = strlen(path) + 1;
	if (handles->path_bytes + size > HANDLES_PATHS_MAX)
		return false;
	if (tree_stat(h->fd, &stx) < 0 || !stx.stx_nlink)
		return false;
	h->path = strdup(path);
	if (h->path)
		handles->path_bytes += size;
	return h->path;
}

/* Makes room for one more fd. What cannot be evicted goes to the head of the order, so that the next try meets others. */
static int make_room(struct handles *handles)
{
	for (int i = 0; handles->fd_count >= handles->fds_max; i++) {
		struct handle *h = &handles->pool[handles->oldest];

		if (i == HANDLES_EVICT_TRIES)
			return -ENFILE;
		if (keep_path(handles, h)) {
			drop_fd(handles, h);
			handles->evictions++;
		} else {
			unlink_handle(handles, h);
			link_newest(handles, h);
		}
	}
	return 0;
}

int handles_limit(struct handles *handles, uint32_t fds_max)
{
	int r;

	/* One more than the new limit is what make_room() brings it below. */
	handles->fds_max = MAX(fds_max, (uint32_t)HANDLES_FDS_MIN) + 1;
	r = make_room(handles);
	handles->fds_max--;
	return r;
}

int handles_add(struct handles *handles, int fd, const struct statx *real, uint32_t *ret)
{
	_cleanup_close_ int owned = fd;
	uint32_t place = handles->free;
	struct handle *h;

	if (make_room(handles) < 0)
		return -ENFILE;
	if (place == HANDLES_NONE && handles->used == HANDLES_MAX)
		return -ENFILE;
	if (place == HANDLES_NONE)
		place = handles->used++;
	else
		handles->free = handles->pool[place].older;
	h = &handles->pool[place];
	*h = (struct handle){
		.references = 1,
		.type = real->stx_mode & S_IFMT,
		.id = tree_id(real),
		.outside = share_linked_outside(handles->share, real),
		.qid_path = share_qid_path(handles->share, share_device_of(real), real->stx_ino),
	};
	set_fd(handles, h, TAKE_FD(owned));
	handles->count++;
	*ret = place;
	return 0;
}

void handles_ref(struct handles *handles, uint32_t handle)
{
	handles->pool[handle].references++;
}

static void release(struct handles *handles, struct handle *h)
{
	if (h->fd >= 0)
		drop_fd(handles, h);
	drop_path(handles, h);
	h->references = 0;
	handles->count--;
}

void handles_unref(struct handles *handles, uint32_t handle)
{
	struct handle *h = &handles->pool[handle];

	if (--h->references)
		return;
	release(handles, h);
	h->older = handles->free;
	handles->free = handle;
}

void handles_clear(struct handles *handles)
{
	for (uint32_t i = 0; i < handles->used; i++)
		if (handles->pool[i].references)
			release(handles, &handles->pool[i]);
	handles->used = 0;
	handles->free = HANDLES_NONE;
}

void handles_finish(struct handles *handles)
{
	if (handles->pool)
		handles_clear(handles);
	free(handles->pool);
	handles->pool = NULL;
}

static int find_again(struct handles *handles, struct handle *h)
{
	_cleanup_close_ int fd = -1;
	struct tree_id id;
	struct statx stx;

	if (tree_walk(&handles->share->tree, h->path, &fd) < 0 || tree_stat(fd, &stx) < 0)
		return -ESTALE;
	id = tree_id(&stx);
	if (!tree_id_equal(&id, &h->id))
		return -ESTALE;
	drop_path(handles, h);
	set_fd(handles, h, TAKE_FD(fd));
	return h->fd;
}

int handles_fd(struct handles *handles, uint32_t handle)
{
	struct handle *h = &handles->pool[handle];

	if (h->fd < 0)
		return make_room(handles) < 0 ? -ENFILE : find_again(handles, h);
	if (handles->newest != handle) {
		unlink_handle(handles, h);
		link_newest(handles, h);
	}
	return h->fd;
}

void handles_mark_outside(struct handles *handles, const struct tree_id *id)
{
	for (uint32_t i = 0; i < handles->used; i++)
		if (handles->pool[i].references && tree_id_equal(&handles->pool[i].id, id))
			handles->pool[i].outside = true;
}

void handles_clear_outside(struct handles *handles, uint32_t handle)
{
	handles->pool[handle].outside = false;
}
