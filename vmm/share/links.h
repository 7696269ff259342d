/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hard links that this server itself made in a share (S4). `st_nlink` cannot tell a second name inside the share
 * from one in the user's package store; a file with more names than its first and those counted here counts as linked
 * outside. What does not fit into the table is forgotten, on the safe side: such a file can no longer be written.
 *
 * Heap, allocated whole by links_init(). One thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/share/tree.h"

#define LINKS_MAX 8192 /* files with more than one name; a power of two */

struct links_entry {
	struct tree_id id;
	uint32_t made; /* 0: free */
};

struct links {
	struct links_entry *entries; /* open addressing, half full at most */
	uint32_t count;
};

int links_init(struct links *links);
void links_finish(struct links *links);

/* A link to the file was made (removed) through this server; nlink as it is afterwards. */
void links_made(struct links *links, const struct tree_id *id);
void links_removed(struct links *links, const struct tree_id *id);
/* Whether nlink names can all be ours. A count that the host has lowered is lowered here. */
bool links_all_ours(struct links *links, const struct tree_id *id, uint32_t nlink);
static inline bool links_empty(const struct links *links)
{
	return !links->count;
}
