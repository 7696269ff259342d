/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's bundle: what is taken is what would be written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vsock-proxy/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle bundle;
	uint8_t *again;

	if (bundle_decode(data, size, &bundle) < 0)
		return 0;
	if (bundle_size(bundle.sources, bundle.count) != size)
		abort();
	again = malloc(size);
	if (!again)
		abort();
	bundle_encode(bundle.sources, bundle.count, bundle.tier, again);
	if (memcmp(again, data, size) != 0)
		abort();
	free(again);
	bundle_finish(&bundle);
	return 0;
}
