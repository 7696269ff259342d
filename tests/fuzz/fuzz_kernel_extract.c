/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and unpacking a bzImage's payload: no read outside the file, no more output than the bound. */
#include <stdint.h>
#include <stdlib.h>

#include "images/kernel/extract.h"

#define OUTPUT_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *data, const void *bytes, size_t len)
{
	uint64_t *total = data;

	(void)bytes;
	*total += len;
	if (*total > OUTPUT_MAX)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_payload payload;
	struct err err = {};
	uint64_t total = 0;

	if (kernel_find_payload(data, size, &payload, &err) < 0)
		return 0;
	kernel_unpack(&payload, OUTPUT_MAX, count, &total, &err);
	return 0;
}
