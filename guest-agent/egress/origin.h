/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where a captured connection was meant to go: from the kernel's word to what the host is told. */
#include "guest-agent/egress/names.h"
#include "guest-agent/protocol/egress.h"

struct origin {
	bool v6;
	uint16_t port;
	uint8_t address[16]; /* network order; IPv4: the first four */
};

/* Of a connection that the redirect brought (SO_ORIGINAL_DST); -errno where it did not. */
int origin_get(int fd, struct origin *ret);

/*
 * A synthetic address becomes its name, any other its text. False where there is nothing to ask the host for: a synthetic
 * address that stands for no name (any more), or this machine itself.
 */
bool origin_request(const struct origin *origin, struct names *names, struct egress_request *ret);
