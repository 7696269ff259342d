/* SPDX-License-Identifier: Apache-2.0 */
/* A head's bytes, against a key that never signed anything: nothing is taken, whatever it says. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "vmm/supervisor/audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct audit_key *key;
	struct verify v;

	if (!key && audit_key_generate(&key) < 0)
		abort();
	if (verify_begin(&v, "api", key, data, size))
		abort();
	if (v.finding.verdict != VERIFY_NO_HEAD && v.finding.verdict != VERIFY_WRONG_KEY)
		abort();
	return 0;
}
