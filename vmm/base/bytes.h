/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bounded reading and writing of wire formats: explicit little-endian fields, never a raw struct.
 *
 * Both cursors are sticky: the first field that does not fit sets `failed`, later calls do nothing (reads give 0 or
 * NULL), and the caller asks once, at the end. Nothing allocates; what a reader returns borrows from its buffer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes_reader {
	const uint8_t *data;
	size_t size;
	size_t offset;
	bool failed;
};

struct bytes_writer {
	uint8_t *data;
	size_t size; /* capacity */
	size_t offset; /* bytes written so far */
	bool failed;
};

static inline struct bytes_reader bytes_reader(const void *data, size_t size)
{
	return (struct bytes_reader){ .data = data, .size = size };
}

static inline struct bytes_writer bytes_writer(void *data, size_t size)
{
	return (struct bytes_writer){ .data = data, .size = size };
}

uint8_t bytes_get_u8(struct bytes_reader *r);
uint16_t bytes_get_u16(struct bytes_reader *r);
uint32_t bytes_get_u32(struct bytes_reader *r);
uint64_t bytes_get_u64(struct bytes_reader *r);
/* len bytes in place, or NULL. A len of 0 gives a valid pointer. */
const uint8_t *bytes_get(struct bytes_reader *r, size_t len);
/* A u16 (u32) length, then that many bytes, at most max; *ret_len is 0 on failure. */
const uint8_t *bytes_get_u16_blob(struct bytes_reader *r, size_t max, size_t *ret_len);
const uint8_t *bytes_get_u32_blob(struct bytes_reader *r, size_t max, size_t *ret_len);
/* A u16 length, then text without NUL, copied into out[size] and ended by NUL. Fails where it does not fit. */
bool bytes_get_text(struct bytes_reader *r, char *out, size_t size);
static inline size_t bytes_left(const struct bytes_reader *r)
{
	return r->failed ? 0 : r->size - r->offset;
}
/* True if nothing failed and every byte was read. */
static inline bool bytes_done(const struct bytes_reader *r)
{
	return !r->failed && r->offset == r->size;
}

void bytes_put_u8(struct bytes_writer *w, uint8_t v);
void bytes_put_u16(struct bytes_writer *w, uint16_t v);
void bytes_put_u32(struct bytes_writer *w, uint32_t v);
void bytes_put_u64(struct bytes_writer *w, uint64_t v);
void bytes_put(struct bytes_writer *w, const void *data, size_t len);
void bytes_put_u16_blob(struct bytes_writer *w, const void *data, size_t len);
void bytes_put_u32_blob(struct bytes_writer *w, const void *data, size_t len);
void bytes_put_text(struct bytes_writer *w, const char *text); /* u16 length, no NUL */

/* Fields at fixed places in a buffer that the caller has already measured. */
static inline uint16_t load_le16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t load_le32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)load_le16(b) | (uint32_t)load_le16(b + 2) << 16;
}

static inline uint64_t load_le64(const void *p)
{
	const uint8_t *b = p;

	return (uint64_t)load_le32(b) | (uint64_t)load_le32(b + 4) << 32;
}

static inline void store_le16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void store_le32(void *p, uint32_t v)
{
	store_le16(p, (uint16_t)v);
	store_le16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void store_le64(void *p, uint64_t v)
{
	store_le32(p, (uint32_t)v);
	store_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}
