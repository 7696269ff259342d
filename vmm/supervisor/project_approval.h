/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * H5: with which policy a project's folder was approved, kept where no guest can write.
 *
 * Theory of operation. A guest that can write its workspace can take narrowing rules out of its .sandbox.json, or add any. So the
 * policy that a folder is first started with (or that it has none) is kept here with its digest, and holds at every later start
 * beside the one that is found then, until the user approves that one (`sandboxctl policy approve`). Both may only narrow, so
 * what was not approved widens nothing, and no start has to fail or to ask.
 *
 * One file for each folder: <state>/projects/HASH-INODE-DEVICE.json, HASH being of the canonical path. A folder is known by its path and
 * inode (a device's number changes over reboots), or by its inode and device (it was moved): a new folder at an old path is another one.
 * What is kept is the member `policy` alone, in canonical form: the rest of the file says nothing about the way out.
 */
#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/supervisor/paths.h"

#define PROJECT_DIGEST_LEN 64
#define PROJECT_NONE	   "none" /* the digest of no policy */

struct json_t; /* jansson's */

struct project_policy {
	char *name; /* the file that it stood in; NULL where there is none */
	char *json; /* canonical; NULL where there is none */
	char digest[PROJECT_DIGEST_LEN + 1]; /* SHA-256 (FIPS 180-4) of json, or PROJECT_NONE */
};

/* Both are the policy's from then on, and may be NULL together: there is none. -EIO: no digest can be made. */
int project_policy_set(struct project_policy *ret, char *name, char *json);
int project_policy_copy(const struct project_policy *from, struct project_policy *ret);
void project_policy_finish(struct project_policy *policy);

/* As it is kept: {"digest"[, "file", "policy"]}. NULL: no memory, or no UTF-8. -EINVAL: not what encode() gives. */
struct json_t *project_policy_encode(const struct project_policy *policy);
int project_policy_decode(struct json_t *object, struct project_policy *ret, struct err *err);

/*
 * 1 and what was approved for the folder (absolute, canonical); 0: nothing was yet. *ret_exact: it is kept under the folder's present key; where it is not,
 * project_approval_store() brings it there. -EINVAL: what is kept is damaged; the file is named.
 */
int project_approval_load(const struct paths *paths, const char *folder, struct project_policy *ret,
	bool *ret_exact, struct err *err);
/* Takes the place of whatever was approved for the folder. */
int project_approval_store(const struct paths *paths, const char *folder,
	const struct project_policy *policy, struct err *err);
