/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What fetching a secret may need of the environment in which a sandbox is started: the variables that references of kind env name, and for
 * commands HOME USER LOGNAME LANG XDG_* DBUS_SESSION_BUS_ADDRESS CREDENTIALS_DIRECTORY. sandboxctl writes them into a file in memory; the
 * supervisor holds that file and never reads it (E20); sandbox-secret does. PATH is not among them: a project may have put its own
 * folders there, and whoever writes the project would run on the host.
 *
 * As text: each "NAME=value" and a NUL.
 */
#include <stdbool.h>

#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/secrets/secret_ref.h"

#define SECRET_ENVIRONMENT_MAX	 (64u << 10)
#define SECRET_ENVIRONMENT_COUNT 128

/* *ret_fd: sealed, the caller's. A store that cannot be read is told when a secret is fetched, not here. */
int secret_environment_write(const struct paths *paths, int *ret_fd, struct err *err);
/* fd from its beginning into buffer (its maximum and a NUL); *ret: NULL-ended, borrows from buffer. */
int secret_environment_read(int fd, char buffer[static SECRET_ENVIRONMENT_MAX + 1],
	char *ret[static SECRET_ENVIRONMENT_COUNT + 1]);
/* Whether a command gets it. */
bool secret_environment_is_for_commands(const char *variable);
/* NULL: it is not there. */
char *secret_environment_get(char *const *environment, const char *name);
