/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sockets of the guest's resolver: queries in over UDP and TCP (RFC 7766), dns.h's answers out. Over TCP a client may
 * ask many questions; the one that has been there longest makes room for a new one.
 */
#include "guest-agent/egress/dns.h"
#include "vmm/base/loop.h"

#define RESOLVER_TCP_MAX   16
#define RESOLVER_LISTENERS 4
#define RESOLVER_BURST	   64 /* datagrams taken in one go */

struct resolver;

/* All borrowed. */
int resolver_create(struct loop *loop, const struct dns_zone *zone, struct resolver **ret);
void resolver_destroy(struct resolver *resolver);

/* fd is bound (TCP: listens), non-blocking, and borrowed. */
int resolver_add_udp(struct resolver *resolver, int fd);
int resolver_add_tcp(struct resolver *resolver, int fd);
