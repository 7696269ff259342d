/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Names the guest may not touch. So far: extended attributes. The guest sees user.* alone, and of it not user.virtfs.*,
 * where the server keeps owners and modes (S3). Everything else (security.capability, trusted.*, ACLs) is not there.
 * Pure. Protected file names (S5, S9) come with a later issue, in this file.
 */
#include <stdbool.h>
#include <stddef.h>

#define GUARD_VIRTFS_PREFIX "user.virtfs."

/* name has len bytes, no NUL inside. */
bool guard_xattr_visible(const char *name, size_t len);
