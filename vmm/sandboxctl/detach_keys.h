/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ctrl-p ctrl-q among typed bytes. A ctrl-p is held back until the next byte says whether it began the sequence;
 * a second ctrl-p gives the first one free. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct detach_keys {
	bool held; /* a ctrl-p was typed and not yet passed on */
};

/*
 * Copies typed bytes to out (len + 1 bytes of room), without the sequence. *ret_len is what out holds. True when the
 * sequence was typed: bytes after it are dropped.
 */
bool detach_keys_run(
	struct detach_keys *keys, const uint8_t *data, size_t len, uint8_t *out, size_t *ret_len);
