/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a guest of the image `host` sees of the host's /etc: a snapshot of a positive list (S11), made under the sandbox's
 * state folder, read-only to the guest.
 *
 * In it come only names of the list, and of those only what any stranger on the host may read (files o+r, folders o+rx),
 * links as links. Never: npmrc, pip.conf, gitconfig, apt's auth.conf, environment, profile.d, machine-id, keys. A file that
 * has user:password@ in an address is left out, or, where it is a list of apt's one-line form, loses those lines.
 */
#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/err.h"

#define HOST_ETC_FILE_MAX  (16u << 20)
#define HOST_ETC_TOTAL_MAX (128u << 20)
#define HOST_ETC_FILES_MAX 20000
#define HOST_ETC_DEPTH_MAX 12

/*
 * Fills folder (made where missing) from the host's /etc; what is there already and made from the same files at the same
 * times is left as it is. source is "/etc" but in tests.
 */
int host_etc_build(const char *source, const char *folder, struct err *err);

/* Whether a text has an address with a user or password in it: scheme://user[:password]@host. Pure. */
bool host_etc_has_credentials(const char *text, size_t len);
