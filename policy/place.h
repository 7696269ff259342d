/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where in a JSON document (RFC 8259) a parser stopped, as a path: `rules[3].host`. jansson tells lines and columns alone.
 */
#include <stddef.h>

/*
 * text: as far as the parser went, so that it is well-formed up to there. The path of what was read last: the key, where that is one.
 * Keys stand as they are written there, escapes too. What has no room, or is deeper than 32 levels, is left out. Returns ret.
 */
const char *place_in_json(const char *text, size_t len, char *ret, size_t size);
