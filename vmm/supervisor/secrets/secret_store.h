/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The user's secrets: which there are and where each comes from (secret_ref.h), and the values of those, and only those,
 * that the user told us to keep.
 *   <config>/secrets.json     {"version": 1, "secrets": {NAME: reference, ...}}   0600
 *   <config>/secrets/NAME     a stored value                                      0600, in a folder of 0700
 * Files of others, and files that others may read, are refused. Nothing here reads a value but secret_store_open_value(), for
 * sandbox-secret.
 */
#include "vmm/supervisor/paths.h"
#include "vmm/supervisor/secrets/secret_ref.h"

#define SECRETS_MAX 1024

/* The member `secrets` of the file: names and references, checked. An empty object where there is no file. The caller's. */
int secret_store_load(const struct paths *paths, json_t **ret, struct err *err);
/* -ENOKEY, with the way out, where there is none. */
int secret_store_find(
	const struct paths *paths, const char *name, struct secret_ref *ret, struct err *err);
/* Adds or replaces. value: of SECRET_STORED; of any other kind, what was stored under that name goes. */
int secret_store_set(const struct paths *paths, const char *name, const struct secret_ref *ref,
	const char *value, size_t len, struct err *err);
/* With its value. -ENOKEY. */
int secret_store_remove(const struct paths *paths, const char *name, struct err *err);
/* A stored value's file. */
int secret_store_open_value(
	const struct paths *paths, const char *name, int *ret_fd, struct err *err);
