/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which policy was in force, in 64 digits: SHA-256 (FIPS 180-4) of policy_digest_input(). Audit records and status carry it. */
#include "policy/policy.h"
#include "vmm/base/err.h"

#define POLICY_DIGEST_LEN 64

/* Ended by NUL. -EIO where OpenSSL fails. */
int policy_digest(
	const struct policy *policy, char out[static POLICY_DIGEST_LEN + 1], struct err *err);
