/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "vmm/supervisor/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record that is taken can be written down, and what was written is taken again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record record, again;
	char *text = NULL;
	size_t len;

	if (record_parse((const char *)data, size, &record, NULL) < 0)
		return 0;
	if (record_format(&record, &text, &len, NULL) < 0 ||
		record_parse(text, len, &again, NULL) < 0)
		abort();
	record_finish(&again);
	record_finish(&record);
	free(text);
	return 0;
}
