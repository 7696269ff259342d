/* SPDX-License-Identifier: Apache-2.0 */
/* The CONNECT line: whole or cut anywhere, the answer is the same, and a port that parses prints as the same line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/array.h"
#include "vmm/link/connect_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = MIN(size, (size_t)CONNECT_LINE_MAX);
	uint32_t port = 0, early = 0;
	char line[CONNECT_LINE_MAX + 1];
	int r = connect_line_parse((const char *)data, len, &port);

	for (size_t i = 0; i < len; i++) {
		int part = connect_line_parse((const char *)data, i, &early);

		/* A prefix is never refused where the whole is not, nor taken where it is not the line. */
		if ((part < 0 && r >= 0) || (part > 0 && part != r))
			abort();
	}
	if (r <= 0)
		return 0;
	snprintf(line, sizeof(line), "CONNECT %u\n", port);
	if ((size_t)r != strlen(line) || memcmp(line, data, (size_t)r) != 0)
		abort();
	return 0;
}
