/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/policy_digest.h"

#include <errno.h>

#include <openssl/evp.h>

int policy_digest(
	const struct policy *policy, char out[static POLICY_DIGEST_LEN + 1], struct err *err)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int hash_len = 0;
	size_t len;
	const char *input = policy_digest_input(policy, &len);

	if (EVP_Digest(input, len, hash, &hash_len, EVP_sha256(), NULL) != 1 ||
		hash_len * 2 != POLICY_DIGEST_LEN)
		return err_set(err, -EIO, "policy: no digest can be made");
	for (unsigned int i = 0; i < hash_len; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[POLICY_DIGEST_LEN] = '\0';
	return 0;
}
