/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts, authorities and ranges: what is taken has one form, which is taken again as itself, and no byte that could mean
 * two things; case and a name's final dot change nothing; of the forms of one IPv4 address none is judged milder.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/address.h"
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

/* The same in upper case, and a name with a final dot. */
static void check_spellings(const struct policy_host *host, const uint8_t *data, size_t size)
{
	char other[512];
	struct policy_host again;

	if (size >= sizeof(other))
		return;
	for (size_t i = 0; i < size; i++)
		other[i] = (char)(data[i] >= 'a' && data[i] <= 'z' ? data[i] - 'a' + 'A' : data[i]);
	if (!policy_host_parse(other, size, &again) || !policy_host_equal(host, &again))
		abort();
	other[size] = '.';
	if (host->kind == POLICY_HOST_NAME && data[size - 1] != '.' &&
		(!policy_host_parse(other, size + 1, &again) || !policy_host_equal(host, &again)))
		abort();
}

/* A NAT64 or 6to4 form of an IPv4 address is as bad as that is. */
static void check_class(const struct policy_host *host)
{
	struct policy_host nat64 = { .kind = POLICY_HOST_IPV6, .address = { 0, 0x64, 0xff, 0x9b } };
	struct policy_host six = { .kind = POLICY_HOST_IPV6, .address = { 0x20, 0x02 } };
	enum policy_address_class class = policy_address_classify(host);

	if (class > POLICY_ADDRESS_FORBIDDEN)
		abort();
	if (host->kind != POLICY_HOST_IPV4)
		return;
	memcpy(nat64.address + 12, host->address, 4);
	memcpy(six.address + 2, host->address, 4);
	if (policy_address_classify(&nat64) != class || policy_address_classify(&six) != class)
		abort();
}

static void check_range(const struct policy_range *range)
{
	struct policy_host first;

	if (range->prefix_len > 128 ||
		!policy_host_from_address(range->address, sizeof(range->address), &first))
		abort();
	/* A range holds its first address; one of IPv6 that begins like a mapped address holds none of IPv4. */
	if (!policy_range_holds(range, &first) && first.kind != POLICY_HOST_IPV4)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_range range;
	struct policy_host host, from_authority;
	uint16_t port = 0;

	if (policy_host_parse((const char *)data, size, &host)) {
		check_canonical(&host);
		check_class(&host);
		check_spellings(&host, data, size);
	}
	if (policy_range_parse((const char *)data, size, &range))
		check_range(&range);
	if (policy_authority_parse((const char *)data, size, &from_authority, &port))
		check_canonical(&from_authority);
	return 0;
}
