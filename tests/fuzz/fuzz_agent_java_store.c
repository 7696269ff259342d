/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a PEM bundle: the room that the header promises is enough, and what is made has as many entries as it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/java_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t number_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *out = malloc(JAVA_STORE_ROOM(size));
	size_t len =
		out ? java_store_make((const char *)data, size, out, JAVA_STORE_ROOM(size)) : 0;
	size_t at = 12;

	if (!out)
		return 0;
	for (uint32_t i = 0; len && i < number_at(out + 8); i++) {
		at += 4;
		at += 2u + out[at + 1] + 8 + 7;
		at += 4 + number_at(out + at);
		if (at > len)
			abort();
	}
	if (len && at + 20 != len)
		abort();
	free(out);
	return 0;
}
