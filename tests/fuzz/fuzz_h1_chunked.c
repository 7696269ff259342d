/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked decoder: cut anywhere, the body and its trailers are the same. */
#include <stdint.h>

#include "tests/fuzz/h1_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h1_request request = { .form = H1_ORIGIN,
		.length = { .chunked = true } };
	static struct h1_body body;

	if (h1_body_of_request(&request, &body) != H1_OK || body.kind != H1_BODY_CHUNKED)
		abort();
	message_check_body(&body, (const char *)data, size);
	return 0;
}
