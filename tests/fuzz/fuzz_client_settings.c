/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of any client: what comes out is a host in canonical form with a port, and nothing that stood before an `@`. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/sandboxctl/client_settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client_registries found;
	struct policy_host again;

	if (!size)
		return 0;
	found = (struct client_registries){};
	client_settings_read(
		(enum client)(data[0] % CLIENT_COUNT), (const char *)data + 1, size - 1, &found);
	for (size_t i = 0; i < found.count; i++) {
		const char *text = found.items[i].host.text;

		if (!found.items[i].port || !policy_host_parse(text, strlen(text), &again) ||
			!policy_host_equal(&again, &found.items[i].host))
			abort();
	}
	return 0;
}
