/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/nft.h"

#include <netinet/in.h> /* before the kernel's own of it */
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "guest-agent/egress/netlink_socket.h"

#define TABLE "sandbox"

/* struct nfgenmsg: family, version, u16 resource in network order */
static void begin(struct netlink *n, uint16_t message, uint16_t flags)
{
	static const uint8_t fixed[4] = { NFPROTO_INET, NFNETLINK_V0, 0, 0 };

	netlink_begin(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message),
		NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags, fixed, sizeof(fixed));
}

static void put_batch_edge(struct netlink *n, uint16_t type)
{
	static const uint8_t fixed[4] = { AF_UNSPEC, NFNETLINK_V0, 0, NFNL_SUBSYS_NFTABLES };

	netlink_begin(n, type, NLM_F_REQUEST, fixed, sizeof(fixed));
	netlink_end(n);
}

static void put_table(struct netlink *n)
{
	begin(n, NFT_MSG_NEWTABLE, 0);
	netlink_attr_text(n, NFTA_TABLE_NAME, TABLE);
	netlink_end(n);
}

static void put_chain(struct netlink *n, const char *name, const char *type, int32_t priority)
{
	begin(n, NFT_MSG_NEWCHAIN, 0);
	netlink_attr_text(n, NFTA_CHAIN_TABLE, TABLE);
	netlink_attr_text(n, NFTA_CHAIN_NAME, name);
	netlink_nest(n, NFTA_CHAIN_HOOK);
	netlink_attr_be32(n, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	netlink_attr_be32(n, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	netlink_unnest(n);
	netlink_attr_be32(n, NFTA_CHAIN_POLICY, NF_ACCEPT);
	netlink_attr_text(n, NFTA_CHAIN_TYPE, type);
	netlink_end(n);
}

/* -- rules: a list of expressions -- */

static void begin_rule(struct netlink *n, const char *chain)
{
	begin(n, NFT_MSG_NEWRULE, NLM_F_APPEND);
	netlink_attr_text(n, NFTA_RULE_TABLE, TABLE);
	netlink_attr_text(n, NFTA_RULE_CHAIN, chain);
	netlink_nest(n, NFTA_RULE_EXPRESSIONS);
}

static void end_rule(struct netlink *n)
{
	netlink_unnest(n);
	netlink_end(n);
}

static void begin_expression(struct netlink *n, const char *name)
{
	netlink_nest(n, NFTA_LIST_ELEM);
	netlink_attr_text(n, NFTA_EXPR_NAME, name);
	netlink_nest(n, NFTA_EXPR_DATA);
}

static void end_expression(struct netlink *n)
{
	netlink_unnest(n);
	netlink_unnest(n);
}

/* The rule goes on where the packet's key is value. */
static void put_match(struct netlink *n, uint32_t key, const void *value, size_t len)
{
	begin_expression(n, "meta");
	netlink_attr_be32(n, NFTA_META_DREG, NFT_REG_1);
	netlink_attr_be32(n, NFTA_META_KEY, key);
	end_expression(n);
	begin_expression(n, "cmp");
	netlink_attr_be32(n, NFTA_CMP_SREG, NFT_REG_1);
	netlink_attr_be32(n, NFTA_CMP_OP, NFT_CMP_EQ);
	netlink_nest(n, NFTA_CMP_DATA);
	netlink_attr(n, NFTA_DATA_VALUE, value, len);
	netlink_unnest(n);
	end_expression(n);
}

static void put_protocol_match(struct netlink *n, uint8_t protocol)
{
	put_match(n, NFT_META_L4PROTO, &protocol, sizeof(protocol));
}

static void put_counter(struct netlink *n)
{
	begin_expression(n, "counter");
	end_expression(n);
}

static void put_accept(struct netlink *n)
{
	begin_expression(n, "immediate");
	netlink_attr_be32(n, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	netlink_nest(n, NFTA_IMMEDIATE_DATA);
	netlink_nest(n, NFTA_DATA_VERDICT);
	netlink_attr_be32(n, NFTA_VERDICT_CODE, NF_ACCEPT);
	netlink_unnest(n);
	netlink_unnest(n);
	end_expression(n);
}

static void put_redirect(struct netlink *n, uint16_t port)
{
	const uint8_t value[2] = { (uint8_t)(port >> 8), (uint8_t)port };

	begin_expression(n, "immediate");
	netlink_attr_be32(n, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	netlink_nest(n, NFTA_IMMEDIATE_DATA);
	netlink_attr(n, NFTA_DATA_VALUE, value, sizeof(value));
	netlink_unnest(n);
	end_expression(n);
	begin_expression(n, "redir");
	netlink_attr_be32(n, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	end_expression(n);
}

static void put_reject(struct netlink *n, uint8_t code)
{
	begin_expression(n, "reject");
	netlink_attr_be32(n, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	netlink_attr(n, NFTA_REJECT_ICMP_CODE, &code, sizeof(code));
	end_expression(n);
}

static void put_loopback_rule(struct netlink *n, const char *chain)
{
	uint8_t type[2];

	store_le16(type, ARPHRD_LOOPBACK);
	begin_rule(n, chain);
	put_match(n, NFT_META_OIFTYPE, type, sizeof(type));
	put_accept(n);
	end_rule(n);
}

static void put_capture_rules(struct netlink *n, uint16_t port)
{
	put_loopback_rule(n, "capture");
	begin_rule(n, "capture");
	put_protocol_match(n, IPPROTO_TCP);
	put_counter(n);
	put_redirect(n, port);
	end_rule(n);
}

static void put_refuse_rules(struct netlink *n)
{
	put_loopback_rule(n, "refuse");
	begin_rule(n, "refuse");
	put_protocol_match(n, IPPROTO_TCP);
	put_counter(n);
	put_accept(n);
	end_rule(n);
	begin_rule(n, "refuse");
	put_protocol_match(n, IPPROTO_UDP);
	put_counter(n);
	put_reject(n, NFT_REJECT_ICMPX_PORT_UNREACH);
	end_rule(n);
	begin_rule(n, "refuse");
	put_counter(n);
	put_reject(n, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
	end_rule(n);
}

unsigned int nft_put_capture(struct netlink *n, uint16_t port)
{
	uint32_t before;

	put_batch_edge(n, NFNL_MSG_BATCH_BEGIN);
	before = n->messages;
	put_table(n);
	put_chain(n, "capture", "nat", -100);
	put_chain(n, "refuse", "filter", 0);
	put_capture_rules(n, port);
	put_refuse_rules(n);
	before = n->messages - before;
	put_batch_edge(n, NFNL_MSG_BATCH_END);
	return before;
}

int nft_set_up(uint16_t port, struct err *err)
{
	uint8_t text[NFT_TEXT_MAX];
	struct err own = {};
	struct netlink n;
	unsigned int acks;
	int r;

	netlink_init(&n, text, sizeof(text));
	acks = nft_put_capture(&n, port);
	r = netlink_talk(NETLINK_NETFILTER, &n, acks, &own);
	return r < 0 ? err_set(err, r, "the packet filter's rules: %s", own.text) : 0;
}
