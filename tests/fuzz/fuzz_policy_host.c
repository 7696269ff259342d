/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts and authorities: what is taken has one form, which is taken again as itself, and no byte that could mean two things. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(const struct policy_host *host)
{
	struct policy_host again;
	size_t len = strnlen(host->text, sizeof(host->text));

	if (!len || len > POLICY_NAME_MAX || !policy_host_parse(host->text, len, &again) ||
		!policy_host_equal(host, &again) ||
		memcmp(host->address, again.address, sizeof(again.address)) != 0)
		abort();
	for (const char *p = host->text; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f || (*p >= 'A' && *p <= 'Z') ||
			strchr("%@/\\?#[]", *p) || (*p == ':' && host->kind != POLICY_HOST_IPV6))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_host host, from_authority;
	uint16_t port = 0;

	if (policy_host_parse((const char *)data, size, &host))
		check_canonical(&host);
	if (policy_authority_parse((const char *)data, size, &from_authority, &port))
		check_canonical(&from_authority);
	return 0;
}
