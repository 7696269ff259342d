/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whose rights the jailed processes of a sandbox have: the caller's own, or, started as root, the workspace owner's
 * (SUDO_UID's, if that owner is root).
 */
#include <stdbool.h>
#include <sys/types.h>

#include "vmm/supervisor/spec.h"

struct owner {
	uid_t uid;
	gid_t gid;
};

/* The workspace's device and inode must be those of the spec (H13): -ESTALE. */
int owner_of_sandbox(const struct spec *spec, struct owner *ret, struct err *err);
/* Whether that is somebody else than we are: then the jailed processes cannot pass through our own 0700 folders. */
bool owner_is_other(const struct owner *owner);
/* Whether owner may read (and enter) a folder, tried with just those rights. -EACCES names folder and owner. */
int owner_check_access(
	const struct owner *owner, const char *folder, bool writable, struct err *err);
