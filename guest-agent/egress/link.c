/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "guest-agent/egress/names.h"
#include "guest-agent/egress/netlink_socket.h"

#define OWN_NUMBER 1 /* of names.h: 198.18.0.1, fd53:616e:6462:6f78::1 */
#define V4_PREFIX  15
#define V6_PREFIX  64

_Static_assert(OWN_NUMBER < NAMES_FIRST_NUMBER, "no name has the link's own address");

/* struct ifinfomsg: family, pad, u16 type, index, flags, mask of the flags to change */
static void begin_link(struct netlink *n, uint16_t flags, unsigned int index)
{
	uint8_t fixed[16] = {};

	store_le32(fixed + 4, index);
	store_le32(fixed + 8, IFF_UP);
	store_le32(fixed + 12, IFF_UP);
	netlink_begin(n, RTM_NEWLINK, flags, fixed, sizeof(fixed));
}

unsigned int link_put_create(struct netlink *n)
{
	begin_link(n, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
	netlink_attr_text(n, IFLA_IFNAME, LINK_NAME);
	netlink_nest(n, IFLA_LINKINFO);
	netlink_attr_text(n, IFLA_INFO_KIND, "dummy");
	netlink_unnest(n);
	netlink_end(n);
	return 1;
}

static void put_up(struct netlink *n, unsigned int index)
{
	begin_link(n, NLM_F_REQUEST | NLM_F_ACK, index);
	netlink_end(n);
}

/* struct ifaddrmsg: family, prefix, flags, scope, index */
static void put_address(struct netlink *n, uint8_t family, uint8_t prefix, unsigned int index,
	const uint8_t *address, size_t len)
{
	uint8_t fixed[8] = { family, prefix, family == AF_INET6 ? IFA_F_NODAD : 0,
		RT_SCOPE_UNIVERSE };

	store_le32(fixed + 4, index);
	netlink_begin(n, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
		fixed, sizeof(fixed));
	netlink_attr(n, IFA_LOCAL, address, len);
	netlink_attr(n, IFA_ADDRESS, address, len);
	netlink_end(n);
}

/* struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags */
static void put_default_route(struct netlink *n, uint8_t family, unsigned int index)
{
	const uint8_t fixed[12] = { family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC,
		family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE, RTN_UNICAST };

	netlink_begin(n, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
		fixed, sizeof(fixed));
	netlink_attr_u32(n, RTA_OIF, index);
	netlink_end(n);
}

unsigned int link_put_v4(struct netlink *n, unsigned int index)
{
	uint8_t own[4];

	names_put_v4(OWN_NUMBER, own);
	put_up(n, index);
	put_address(n, AF_INET, V4_PREFIX, index, own, sizeof(own));
	put_default_route(n, AF_INET, index);
	return 3;
}

unsigned int link_put_v6(struct netlink *n, unsigned int index)
{
	uint8_t own[16];

	names_put_v6(OWN_NUMBER, own);
	put_address(n, AF_INET6, V6_PREFIX, index, own, sizeof(own));
	put_default_route(n, AF_INET6, index);
	return 2;
}

int link_set_up(bool *ret_v6, struct err *err)
{
	uint8_t text[LINK_TEXT_MAX];
	struct err own = {};
	struct netlink n;
	unsigned int index, acks;
	int r;

	netlink_init(&n, text, sizeof(text));
	acks = link_put_create(&n);
	r = netlink_talk(NETLINK_ROUTE, &n, acks, &own);
	if (r < 0 && r != -EEXIST)
		return err_set(err, r, "the dummy link: %s", own.text);
	index = if_nametoindex(LINK_NAME);
	if (!index)
		return err_set(err, -errno, LINK_NAME ": %s", strerror(errno));
	netlink_init(&n, text, sizeof(text));
	acks = link_put_v4(&n, index);
	r = netlink_talk(NETLINK_ROUTE, &n, acks, &own);
	if (r < 0)
		return err_set(err, r, LINK_NAME ", IPv4: %s", own.text);
	netlink_init(&n, text, sizeof(text));
	acks = link_put_v6(&n, index);
	*ret_v6 = netlink_talk(NETLINK_ROUTE, &n, acks, NULL) == 0;
	return 0;
}
