/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/sha1.h"

#include <string.h>

#include "guest-agent/egress/network_order.h"

static uint32_t rotated(uint32_t v, unsigned int by)
{
	return v << by | v >> (32 - by);
}

static uint32_t mixed(unsigned int round, uint32_t b, uint32_t c, uint32_t d)
{
	if (round < 20)
		return ((b & c) | (~b & d)) + 0x5a827999u;
	if (round < 40)
		return (b ^ c ^ d) + 0x6ed9eba1u;
	if (round < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
	return (b ^ c ^ d) + 0xca62c1d6u;
}

static void take_block(struct sha1 *sha1)
{
	uint32_t w[80], v[5];

	for (unsigned int i = 0; i < 16; i++)
		w[i] = load_be32(sha1->block + (size_t)4 * i);
	for (unsigned int i = 16; i < 80; i++)
		w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, sha1->state, sizeof(v));
	for (unsigned int i = 0; i < 80; i++) {
		uint32_t next = rotated(v[0], 5) + mixed(i, v[1], v[2], v[3]) + v[4] + w[i];

		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotated(v[1], 30);
		v[1] = v[0];
		v[0] = next;
	}
	for (unsigned int i = 0; i < 5; i++)
		sha1->state[i] += v[i];
}

void sha1_init(struct sha1 *sha1)
{
	*sha1 = (struct sha1){ .state = { 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u,
				       0xc3d2e1f0u } };
}

void sha1_add(struct sha1 *sha1, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		sha1->block[sha1->len++ % SHA1_BLOCK] = bytes[i];
		if (sha1->len % SHA1_BLOCK == 0)
			take_block(sha1);
	}
}

void sha1_finish(struct sha1 *sha1, uint8_t out[static SHA1_SIZE])
{
	struct bytes_writer w = bytes_writer(out, SHA1_SIZE);
	uint64_t bits = sha1->len * 8;
	uint8_t tail[8];
	struct bytes_writer t = bytes_writer(tail, sizeof(tail));

	put_be32(&t, (uint32_t)(bits >> 32));
	put_be32(&t, (uint32_t)bits);
	sha1_add(sha1, "\x80", 1);
	while (sha1->len % SHA1_BLOCK != SHA1_BLOCK - sizeof(tail))
		sha1_add(sha1, "", 1);
	sha1_add(sha1, tail, sizeof(tail));
	for (unsigned int i = 0; i < 5; i++)
		put_be32(&w, sha1->state[i]);
}
