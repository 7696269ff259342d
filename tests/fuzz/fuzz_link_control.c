/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the supervisor's: what decodes lies inside the packet and is of the size its op has. */
#include <stdint.h>
#include <stdlib.h>

#include "vmm/link/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_request request;

	if (!link_control_decode(data, size, &request))
		return 0;
	if (request.body_len > LINK_CONTROL_BODY_MAX ||
		request.body_len + LINK_CONTROL_HEAD != size)
		abort();
	if (request.body_len && request.body != data + LINK_CONTROL_HEAD)
		abort();
	return 0;
}
