/* SPDX-License-Identifier: Apache-2.0 */
/* An audit message: what decodes has one spelling, and becomes one line that fits the chain. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/supervisor/audit/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct audit_origin origin = {
		.sandbox = "api", .instance = "i-1", .source = AUDIT_FROM_HOST
	};
	static char line[AUDIT_LINE_MAX];
	struct chain chain = {};
	enum chain_verdict verdict;
	struct audit_event event;
	uint8_t again[AUDIT_MESSAGE_MAX];
	size_t offset;
	int n;

	if (audit_event_decode(data, size, &event) < 0)
		return 0;
	if (audit_event_encode(&event, again) != (int)size || memcmp(again, data, size) != 0)
		abort();
	n = audit_line_render(0, chain.prev, &origin, &event, line);
	if (n <= 0 || chain_read(&chain, line, (size_t)n, &verdict, &offset) < 0 ||
		verdict != CHAIN_WHOLE || offset != (size_t)n)
		abort();
	return 0;
}
