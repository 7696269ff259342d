/* SPDX-License-Identifier: Apache-2.0 */
/* Redaction: a byte for the secret's length, the secret, then a stream; in any pieces what the slow way gives. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/redact_oracle.h"
#include "vmm/base/array.h"

#define STREAM_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t wanted[STREAM_MAX], out[STREAM_MAX + 6 * 256];

static void check(const struct redact *r, const uint8_t *in, size_t len, size_t step)
{
	struct redact_stream s;
	size_t got = 0;

	if (redact_stream_init(&s, r) < 0)
		return;
	for (size_t at = 0; at < len; at += step)
		got += redact_stream_take(&s, in + at, MIN(step, len - at), out + got);
	got += redact_stream_end(&s, out + got);
	redact_stream_finish(&s);
	if (got != len || memcmp(out, wanted, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redact_forms forms;
	struct redact *r;
	size_t secret_len, len;

	if (size < 1 || data[0] > size - 1 || redact_create(data + 1, data[0], &r) < 0)
		return 0;
	secret_len = data[0];
	len = MIN(size - 1 - secret_len, (size_t)STREAM_MAX);
	if (redact_forms_init(&forms, data + 1, secret_len) == 0) {
		const uint8_t *in = data + 1 + secret_len;

		oracle_mask(&forms, in, len, wanted);
		check(r, in, len, 1);
		check(r, in, len, 7);
		check(r, in, len, len ? len : 1);
		redact_forms_finish(&forms);
	}
	redact_destroy(r);
	return 0;
}
