/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Fields in network order for the bounded reader and writer of vmm/base/bytes.h, which know little endian. */
#include "vmm/base/bytes.h"

static inline void put_be16(struct bytes_writer *w, uint16_t v)
{
	bytes_put(w, (const uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

static inline void put_be32(struct bytes_writer *w, uint32_t v)
{
	put_be16(w, (uint16_t)(v >> 16));
	put_be16(w, (uint16_t)v);
}

static inline uint16_t get_be16(struct bytes_reader *r)
{
	const uint8_t *p = bytes_get(r, 2);

	if (!p)
		return 0;
	return (uint16_t)((uint32_t)p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t p[static 4])
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
