/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A secret's value from whoever types it or pipes it in (E18): never echoed, never in an argument, wiped by the caller. */
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/secrets/secret_ref.h"

#define SECRET_INPUT_MAX (SECRET_VALUE_MAX + 3)

/* Of standard input: to its end, or a line where it is a terminal. */
int secret_value_read(
	const char *name, char value[static SECRET_INPUT_MAX], size_t *ret_len, struct err *err);
/* Into the kernel's user keyring, readable by this user's processes. -errno where this kernel has none. */
int secret_value_to_keyring(
	const char *description, const char *value, size_t len, struct err *err);
/* Out of it; nothing where it is not there. */
void secret_value_from_keyring(const char *description);
