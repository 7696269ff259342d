/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/address.h"

#include <string.h>

#include "vmm/base/array.h"

#define IPV4_MAPPED_BITS 96u

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct known_range {
	uint8_t address[16];
	uint8_t prefix_len;
	enum policy_address_class class;
};

/* The first range that holds an address says what it is. */
static const struct known_range ipv4_ranges[] = {
	{ { 100, 100, 100, 200 }, 32, POLICY_ADDRESS_FORBIDDEN }, /* Alibaba's metadata */
	{ { 168, 63, 129, 16 }, 32, POLICY_ADDRESS_FORBIDDEN }, /* Azure's host */
	{ { 0 }, 8, POLICY_ADDRESS_FORBIDDEN }, /* this network */
	{ { 10 }, 8, POLICY_ADDRESS_PRIVATE }, /* RFC 1918 */
	{ { 100, 64 }, 10, POLICY_ADDRESS_PRIVATE }, /* RFC 6598 */
	{ { 127 }, 8, POLICY_ADDRESS_FORBIDDEN }, /* loopback */
	{ { 169, 254 }, 16, POLICY_ADDRESS_FORBIDDEN }, /* link-local, most clouds' metadata */
	{ { 172, 16 }, 12, POLICY_ADDRESS_PRIVATE }, /* RFC 1918 */
	{ { 192, 0, 0 }, 24, POLICY_ADDRESS_FORBIDDEN }, /* IETF protocols; Oracle's metadata */
	{ { 192, 0, 2 }, 24, POLICY_ADDRESS_PRIVATE }, /* documentation; as 198.18 */
	{ { 192, 88, 99 }, 24, POLICY_ADDRESS_FORBIDDEN }, /* 6to4 relays, RFC 7526 */
	{ { 192, 168 }, 16, POLICY_ADDRESS_PRIVATE }, /* RFC 1918 */
	{ { 198, 18 }, 15,
		POLICY_ADDRESS_PRIVATE }, /* benchmarks; stand-ins for names on some hosts */
	{ { 198, 51, 100 }, 24, POLICY_ADDRESS_PRIVATE }, /* documentation; as 198.18 */
	{ { 203, 0, 113 }, 24, POLICY_ADDRESS_PRIVATE }, /* documentation; as 198.18 */
	{ { 224 }, 4, POLICY_ADDRESS_FORBIDDEN }, /* multicast */
	{ { 240 }, 4, POLICY_ADDRESS_FORBIDDEN }, /* reserved, broadcast */
	{ { 0 }, 0, POLICY_ADDRESS_PUBLIC },
};

/* Only 2000::/3 is handed out to the public (IANA, IPv6 address space): what is not named is forbidden. */
static const struct known_range ipv6_ranges[] = {
	{ { 0, 0x64, 0xff, 0x9b }, 96,
		POLICY_ADDRESS_PUBLIC }, /* NAT64, RFC 6052: by what it carries */
	{ { 0x20, 0x01 }, 32, POLICY_ADDRESS_PUBLIC }, /* Teredo: by what it carries */
	{ { 0x20, 0x01 }, 23, POLICY_ADDRESS_FORBIDDEN }, /* IETF protocols, benchmarks, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, POLICY_ADDRESS_FORBIDDEN }, /* documentation */
	{ { 0x20, 0x02 }, 16, POLICY_ADDRESS_PUBLIC }, /* 6to4: by what it carries */
	{ { 0x3f, 0xff }, 20, POLICY_ADDRESS_FORBIDDEN }, /* documentation, RFC 9637 */
	{ { 0x20 }, 3, POLICY_ADDRESS_PUBLIC },
	{ { 0xfd, 0, 0x0e, 0xc2 }, 32, POLICY_ADDRESS_FORBIDDEN }, /* AWS: metadata, DNS, time */
	{ { 0xfd, 0, 0, 0x42, [15] = 0x42 }, 128,
		POLICY_ADDRESS_FORBIDDEN }, /* Scaleway's metadata */
	{ { 0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54 }, 128,
		POLICY_ADDRESS_FORBIDDEN }, /* Google's */
	{ { 0xfc }, 7, POLICY_ADDRESS_PRIVATE }, /* RFC 4193 */
	{ { 0 }, 0, POLICY_ADDRESS_FORBIDDEN },
};

/* Forms that carry an IPv4 address, where, and with which mask over it. */
static const struct {
	uint8_t prefix[16];
	uint8_t prefix_len;
	uint8_t offset, mask;
} carriers[] = {
	{ { [10] = 0xff, 0xff }, 96, 12, 0 }, /* v4-mapped */
	{ { 0, 0x64, 0xff, 0x9b }, 96, 12, 0 }, /* NAT64 */
	{ { 0x20, 0x02 }, 16, 2, 0 }, /* 6to4, RFC 3056 */
	{ { 0x20, 0x01 }, 32, 4, 0 }, /* Teredo's server, RFC 4380 section 4 */
	{ { 0x20, 0x01 }, 32, 12, 0xff }, /* Teredo's client */
};

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	       (!rest || (unsigned int)(a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static enum policy_address_class look_up(
	const struct known_range *ranges, size_t count, const uint8_t *address)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_equal(ranges[i].address, address, ranges[i].prefix_len))
			return ranges[i].class;
	return POLICY_ADDRESS_FORBIDDEN;
}

