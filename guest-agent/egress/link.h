/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The link that gives the workload a route to everywhere: a dummy interface, whose packets go nowhere. A connection needs a
 * route and a source address before the redirect of nft.h can take it up. Its addresses are the first of the ranges of
 * names.h; what a program sends past the redirect is dropped by the interface (E8: no NIC).
 */
#include <stdbool.h>
#include <stddef.h>

#include "guest-agent/egress/netlink.h"
#include "vmm/base/err.h"

#define LINK_NAME     "sandbox0"
#define LINK_TEXT_MAX 512

/* The messages, as netlink_talk() sends them; each gives the number of acknowledgements to wait for. Pure. */
unsigned int link_put_create(struct netlink *n);
unsigned int link_put_v4(struct netlink *n, unsigned int index);
unsigned int link_put_v6(struct netlink *n, unsigned int index);

/*
 * Makes it (or takes the one that is there), up, with addresses and default routes. A kernel without IPv6 is none the worse:
 * *ret_v6 is false then.
 */
int link_set_up(bool *ret_v6, struct err *err);
