/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SHA-1 (FIPS 180-4, 6.1) for a file format that asks for it (java_store.h). It secures nothing. Pure. */
#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE  20
#define SHA1_BLOCK 64

struct sha1 {
	uint32_t state[5];
	uint64_t len;
	uint8_t block[SHA1_BLOCK];
};

void sha1_init(struct sha1 *sha1);
void sha1_add(struct sha1 *sha1, const void *data, size_t len);
void sha1_finish(struct sha1 *sha1, uint8_t out[static SHA1_SIZE]);
