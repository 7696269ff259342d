/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What sandbox-audit needs before it is spawned: the folder of a sandbox's log, kept past `rm`, and the host's key, which is made
 * when it is missing (0600; its public half beside it, key.pub).
 *   <state>/audit/{key,key.pub,NAME/}
 */
#include <limits.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/paths.h"

#define AUDIT_PUBLIC_KEY_FILE "key.pub"

/* Makes what is missing. *ret_key_fd is the caller's. */
int audit_open(const struct paths *paths, const char *name, int *ret_key_fd,
	char ret_folder[static PATH_MAX], struct err *err);
/* <state>/audit/NAME or, with NULL, <state>/audit; makes nothing. */
int audit_folder_path(
	const struct paths *paths, const char *name, char ret[static PATH_MAX], struct err *err);
