/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/share/guard.h"

#include <string.h>

#define USER_PREFIX "user."

bool guard_xattr_visible(const char *name, size_t len)
{
	size_t user = strlen(USER_PREFIX), virtfs = strlen(GUARD_VIRTFS_PREFIX);

	if (len <= user || memcmp(name, USER_PREFIX, user))
		return false;
	/* "user.virtfs" alone is of QEMU's name space as well (its directory form). */
	return len < virtfs - 1 || memcmp(name, GUARD_VIRTFS_PREFIX, virtfs - 1) ||
	       (len >= virtfs && name[virtfs - 1] != '.');
}
