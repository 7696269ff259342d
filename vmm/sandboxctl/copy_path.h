/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two words of cp. NAME:PATH is in a guest, :PATH in the guest of this folder's sandbox, anything else on this host;
 * a host file with a colon before its first slash is written ./a:b. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/parse.h"

struct copy_path {
	bool in_guest;
	char name[SANDBOX_NAME_MAX + 1]; /* "": this folder's sandbox */
	const char *path; /* into the word */
};

int copy_path_parse(const char *word, struct copy_path *ret, struct err *err);

/* The last component of path, where it is one (not empty, `.`, `..` or only slashes); false else. out: NAME_MAX + 1. */
bool copy_path_last(const char *path, char out[static 256]);

/*
 * Whether a link with this target, in a folder `depth` levels below the top of a copied tree, stays inside the tree:
 * relative, `..` only at its beginning and at most depth times. (A `..` after a name could go through another link.)
 */
bool copy_link_stays_inside(const char *target, size_t depth);
