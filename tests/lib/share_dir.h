/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A throw-away folder for tests of shares: TOP/share is shared, TOP/outside is what must not be reached. Also says whether
 * the file system there keeps user attributes. Aborts where the machine refuses.
 */
#include <stdbool.h>

struct share_dir {
	char top[64], share[80], outside[80];
	int share_fd,
		proc_fd; /* share_fd: O_PATH, to be handed over (dup it for more than one server) */
	bool xattrs;
};

void share_dir_init(struct share_dir *dir);
void share_dir_finish(struct share_dir *dir); /* removes all of it */
/* printf-like path below TOP; a static ring of 8. */
const char *share_dir_path(const struct share_dir *dir, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void share_dir_write(const char *path, const char *text);
/* Up to 255 bytes of a file, in a static buffer; NULL where it cannot be read. */
const char *share_dir_read(const char *path);
