/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * File systems that are mounted below a folder: a share of that folder does not enter them (tree.h: NO_XDEV). Source:
 * proc_pid_mountinfo(5).
 */
#include "vmm/supervisor/json.h"

#define MOUNTS_BELOW_MAX 32 /* that are named for one folder */

/* Their paths, from a mountinfo's text. Pure. Lines that are not understood count for nothing. */
json_t *mounts_below_of(const char *mountinfo, const char *folder);
/* From this process's own. */
json_t *mounts_below(const char *folder);
