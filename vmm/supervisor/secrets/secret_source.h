/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A secret's value from where its reference says, into memory that the caller locked. Runs in sandbox-secret alone: whatever a
 * source does (a command that hangs, a file that is a pipe) happens to a process of its own.
 *
 * A command is /bin/sh -c in /, with the variables that secret_environment.h lets through and a PATH of the system's own folders; its standard
 * error is thrown away (it may hold values). It and all that it started in its process group are killed when it has ended, or
 * after SECRET_COMMAND_MS.
 */
#include "vmm/supervisor/secrets/secret_ref.h"

#define SECRET_COMMAND_MS 30000

struct secret_inputs {
	int value_fd; /* of a stored one, read to its end */
	char *const *environment; /* "NAME=value", NULL-ended */
};

/* buffer: SECRET_VALUE_MAX + 3 bytes. Errors hold no byte of a value. */
int secret_source_read(const struct secret_ref *ref, const struct secret_inputs *in, char *buffer,
	size_t *ret_len, struct err *err);
