/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one canonical form of a host (E1, E3): what decides, is dialled and is logged is this struct, never the bytes that
 * came. A name in it is LDH labels of 1 to 63 bytes in lower case, at most 253 in all, without a final dot; labels that
 * are A-labels (RFC 5890) stay as they are, U-labels are refused (whoever types one says xn--). Underscore is allowed
 * in labels but the last two. Refused, never repaired: NUL, control characters, space, `%`, `@`, `\`, anything past
 * ASCII, empty labels, a hyphen at a label's ends, and names whose last label is numeric or hexadecimal but which are
 * no address in the strict form below (RFC 3986 section 3.2.2, RFC 6943 section 3.1.1, WHATWG URL "ends in a number").
 * An address is four decimal octets without leading zeros, or RFC 4291 text, with or without brackets, without a zone.
 * One final dot of a name is taken off; two are refused.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NAME_MAX	 253
#define POLICY_LABEL_MAX 63

enum policy_host_kind {
	POLICY_HOST_NAME = 1,
	POLICY_HOST_IPV4 = 2,
	POLICY_HOST_IPV6 = 3, /* a v4-mapped one is POLICY_HOST_IPV4 */
};

struct policy_host {
	enum policy_host_kind kind;
	char text[POLICY_NAME_MAX + 1]; /* canonical; IPv6 by RFC 5952, without brackets */
	uint8_t address[16]; /* network order; IPv4: the first four; else 0 */
};

/* Any bytes to a host: true and *ret, or false and *ret untouched. */
bool policy_host_parse(const char *bytes, size_t len, struct policy_host *ret);
/* `HOST` or `HOST:PORT`, an IPv6 address in brackets (RFC 3986 authority without userinfo); *ret_port 0: none was given. */
bool policy_authority_parse(
	const char *bytes, size_t len, struct policy_host *ret, uint16_t *ret_port);
/* An address as a resolver gives it, in network order: len 4 or 16, else false and *ret untouched. */
bool policy_host_from_address(const uint8_t *address, size_t len, struct policy_host *ret);
bool policy_host_equal(const struct policy_host *a, const struct policy_host *b);
