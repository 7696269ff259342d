/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/panic_watch.h"

#include <stdint.h>

/* kernel/panic.c. Its first letter comes only once in it, so after a mismatch one look at that letter is enough. */
static const char pattern[] = "Kernel panic - not syncing: ";

bool panic_watch_feed(struct panic_watch *watch, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len && !watch->seen; i++) {
		if (p[i] == (uint8_t)pattern[watch->matched])
			watch->matched++;
		else
			watch->matched = p[i] == (uint8_t)pattern[0];
		watch->seen = watch->matched == sizeof(pattern) - 1;
		if (watch->seen)
			return true;
	}
	return false;
}
