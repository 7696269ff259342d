/* SPDX-License-Identifier: Apache-2.0 */
/* A body past the mask: a byte for the coding, one for the pieces' length, the body. However it is cut, it comes to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vsock-proxy/unmask.h"

#define OUT_MAX (256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t secret[] = "token-of-24-bytes-or-so!";

struct taken {
	uint8_t bytes[OUT_MAX];
	size_t len;
};

static struct taken whole, pieces;

static int take(void *data, const uint8_t *bytes, size_t len)
{
	struct taken *t = data;

	if (len > sizeof(t->bytes) - t->len)
		return -1;
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	return 0;
}

static int run(const struct redact *redact, const char *coding, const uint8_t *body, size_t len,
	size_t step, struct taken *ret)
{
	struct unmask *u = NULL;
	bool decodes;
	int r = unmask_create(redact, coding, take, ret, &decodes, &u);

	ret->len = 0;
	for (size_t at = 0; r == 0 && at < len; at += step)
		r = unmask_take(u, body + at, MIN(step, len - at));
	if (r == 0)
		r = unmask_end(u);
	unmask_destroy(u);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = { "gzip", "deflate", "zstd", "br", NULL };
	struct redact *redact;
	const char *coding;
	int r;

	if (size < 3 || redact_create(secret, sizeof(secret) - 1, &redact) < 0)
		return 0;
	coding = codings[data[0] % ARRAY_SIZE(codings)];
	r = run(redact, coding, data + 2, size - 2, size, &whole);
	if (memmem(whole.bytes, whole.len, secret, sizeof(secret) - 1))
		abort();
	/* A bomb is known by what came in so far, so in pieces it may be known earlier. */
	if (r == 0 && run(redact, coding, data + 2, size - 2, 1u + data[1], &pieces) == 0 &&
		(whole.len != pieces.len || memcmp(whole.bytes, pieces.bytes, whole.len) != 0))
		abort();
	redact_destroy(redact);
	return 0;
}
