/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tells a kernel panic from what it prints: before pvpanic's driver is loaded (a module, on stock kernels) the console is
 * the only witness. Pure, byte by byte, over any split of the stream. What a guest prints is its own word, and can end
 * nothing but itself.
 */
#include <stdbool.h>
#include <stddef.h>

struct panic_watch {
	size_t matched; /* bytes of the pattern seen last */
	bool seen; /* once true, always true */
};

/* True when this piece completed the first sight of a panic. */
bool panic_watch_feed(struct panic_watch *watch, const void *bytes, size_t len);
