/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>

/* uid 0 gains nothing by being 0, keeps nothing, and none of this can be turned back. */
#define SECUREBITS                                                                                 \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
		SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                          \
		SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

int caps_drop_all(const char *process, struct err *err)
{
	if (prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0)
		return err_set(err, -errno, "%s: cannot lock the secure bits: %s", process,
			strerror(errno));
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_ALL) < 0)
		return err_set(err, -EPERM, "%s: cannot give up capabilities", process);
	if (capng_have_capabilities(CAPNG_SELECT_ALL) != CAPNG_NONE)
		return err_set(
			err, -EPERM, "%s: capabilities are left after giving them up", process);
	return 0;
}
