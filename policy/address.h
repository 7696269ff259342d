/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What an IP address is, for E6: judged on the address that is about to be dialled. Forms that carry an IPv4 address
 * (v4-mapped ::ffff:0:0/96, NAT64 64:ff9b::/96, 6to4 2002::/16, Teredo 2001::/32 with both of its addresses) are judged
 * by what they carry as well, and the worse of the two holds. Where such an address lies in the local NAT64's
 * 64:ff9b:1::/48 is its operator's choice (RFC 8215), and v4-compatible addresses are dead (RFC 4291): FORBIDDEN, like
 * all of IPv6 outside 2000::/3 but the private range. Sources: IANA's special-purpose registries (RFC 6890, 8190), RFC
 * 6052, 3056, 4380. The host's own addresses, and a NAT64 under a network's own prefix, are not known here: the injector
 * asks the kernel.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/name.h"

enum policy_address_class {
	POLICY_ADDRESS_PUBLIC = 0,
	/* RFC 1918, 4193, 6598, 198.18.0.0/15, which proxies hand out, and IPv4's documentation ranges, which some hosts use so: by explicit rule only */
	POLICY_ADDRESS_PRIVATE = 1,
	/* loopback, link-local, metadata, multicast, this network, broadcast, IPv6's documentation, reserved: never */
	POLICY_ADDRESS_FORBIDDEN = 2,
};

/*
 * A range, as rules write it: `10.0.0.0/8`, `fd00::/8`, always with a length. Bits past the length must be 0, and a
 * v4-mapped spelling is none. A range of IPv6 holds no IPv4 address, not even `::/0`.
 */
struct policy_range {
	uint8_t address[16]; /* IPv4 as v4-mapped */
	uint8_t prefix_len; /* 0..128, of the mapped form */
};

/* Of a name: FORBIDDEN, it has to be resolved first. Metadata addresses of the clouds (169.254.169.254, fd00:ec2::254,
 * 100.100.100.200, 168.63.129.16, 192.0.0.192 ...) are FORBIDDEN though they lie in other ranges. */
enum policy_address_class policy_address_classify(const struct policy_host *host);
bool policy_range_parse(const char *bytes, size_t len, struct policy_range *ret);
bool policy_range_holds(const struct policy_range *range, const struct policy_host *host);
/* The same, or an address that host carries lies in it: for rules that deny, which hold whatever the way there is. */
bool policy_range_reached(const struct policy_range *range, const struct policy_host *host);
