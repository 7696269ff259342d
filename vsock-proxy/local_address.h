/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whether an address is the host's own (E6): asked of the kernel, by the type of the route that a packet to it would take
 * (RTM_GETROUTE, rtnetlink(7)), at each connect. So public addresses of its own interfaces, of bridges and of a NAT's inside
 * count, today's and not those of the start. What the kernel does not answer counts as its own.
 *
 * The socket is made before the jail; asking makes none. Blocks for one answer of the kernel's. Threads: one.
 */
#include <stdbool.h>

#include "policy/name.h"
#include "vmm/base/err.h"

struct local_address {
	int fd; /* netlink; owned */
	uint32_t sequence;
};

int local_address_init(struct local_address *local, struct err *err);
void local_address_finish(struct local_address *local);
/* host is an address. True too for broadcast, multicast and anycast routes, and where the kernel gives no unicast one. */
bool local_address_is(struct local_address *local, const struct policy_host *host);
