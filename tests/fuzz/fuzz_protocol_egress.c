/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an egress stream as the host meets it, and the answer as the agent does: whole or cut anywhere the verdict
 * is the same, and what is taken encodes to the same bytes again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protocol/egress.h"
#include "vmm/base/array.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(const uint8_t *data, size_t size)
{
	struct egress_request request = {}, early;
	uint8_t out[EGRESS_REQUEST_MAX];
	int r = egress_request_decode(data, size, &request);

	for (size_t i = 0; i < size; i++) {
		int part = egress_request_decode(data, i, &early);

		if ((part < 0 && r >= 0) || (part > 0 && part != r))
			abort();
	}
	if (r > 0 && (egress_request_encode(&request, out) != (size_t)r ||
			     memcmp(out, data, (size_t)r) != 0))
		abort();
}

static void try_answer(const uint8_t *data, size_t size)
{
	struct egress_answer answer = {}, early;
	uint8_t out[EGRESS_ANSWER_MAX];
	int r = egress_answer_decode(data, size, &answer);

	for (size_t i = 0; i < size; i++) {
		int part = egress_answer_decode(data, i, &early);

		if ((part < 0 && r >= 0) || (part > 0 && part != r))
			abort();
	}
	if (r > 0 && (egress_answer_encode(&answer, out) != (size_t)r ||
			     memcmp(out, data, (size_t)r) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_request(data, MIN(size, (size_t)EGRESS_REQUEST_MAX + 1));
	try_answer(data, MIN(size, (size_t)EGRESS_ANSWER_MAX + 1));
	return 0;
}
