/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The 44-byte head of a virtio-vsock packet (virtio 1.2, section 5.10.6): codec only, pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VSOCK_HEAD_SIZE 44

enum vsock_type { VSOCK_TYPE_STREAM = 1 };

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: what the sender will do no more. */
#define VSOCK_SHUT_RECEIVE 1
#define VSOCK_SHUT_SEND	   2
#define VSOCK_SHUT_BOTH	   3

struct vsock_head {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len; /* bytes of payload that follow */
	uint16_t type; /* enum vsock_type */
	uint16_t op; /* enum vsock_op */
	uint32_t flags;
	uint32_t buf_alloc; /* the sender's receive buffer for this stream */
	uint32_t fwd_cnt; /* bytes the sender has taken out of that buffer so far, free-running */
};

void vsock_head_encode(const struct vsock_head *head, uint8_t out[static VSOCK_HEAD_SIZE]);
/* Every 44 bytes are a head; what it means is for the receiver to check. */
void vsock_head_decode(const uint8_t in[static VSOCK_HEAD_SIZE], struct vsock_head *ret);
