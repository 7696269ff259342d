/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 9P messages: the first byte is the type, the rest its body. Text must lie inside the body, and what one type parses,
 * parses again to the same from a copy.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/devices/p9_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_text(const struct p9_text *text, const uint8_t *body, size_t size)
{
	if (!text->data)
		return;
	require(text->data >= body && text->data <= body + size);
	require(text->len <= (size_t)(body + size - text->data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct p9_request request, again;
	uint32_t said;
	uint16_t tag;
	uint8_t type, *copy;

	if (size >= P9_HEADER_BYTES && p9_parse_header(data, &said, &type, &tag))
		require(said >= P9_HEADER_BYTES && type == data[4]);
	if (!size || p9_parse(data[0], 1, data + 1, size - 1, &request) < 0)
		return 0;
	check_text(&request.name, data + 1, size - 1);
	check_text(&request.other_name, data + 1, size - 1);
	require(request.name_count <= P9_WALK_MAX);
	for (unsigned int i = 0; i < request.name_count; i++)
		check_text(&request.names[i], data + 1, size - 1);
	/* From a buffer of exactly that size: a sanitizer sees a byte read too far. */
	copy = malloc(size - 1 ? size - 1 : 1);
	require(copy);
	memcpy(copy, data + 1, size - 1);
	require(p9_parse(data[0], 1, copy, size - 1, &again) == 0);
	require(again.fid == request.fid && again.name.len == request.name.len);
	free(copy);
	return 0;
}
