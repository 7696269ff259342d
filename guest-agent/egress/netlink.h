/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Netlink messages in a bounded buffer, and reading what comes back: pure. Headers and attributes are in the machine's own
 * order (this is x86-64: little endian); attributes are padded to four bytes. Sources: Linux Documentation/userspace-api/
 * netlink/intro, include/uapi/linux/netlink.h.
 *
 * Writing is sticky as bytes.h has it: the first thing that does not fit fails the writer, and the caller asks once.
 */
#include "vmm/base/bytes.h"

#define NETLINK_NEST_MAX 8

struct netlink {
	struct bytes_writer w;
	uint32_t messages; /* begun so far: the sequence number of the last */
	size_t start; /* of the message */
	size_t nest[NETLINK_NEST_MAX];
	unsigned int depth;
};

void netlink_init(struct netlink *n, void *buffer, size_t size);
/* A message, from its header and the fixed header of its family to its end. */
void netlink_begin(struct netlink *n, uint16_t type, uint16_t flags, const void *fixed, size_t len);
void netlink_end(struct netlink *n);

void netlink_attr(struct netlink *n, uint16_t type, const void *data, size_t len);
void netlink_attr_u32(struct netlink *n, uint16_t type, uint32_t v);
void netlink_attr_be32(struct netlink *n, uint16_t type, uint32_t v); /* as nftables has them */
void netlink_attr_text(struct netlink *n, uint16_t type, const char *text); /* with its NUL */
void netlink_nest(struct netlink *n, uint16_t type);
void netlink_unnest(struct netlink *n);

struct netlink_message {
	uint16_t type, flags;
	uint32_t seq;
	const uint8_t *body; /* borrowed */
	size_t len;
};

/* The next message of a datagram. False at its end, and with r->failed where it is malformed. */
bool netlink_next(struct bytes_reader *r, struct netlink_message *ret);
/* True where it is an acknowledgement: *ret_code is 0 or -errno. */
bool netlink_ack(const struct netlink_message *message, int *ret_code);
