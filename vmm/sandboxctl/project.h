/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which folder "this project" is: the nearest parent (or here) that is a sandbox's workspace or holds .sandbox.json;
 * else the git root; else here. Only names are looked at: `.git` and `.sandbox.json` are never opened, and no git is run
 * (S6). Such a name counts where it belongs to the caller or to root, so that nobody else's /tmp/.git picks the folder.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/paths.h"

#define PROJECT_PARENTS_MAX 128

struct project {
	char folder[PATH_MAX];
	uint64_t device, inode;
	bool has_sandbox;
	char name[SANDBOX_NAME_MAX +
		  1]; /* the sandbox's; or the one a new sandbox here would get by default */
};

/* Of the folder at path ("." for here). paths may be NULL: then no registry is asked. */
int project_find(const struct paths *paths, const char *path, struct project *ret, struct err *err);

/* Whether path or one of its parents is the folder with this device and inode. */
bool project_is_inside(const char *path, uint64_t device, uint64_t inode);
