/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The guest's resolver as a function of a query (RFC 1035, RFC 6891): pure. No name is ever looked up (E7): each gets
 * synthetic addresses, and whoever connects to one is asked for by name at the host.
 *
 *   A, AAAA          the name's synthetic address; AAAA is empty where the guest has no IPv6
 *   PTR              the name of a synthetic address; NXDOMAIN for all others
 *   anything else    empty: HTTPS and SVCB too, so no client hears of ECH or of other ports (E4)
 *   localhost, the sandbox's own host name: loopback
 *   what cannot be a host's name, or is an address in disguise (E3: a last label that begins with a digit), .invalid,
 *   .onion and .local, and the name by which browsers ask whether they may resolve elsewhere: NXDOMAIN
 *
 * A query has one question, no compression, at most one additional record, which is OPT; else FORMERR. A name's bytes in
 * the question are sent back as they came (clients mix cases to know their answers).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/egress/names.h"

#define DNS_QUERY_MAX  4096
#define DNS_ANSWER_MAX 1024 /* a PTR of the longest name has room */
#define DNS_TTL_S      30

struct dns_zone {
	struct names *names;
	const char *hostname; /* in lower case */
	bool captured; /* false: nothing would take up connections to synthetic addresses, so there are none: REFUSED */
	bool v6;
};

/* The answer's size, or 0: no answer (what is no query gets none, lest two servers talk for ever). */
size_t dns_answer(const struct dns_zone *zone, const void *query, size_t len,
	uint8_t out[static DNS_ANSWER_MAX]);
