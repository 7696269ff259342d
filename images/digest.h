/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * SHA-256 (FIPS 180-4, by OpenSSL) as lower-case hex: what caches are named after.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vmm/base/err.h"

#define DIGEST_HEX_LEN 64

struct digest; /* one running computation */

int digest_create(struct digest **ret);
void digest_destroy(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t len);
/* What tells one version of a file from the next without reading it: place, size and times. */
void digest_add_stat(struct digest *digest, const char *path, const struct stat *st);
/* Ends it. -EIO where OpenSSL failed at any step. */
int digest_final(struct digest *digest, char ret_hex[static DIGEST_HEX_LEN + 1]);

/* Of a whole file, from its start; the fd's position is not used. */
int digest_of_file(int fd, char ret_hex[static DIGEST_HEX_LEN + 1], struct err *err);
