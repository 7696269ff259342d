/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One throw-away folder for a whole test program (private_folder.h says what kind of folder), and paths and files in it. A header alone, as its
 * state is the program's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/private_folder.h"
#include "vmm/base/fdio.h"

static char base[PATH_MAX / 2];

/* A path below it; the last four stay valid. */
static inline const char *at(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", base, name);
	return p;
}

/* A file of exactly this mode, with the folders on the way to it. */
static inline void put(const char *name, const char *text, mode_t mode)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", at(name));
	*strrchr(folder, '/') = '\0';
	assert_int_equal(fdio_mkdir_parents(folder, 0755), 0);
	assert_int_equal(fdio_write_file_atomic(AT_FDCWD, at(name), text, strlen(text), mode), 0);
	assert_int_equal(chmod(at(name), mode), 0);
}

/* For group tests. */
static inline int make_base(void)
{
	return private_folder_make(base) ? 0 : -1;
}

static inline int remove_base(void **state)
{
	char command[PATH_MAX];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command);
}
