/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The packet filter's table `inet sandbox`, as `nft list ruleset` would show it:
 *
 *   chain capture { type nat hook output priority -100;
 *           oiftype loopback accept
 *           meta l4proto tcp counter redirect to :port }
 *   chain refuse { type filter hook output priority 0;
 *           oiftype loopback accept
 *           meta l4proto tcp counter accept
 *           meta l4proto udp counter reject with icmpx port-unreachable
 *           counter reject with icmpx admin-prohibited }
 *
 * All of TCP is taken up but what stays on loopback, whoever's it is, root's too: the agent itself goes out over vsock only, so
 * nobody needs an exemption. UDP, ICMP and the rest are refused at once, so that nothing waits for a timeout; DNS has its
 * resolver on loopback. Rules a root of the guest removes cost it its way out: behind them is a dummy link (E8).
 * In the second chain a redirected packet still shows the link it was first routed to: hence `tcp accept`.
 * Forwarded packets (containers with a network of their own) do not pass here: they meet the dummy link.
 */
#include <stdint.h>

#include "guest-agent/egress/netlink.h"
#include "vmm/base/err.h"

#define NFT_TEXT_MAX 4096

/* One batch, all or nothing. The number of acknowledgements to wait for. Pure. */
unsigned int nft_put_capture(struct netlink *n, uint16_t port);

int nft_set_up(uint16_t port, struct err *err);
