/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A folder for one test that state and sockets may lie in: ours, 0700, below nothing that others may write to, so not in
 * /tmp. path has room for PATH_MAX / 2. Made below the current folder (meson runs tests in the build folder), or where $TEST_FOLDER says; short, since
 * socket paths are.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline const char *private_folder_make(char *path)
{
	const char *base = getenv("TEST_FOLDER");

	if (base && strlen(base) < PATH_MAX / 2 - 16)
		strcpy(path, base);
	else if (!getcwd(path, PATH_MAX / 2 - 16))
		return NULL;
	strcat(path, "/t.XXXXXX");
	return mkdtemp(path);
}
