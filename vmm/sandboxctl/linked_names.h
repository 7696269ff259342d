/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names for the files that a share refused to change because they have names outside it (S4). The VMM tells device and inode
 * alone, so that no name a guest chose comes from there; here the share's folder is searched for them. It is the guest's to
 * write, so share/tree does each step (H14): no link is followed, no other file system entered.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/sandboxctl/document.h"

#define LINKED_NAMES_ENTRIES_MAX                                                                   \
	200000 /* looked at in one share; what is not found until then stays a number */
#define LINKED_NAMES_DEPTH_MAX 64

struct linked_name {
	uint64_t device, inode; /* device as makedev() */
	char *path; /* below the folder, first found; NULL: not found. The caller's. */
};

/* -errno where the folder cannot be opened. */
int linked_names_find(const char *folder, struct linked_name *names, size_t count);

/* Gives each file of status' `linked_outside` a `path` (null where it was not found). */
void linked_names_fill(struct document *status);
