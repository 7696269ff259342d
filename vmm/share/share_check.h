/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What may be shared at all (S10), asked before anything starts. By device and inode of every ancestor, so that no other
 * spelling, link or bind mount of a folder gets past.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define SHARE_CHECK_DEPTH_MAX 256

/* What a share may have to do with a place of ours. */
enum share_place_kind {
	SHARE_PLACE_HOME, /* not be it, not hold it; to lie inside is what workspaces do */
	SHARE_PLACE_OURS, /* not be it, hold it, nor lie inside: configuration, state, images, caches, sockets */
	SHARE_PLACE_BINARIES, /* not be it nor lie inside; a share that holds it gets it read-only (share_protect) */
};

struct share_place {
	const char *what; /* "the home directory", for the message */
	const char *
		path; /* one that does not exist (yet) is compared by its nearest parent that does, as held by it */
	enum share_place_kind kind;
};

struct share_root {
	uint64_t device, inode; /* as stat tells them: makedev() form */
	bool holds_binaries;
};

/*
 * 0 and *ret, or -EPERM with a text that names the clash, -ENOTDIR, -ENOENT, or what stat said. `/` is always refused.
 * Only the supervisor's side calls this, by path, before any jail.
 */
int share_check_root(const char *path, const struct share_place *places, size_t count,
	struct share_root *ret, struct err *err);
