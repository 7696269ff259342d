/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where a secret's value comes from: never the value itself. As JSON, one object:
 *   {"kind": "stored"}                                      the value lies in our own store (secret_store.h)
 *   {"kind": "file", "path": "/absolute"}                   a regular file, named without any link in its path
 *   {"kind": "env", "variable": "NAME"}                     of the environment of whoever starts the sandbox
 *   {"kind": "command", "command": "gh auth token", "refresh_s": 3300}   what /bin/sh -c prints; fetched anew after refresh_s
 *   {"kind": "systemd-credential", "credential": "NAME"}    a file in $CREDENTIALS_DIRECTORY (systemd.exec(5))
 *   {"kind": "keyring", "key": "DESCRIPTION"}               a key of type user in the kernel's user keyring (keyrings(7))
 * Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/json.h"

#define SECRET_NAME_MAX	   64
#define SECRET_TEXT_MAX	   4096
#define SECRET_VALUE_MAX   8192 /* bytes of a value, as an injector takes it */
#define SECRET_REFRESH_MIN 10 /* seconds */
#define SECRET_REFRESH_MAX (30 * 86400)

enum secret_kind {
	SECRET_STORED,
	SECRET_FILE,
	SECRET_ENV,
	SECRET_COMMAND,
	SECRET_SYSTEMD,
	SECRET_KEYRING,
	SECRET_KINDS,
};

struct secret_ref {
	enum secret_kind kind;
	char text[SECRET_TEXT_MAX + 1]; /* path, variable, command, ...; "" for stored */
	uint32_t refresh_s; /* 0: never */
};

/* Letters, digits, `.`, `_` and `-`, the first a letter or digit: as a policy's binding has it. */
bool secret_name_valid(const char *name);
const char *secret_kind_word(enum secret_kind kind);
/* What secret_ref_parse() takes, or -EINVAL with what is wrong. */
int secret_ref_check(const struct secret_ref *ref, struct err *err);
/* From an object that holds nothing else. *ret untouched on failure. */
int secret_ref_parse(json_t *object, struct secret_ref *ret, struct err *err);
/* NULL without memory. */
json_t *secret_ref_json(const struct secret_ref *ref);
/* One newline at the end (CR LF too) is no part of a value. -EINVAL: none, too long, or a byte that no credential has. */
int secret_value_trim(const char *value, size_t len, size_t *ret_len, struct err *err);
