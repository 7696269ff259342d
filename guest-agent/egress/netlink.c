/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/netlink.h"

#include <linux/netlink.h>
#include <string.h>

#include "guest-agent/egress/network_order.h"

#define HEAD_SIZE      16
#define ATTR_HEAD_SIZE 4
#define ERRNO_LAST     4095

void netlink_init(struct netlink *n, void *buffer, size_t size)
{
	*n = (struct netlink){ .w = bytes_writer(buffer, size) };
}

static void pad(struct bytes_writer *w)
{
	static const uint8_t zeros[3];

	bytes_put(w, zeros, (4 - w->offset % 4) % 4);
}

void netlink_begin(struct netlink *n, uint16_t type, uint16_t flags, const void *fixed, size_t len)
{
	n->start = n->w.offset;
	bytes_put_u32(&n->w, 0); /* the length: netlink_end() */
	bytes_put_u16(&n->w, type);
	bytes_put_u16(&n->w, flags);
	bytes_put_u32(&n->w, ++n->messages);
	bytes_put_u32(&n->w, 0); /* to the kernel, from whom it likes */
	bytes_put(&n->w, fixed, len);
	pad(&n->w);
}

void netlink_end(struct netlink *n)
{
	if (n->depth)
		n->w.failed = true;
	if (!n->w.failed)
		store_le32(n->w.data + n->start, (uint32_t)(n->w.offset - n->start));
}

void netlink_attr(struct netlink *n, uint16_t type, const void *data, size_t len)
{
	if (len > UINT16_MAX - ATTR_HEAD_SIZE) {
		n->w.failed = true;
		return;
	}
	bytes_put_u16(&n->w, (uint16_t)(ATTR_HEAD_SIZE + len));
	bytes_put_u16(&n->w, type);
	bytes_put(&n->w, data, len);
	pad(&n->w);
}

void netlink_attr_u32(struct netlink *n, uint16_t type, uint32_t v)
{
	uint8_t bytes[4];

	store_le32(bytes, v);
	netlink_attr(n, type, bytes, sizeof(bytes));
}

void netlink_attr_be32(struct netlink *n, uint16_t type, uint32_t v)
{
	uint8_t bytes[4];
	struct bytes_writer w = bytes_writer(bytes, sizeof(bytes));

	put_be32(&w, v);
	netlink_attr(n, type, bytes, sizeof(bytes));
}

void netlink_attr_text(struct netlink *n, uint16_t type, const char *text)
{
	netlink_attr(n, type, text, strlen(text) + 1);
}

void netlink_nest(struct netlink *n, uint16_t type)
{
	if (n->depth == NETLINK_NEST_MAX) {
		n->w.failed = true;
		return;
	}
	n->nest[n->depth++] = n->w.offset;
	netlink_attr(n, type | NLA_F_NESTED, NULL, 0);
}

void netlink_unnest(struct netlink *n)
{
	size_t at, len;

	if (!n->depth) {
		n->w.failed = true;
		return;
	}
	at = n->nest[--n->depth];
	len = n->w.offset - at;
	if (len > UINT16_MAX)
		n->w.failed = true;
	if (!n->w.failed)
		store_le16(n->w.data + at, (uint16_t)len);
}

bool netlink_next(struct bytes_reader *r, struct netlink_message *ret)
{
	struct netlink_message message = {};
	uint32_t len;

	if (r->failed || r->offset == r->size)
		return false;
	len = bytes_get_u32(r);
	message.type = bytes_get_u16(r);
	message.flags = bytes_get_u16(r);
	message.seq = bytes_get_u32(r);
	(void)bytes_get_u32(r);
	if (r->failed || len < HEAD_SIZE) {
		r->failed = true;
		return false;
	}
	message.len = len - HEAD_SIZE;
	message.body = bytes_get(r, message.len);
	if (!message.body)
		return false;
	/* The last one's padding may be missing. */
	(void)bytes_get(r, bytes_left(r) < (4 - len % 4) % 4 ? bytes_left(r) : (4 - len % 4) % 4);
	*ret = message;
	return true;
}

bool netlink_ack(const struct netlink_message *message, int *ret_code)
{
	uint32_t code;

	if (message->type != NLMSG_ERROR || message->len < 4)
		return false;
	code = load_le32(message->body);
	if (code && code < (uint32_t)-ERRNO_LAST)
		return false;
	*ret_code = (int)code;
	return true;
}
