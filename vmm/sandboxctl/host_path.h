/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Files of this host that a command line names and that may lie in a workspace, where a guest can have made any name a link
 * (H14). The folder is reached with no symbolic link on the way, in one call of openat2(2); the file itself through
 * share/tree. `..` and mounts in the path are the user's own word.
 */
#include <stddef.h>

#include "vmm/base/err.h"

/* An O_PATH fd. -ELOOP where a link is on the way; the error then offers the real path. */
int host_path_open_folder(const char *path, int *ret_fd, struct err *err);
/* The same of the folder that path's last component is in. */
int host_path_open_parent(const char *path, int *ret_fd, struct err *err);
/*
 * A regular file of at most `max` bytes; *ret_text on the heap, NUL after its end. No link is followed, the last component
 * included, and nothing but a regular file is opened. The caller names what the file is for: err_prefix().
 */
int host_path_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *err);
