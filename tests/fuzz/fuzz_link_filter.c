/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operation streams through the link's filter: the first byte says which, the second in what steps. What passes, written
 * as frames anew, must pass a second filter whole; and the steps change nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/link/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (1u << 20)

struct out {
	uint8_t *bytes;
	size_t len;
	size_t payload; /* bytes of payloads */
};

static void collect(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	struct out *out = data;

	if (out->len + PROTOCOL_HEAD_SIZE + len > OUT_MAX)
		return;
	protocol_head_encode(
		&(struct protocol_head){ .type = type, .len = len }, out->bytes + out->len);
	memcpy(out->bytes + out->len + PROTOCOL_HEAD_SIZE, payload, len);
	out->len += PROTOCOL_HEAD_SIZE + len;
	out->payload += len;
}

static int run(
	enum link_filter_kind kind, const uint8_t *data, size_t size, size_t step, struct out *out)
{
	static struct link_filter filter;
	size_t taken = 0;

	out->len = out->payload = 0;
	link_filter_init(&filter, kind);
	while (taken < size && !filter.done) {
		size_t n = 0;
		int r = link_filter_push(
			&filter, data + taken, MIN(step, size - taken), &n, collect, out);

		if (r < 0)
			return r;
		if (n == 0)
			abort();
		taken += n;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first_bytes[OUT_MAX], again_bytes[OUT_MAX];
	struct out first = { .bytes = first_bytes }, again = { .bytes = again_bytes };
	enum link_filter_kind kind;
	size_t step, payload;
	int r;

	if (size < 2 || size > 65536)
		return 0;
	kind = (enum link_filter_kind)(data[0] % LINK_FILTER_KINDS);
	step = data[1] % 64 + 1u;
	r = run(kind, data + 2, size - 2, size, &first);
	payload = first.payload;
	if (run(kind, data + 2, size - 2, step, &again) != r || again.payload != payload)
		abort();
	if (run(kind, first.bytes, first.len, first.len + 1, &again) < 0 ||
		again.payload != payload)
		abort();
	return 0;
}