static enum policy_address_class classify_ipv4(const uint8_t *address)
{
	return look_up(ipv4_ranges, ARRAY_SIZE(ipv4_ranges), address);
}

static bool is_mapped(const uint8_t *address)
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* The IPv4 address that the index-th form carries in this one. */
static bool take_carried(size_t index, const uint8_t *address, uint8_t ret[static 4])
{
	if (!prefix_equal(carriers[index].prefix, address, carriers[index].prefix_len))
		return false;
	for (size_t k = 0; k < 4; k++)
		ret[k] = address[carriers[index].offset + k] ^ carriers[index].mask;
	return true;
}

static enum policy_address_class classify_ipv6(const uint8_t *address)
{
	enum policy_address_class worst = POLICY_ADDRESS_PUBLIC;

	if (!is_mapped(address))
		worst = look_up(ipv6_ranges, ARRAY_SIZE(ipv6_ranges), address);
	for (size_t i = 0; i < ARRAY_SIZE(carriers); i++) {
		uint8_t carried[4];

		if (take_carried(i, address, carried))
			worst = MAX(worst, classify_ipv4(carried));
	}
	return worst;
}

enum policy_address_class policy_address_classify(const struct policy_host *host)
{
	switch (host->kind) {
	case POLICY_HOST_IPV4:
		return classify_ipv4(host->address);
	case POLICY_HOST_IPV6:
		return classify_ipv6(host->address);
	case POLICY_HOST_NAME:
		break;
	}
	return POLICY_ADDRESS_FORBIDDEN; /* a name is judged by what it resolves to */
}

/* Decimal, without sign or leading zeros. */
static bool parse_prefix_len(const char *bytes, size_t len, unsigned int max, unsigned int *ret)
{
	unsigned int value = 0;

	if (!len || len > 3 || (len > 1 && bytes[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return false;
		value = value * 10 + (unsigned int)(bytes[i] - '0');
	}
	if (value > max)
		return false;
	*ret = value;
	return true;
}

static void map_address(const struct policy_host *host, uint8_t ret[static 16])
{
	if (host->kind == POLICY_HOST_IPV4) {
		memcpy(ret, mapped, sizeof(mapped));
		memcpy(ret + sizeof(mapped), host->address, 4);
	} else {
		memcpy(ret, host->address, 16);
	}
}

static bool rest_is_zero(const uint8_t address[static 16], unsigned int bits)
{
	for (unsigned int i = bits; i < 128; i++)
		if (address[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

bool policy_range_parse(const char *bytes, size_t len, struct policy_range *ret)
{
	const char *slash = len ? memchr(bytes, '/', len) : NULL;
	size_t host_len = slash ? (size_t)(slash - bytes) : 0;
	struct policy_range range = {};
	struct policy_host host;
	unsigned int bits, base;

	/* A v4-mapped spelling is no range: its length would mean another one to whoever reads it as IPv4. */
	if (!host_len || bytes[0] == '[' || !policy_host_parse(bytes, host_len, &host) ||
		host.kind == POLICY_HOST_NAME ||
		(host.kind == POLICY_HOST_IPV4 && memchr(bytes, ':', host_len)))
		return false;
	base = host.kind == POLICY_HOST_IPV4 ? IPV4_MAPPED_BITS : 0;
	if (!parse_prefix_len(slash + 1, len - host_len - 1, 128 - base, &bits))
		return false;
	map_address(&host, range.address);
	range.prefix_len = (uint8_t)(base + bits);
	if (!rest_is_zero(range.address, range.prefix_len))
		return false;
	*ret = range;
	return true;
}

bool policy_range_holds(const struct policy_range *range, const struct policy_host *host)
{
	bool range_is_ipv4 = range->prefix_len >= IPV4_MAPPED_BITS && is_mapped(range->address);
	uint8_t address[16];

	if (host->kind == POLICY_HOST_NAME || range->prefix_len > 128)
		return false;
	map_address(host, address);
	return range_is_ipv4 == is_mapped(address) &&
	       prefix_equal(range->address, address, range->prefix_len);
}

bool policy_range_reached(const struct policy_range *range, const struct policy_host *host)
{
	if (policy_range_holds(range, host))
		return true;
	for (size_t i = 0; host->kind == POLICY_HOST_IPV6 && i < ARRAY_SIZE(carriers); i++) {
		struct policy_host carried = { .kind = POLICY_HOST_IPV4 };

		if (take_carried(i, host->address, carried.address) &&
			policy_range_holds(range, &carried))
			return true;
	}
	return false;
}
