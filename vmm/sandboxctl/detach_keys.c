/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/detach_keys.h"

#define CTRL_P 0x10
#define CTRL_Q 0x11

bool detach_keys_run(
	struct detach_keys *keys, const uint8_t *data, size_t len, uint8_t *out, size_t *ret_len)
{
	size_t n = 0;
	bool detached = false;

	for (size_t i = 0; i < len && !detached; i++) {
		if (keys->held && data[i] == CTRL_Q) {
			detached = true;
			keys->held = false;
			continue;
		}
		if (keys->held)
			out[n++] = CTRL_P;
		keys->held = data[i] == CTRL_P;
		if (!keys->held)
			out[n++] = data[i];
	}
	*ret_len = n;
	return detached;
}
