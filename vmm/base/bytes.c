/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/bytes.h"

#include <string.h>

const uint8_t *bytes_get(struct bytes_reader *r, size_t len)
{
	const uint8_t *p;

	if (r->failed || len > r->size - r->offset) {
		r->failed = true;
		return NULL;
	}
	p = r->data ? r->data + r->offset : (const uint8_t *)"";
	r->offset += len;
	return p;
}

uint8_t bytes_get_u8(struct bytes_reader *r)
{
	const uint8_t *p = bytes_get(r, 1);

	return p ? *p : 0;
}

uint16_t bytes_get_u16(struct bytes_reader *r)
{
	const uint8_t *p = bytes_get(r, 2);

	return p ? load_le16(p) : 0;
}

uint32_t bytes_get_u32(struct bytes_reader *r)
{
	const uint8_t *p = bytes_get(r, 4);

	return p ? load_le32(p) : 0;
}

uint64_t bytes_get_u64(struct bytes_reader *r)
{
	const uint8_t *p = bytes_get(r, 8);

	return p ? load_le64(p) : 0;
}

static const uint8_t *get_blob(struct bytes_reader *r, size_t len, size_t max, size_t *ret_len)
{
	const uint8_t *p;

	*ret_len = 0;
	if (len > max)
		r->failed = true;
	p = bytes_get(r, len);
	if (p)
		*ret_len = len;
	return p;
}

const uint8_t *bytes_get_u16_blob(struct bytes_reader *r, size_t max, size_t *ret_len)
{
	return get_blob(r, bytes_get_u16(r), max, ret_len);
}

const uint8_t *bytes_get_u32_blob(struct bytes_reader *r, size_t max, size_t *ret_len)
{
	return get_blob(r, bytes_get_u32(r), max, ret_len);
}

bool bytes_get_text(struct bytes_reader *r, char *out, size_t size)
{
	size_t len;
	const uint8_t *p = size ? bytes_get_u16_blob(r, size - 1, &len) : NULL;

	if (!p || memchr(p, '\0', len)) {
		r->failed = true;
		return false;
	}
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

static uint8_t *reserve(struct bytes_writer *w, size_t len)
{
	uint8_t *p;

	if (w->failed || len > w->size - w->offset) {
		w->failed = true;
		return NULL;
	}
	p = w->data + w->offset;
	w->offset += len;
	return p;
}

void bytes_put_u8(struct bytes_writer *w, uint8_t v)
{
	uint8_t *p = reserve(w, 1);

	if (p)
		*p = v;
}

void bytes_put_u16(struct bytes_writer *w, uint16_t v)
{
	uint8_t *p = reserve(w, 2);

	if (p)
		store_le16(p, v);
}

void bytes_put_u32(struct bytes_writer *w, uint32_t v)
{
	uint8_t *p = reserve(w, 4);

	if (p)
		store_le32(p, v);
}

void bytes_put_u64(struct bytes_writer *w, uint64_t v)
{
	uint8_t *p = reserve(w, 8);

	if (p)
		store_le64(p, v);
}

void bytes_put(struct bytes_writer *w, const void *data, size_t len)
{
	uint8_t *p = reserve(w, len);

	if (p && len)
		memcpy(p, data, len);
}

void bytes_put_u16_blob(struct bytes_writer *w, const void *data, size_t len)
{
	if (len > UINT16_MAX) {
		w->failed = true;
		return;
	}
	bytes_put_u16(w, (uint16_t)len);
	bytes_put(w, data, len);
}

void bytes_put_u32_blob(struct bytes_writer *w, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		w->failed = true;
		return;
	}
	bytes_put_u32(w, (uint32_t)len);
	bytes_put(w, data, len);
}

void bytes_put_text(struct bytes_writer *w, const char *text)
{
	bytes_put_u16_blob(w, text, strlen(text));
}
