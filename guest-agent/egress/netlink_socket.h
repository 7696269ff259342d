/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One question to the kernel over netlink, and its answers. */
#include "guest-agent/egress/netlink.h"
#include "vmm/base/err.h"

#define NETLINK_WAIT_S 5

/*
 * Sends what n holds in one datagram to a new socket of the family (NETLINK_ROUTE, NETLINK_NETFILTER) and waits for `acks`
 * acknowledgements. 0, or the first error that one of them tells.
 */
int netlink_talk(int family, const struct netlink *n, unsigned int acks, struct err *err);
