/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The files a guest holds on to: a capped table of O_PATH fds, counted by reference (S8, V9).
 *
 * Theory of operation. A handle is a number. Its fd is there as a rule. When more than `fds_max` are open, the one unused
 * longest is closed, and the path it had then is kept instead; on its next use the path is walked again, one component at a
 * time, and must lead to the very same file (device, inode, birth), else -ESTALE. So a path is never trusted, only
 * a hint, and a guest that holds many names costs a bounded number of fds and bytes.
 *
 * One thread. The pool is allocated whole and touched as it fills.
 */
#include <stdint.h>

#include "vmm/share/share.h"

#define HANDLES_MAX	    65536
#define HANDLES_PATHS_MAX   (8u << 20) /* bytes of kept paths */
#define HANDLES_FDS_MIN	    16
#define HANDLES_EVICT_TRIES 8
#define HANDLES_NONE	    UINT32_MAX

struct handle {
	int fd; /* -1: evicted */
	uint32_t references; /* 0: free */
	uint32_t newer,
		older; /* order of use of those with an fd; of free ones, `older` is the next */
	mode_t type; /* S_IFMT of the real file */
	bool outside; /* it was linked outside when it was found, or is left outside by now (S4) */
	struct tree_id id;
	uint64_t qid_path;
	char *path;
};

struct handles {
	struct share *share; /* borrowed */
	struct handle *pool;
	uint32_t used; /* places ever used */
	uint32_t free; /* first free one below used */
	uint32_t newest, oldest;
	uint32_t fd_count, fds_max;
	uint32_t count;
	uint64_t path_bytes, evictions;
};

int handles_init(struct handles *handles, struct share *share, uint32_t fds_max);
void handles_finish(struct handles *handles);
void handles_clear(struct handles *handles); /* all of them, whatever refers to them */

/*
 * From now on at most fds_max of them (HANDLES_FDS_MIN where it is less) have their fds. -ENFILE where those that are there
 * cannot be given back: files without a name.
 */
int handles_limit(struct handles *handles, uint32_t fds_max);

/* Takes fd over (closes it where it fails) and gives a handle with one reference: 0, or -ENFILE where all are taken. */
int handles_add(struct handles *handles, int fd, const struct statx *real, uint32_t *ret);
void handles_ref(struct handles *handles, uint32_t handle);
void handles_unref(struct handles *handles, uint32_t handle);
/* Its fd, borrowed until the second next call that may evict; or -ESTALE, -ENFILE. */
int handles_fd(struct handles *handles, uint32_t handle);
/* The file's handles are left outside. */
void handles_mark_outside(struct handles *handles, const struct tree_id *id);
/* It was found inside after all. */
void handles_clear_outside(struct handles *handles, uint32_t handle);
static inline const struct handle *handles_get(const struct handles *handles, uint32_t handle)
{
	return &handles->pool[handle];
}
