/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: mode; second: where to split. What comes out never holds more than was promised, is the same however the
 * input was cut, and holds no control that the filter leaves out; filtered again, it does not change.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/sandboxctl/terminal_filter.h"

#define INPUT_MAX 4096

static size_t filter(
	enum terminal_filter_mode mode, const uint8_t *data, size_t len, size_t piece, uint8_t *out)
{
	struct terminal_filter f;
	size_t n = 0;

	terminal_filter_init(&f, mode, true);
	for (size_t at = 0; at < len; at += piece) {
		size_t take = len - at < piece ? len - at : piece;
		size_t made = terminal_filter_run(&f, data + at, take, out + n);

		if (made > TERMINAL_FILTER_OUT_SIZE(take))
			abort();
		n += made;
	}
	return n;
}

static void check_controls(enum terminal_filter_mode mode, const uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (out[i] == 0x1b && i + 1 < n && strchr("]PX^_kZ", out[i + 1]) && out[i + 1])
			abort();
		if (out[i] == 0x1b && mode == TERMINAL_FILTER_TEXT)
			abort();
		if (out[i] == 0x7f || (out[i] == 0xc2 && i + 1 < n && out[i + 1] < 0xa0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole[2 * INPUT_MAX], cut[2 * INPUT_MAX], again[2 * INPUT_MAX];
	enum terminal_filter_mode mode;
	size_t n, piece;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	mode = (enum terminal_filter_mode)(data[0] % 3);
	piece = (size_t)data[1] % 16 + 1;
	data += 2;
	size -= 2;
	n = filter(mode, data, size, size + 1, whole);
	if (filter(mode, data, size, piece, cut) != n || memcmp(whole, cut, n) != 0)
		abort();
	check_controls(mode, whole, n);
	if (filter(mode, whole, n, n + 1, again) != n || memcmp(whole, again, n) != 0)
		abort();
	return 0;
}
