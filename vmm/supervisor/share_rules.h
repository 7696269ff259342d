/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * S10: no share is, holds or lies inside `/`, the home folder itself, our configuration, state, images, caches or sockets.
 * (share/share_check.h does the comparing). The binaries and scripts that run may lie in a
 * share (a build tree at work on itself): then they, and every folder on the way to them, go on a list that the share
 * server lets nobody write, replace or rename.
 */
#include <stdint.h>

#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/spec.h"

#define SHARE_RULES_PROTECTED_MAX 64

struct share_protected {
	struct {
		uint64_t device, inode;
	} ids[SHARE_RULES_PROTECTED_MAX];
	size_t count;
};

/* Every share of the spec, workspace included. -EPERM names share and clash. Adds to *protected_ids what lies in a writable share. */
int share_rules_check(const struct paths *paths, const struct spec *spec,
	struct share_protected *protected_ids, struct err *err);
