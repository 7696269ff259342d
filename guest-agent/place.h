/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Small files put where they belong, whole: made anew under O_EXCL, never written through what has the name already. */
#include <stddef.h>
#include <sys/types.h>

/* The folders above path are made as needed: 0755, root's. */
int place_file(
	const char *path, const void *content, size_t len, mode_t mode, uid_t uid, gid_t gid);
int place_link(const char *path, const char *target);
int place_folder(const char *path, mode_t mode, uid_t uid, gid_t gid);
