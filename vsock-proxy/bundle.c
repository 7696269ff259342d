/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/bundle.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/bytes.h"
#include "vmm/base/fdio.h"

#define HEAD	    4
#define SOURCE_HEAD 8

size_t bundle_size(const struct policy_source *sources, size_t count)
{
	size_t size = HEAD;

	if (count > POLICY_SOURCES_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		size_t name = strnlen(sources[i].name, BUNDLE_NAME_MAX + 1);

		if (!name || name > BUNDLE_NAME_MAX || sources[i].len > POLICY_DOCUMENT_MAX)
			return 0;
		size += SOURCE_HEAD + name + sources[i].len;
	}
	return size <= BUNDLE_MAX ? size : 0;
}

void bundle_encode(
	const struct policy_source *sources, size_t count, enum policy_tier tier, uint8_t *out)
{
	struct bytes_writer w = bytes_writer(out, bundle_size(sources, count));

	bytes_put_u8(&w, BUNDLE_VERSION);
	bytes_put_u8(&w, (uint8_t)tier);
	bytes_put_u16(&w, (uint16_t)count);
	for (size_t i = 0; i < count; i++) {
		size_t name = strlen(sources[i].name);

		bytes_put_u8(&w, (uint8_t)sources[i].layer);
		bytes_put_u8(&w, 0);
		bytes_put_u16(&w, (uint16_t)name);
		bytes_put_u32(&w, (uint32_t)sources[i].len);
		bytes_put(&w, sources[i].name, name);
		bytes_put(&w, sources[i].json, sources[i].len);
	}
}

/* One document; its name is copied to *text, ended by NUL, its JSON behind it. */
static bool get_source(struct bytes_reader *r, char **text, struct policy_source *ret)
{
	uint8_t layer = bytes_get_u8(r), reserved = bytes_get_u8(r);
	size_t name_len = bytes_get_u16(r), len = bytes_get_u32(r);
	const uint8_t *name = bytes_get(r, name_len), *json = bytes_get(r, len);

	if (r->failed || reserved || layer >= POLICY_LAYER_COUNT || !name_len ||
		name_len > BUNDLE_NAME_MAX || len > POLICY_DOCUMENT_MAX ||
		memchr(name, 0, name_len))
		return false;
	*ret = (struct policy_source){ .layer = (enum policy_layer)layer,
		.name = *text,
		.json = *text + name_len + 1,
		.len = len };
	memcpy(*text, name, name_len);
	memcpy(*text + name_len + 1, json, len);
	*text += name_len + 1 + len;
	return true;
}

int bundle_decode(const void *data, size_t len, struct bundle *ret)
{
	struct bytes_reader r = bytes_reader(data, len);
	struct bundle bundle = {};
	uint8_t version = bytes_get_u8(&r), tier = bytes_get_u8(&r);
	bool good;
	char *at;

	bundle.count = bytes_get_u16(&r);
	if (r.failed || len > BUNDLE_MAX || version != BUNDLE_VERSION ||
		tier < POLICY_TIER_BUILDER || tier >= POLICY_TIER_COUNT ||
		bundle.count > POLICY_SOURCES_MAX)
		return -EPROTO;
	bundle.tier = (enum policy_tier)tier;
	/* Names gain a NUL each, which takes the place of a head's bytes. */
	at = bundle.text = calloc(1, len);
	if (!at)
		return -ENOMEM;
	good = true;
	for (size_t i = 0; good && i < bundle.count; i++)
		good = get_source(&r, &at, &bundle.sources[i]);
	if (!good || !bytes_done(&r)) {
		bundle_finish(&bundle);
		return -EPROTO;
	}
	*ret = bundle;
	return 0;
}

void bundle_finish(struct bundle *bundle)
{
	free(bundle->text);
	*bundle = (struct bundle){};
}

int bundle_read(int fd, struct policy **ret, struct err *err)
{
	struct bundle bundle;
	struct stat st;
	void *data;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "policy: %m");
	if (st.st_size <= 0 || st.st_size > BUNDLE_MAX)
		return err_set(
			err, -EINVAL, "policy: a bundle of %lld bytes", (long long)st.st_size);
	data = malloc((size_t)st.st_size);
	if (!data)
		return err_set(err, -ENOMEM, "policy: no memory");
	r = fdio_pread_full(fd, data, (size_t)st.st_size, 0);
	if (r == 0)
		r = bundle_decode(data, (size_t)st.st_size, &bundle);
	free(data);
	if (r < 0)
		return err_set(err, r, "policy: the bundle cannot be read: %s", strerror(-r));
	r = policy_create(bundle.sources, bundle.count, bundle.tier, ret, err);
	bundle_finish(&bundle);
	return r;
}
