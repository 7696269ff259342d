/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Credit of one stream, both ways (virtio 1.2, section 5.10.6.3), and the count of packets that the guest may still have
 * queued. Pure. All counters are free-running u32 and wrap; only their differences mean anything (V8).
 *
 * Theory of operation. Towards the guest: it told peer_buf_alloc and peer_fwd_cnt, we sent tx_cnt bytes; what is on the way
 * or unread is tx_cnt - peer_fwd_cnt and may not pass peer_buf_alloc. A guest that lies (fwd_cnt ahead of tx_cnt) gets no
 * credit and so stops only itself.
 * Linux guests also bound the memory behind a stream's queue, where a packet of one byte weighs some hundred: so the ends of
 * packets not known to be consumed are kept, and there are never more than a share of the peer's buffer allows. Some stable
 * kernels of 2026 (6.12.117 is one) count that weight together with the bytes against the buffer, and reset the stream when
 * the sum passes it: so the weight is held back from the bytes too. Guests tell their fwd_cnt late (after a good part of the
 * *bytes* was read), so that near those bounds they are asked (CREDIT_REQUEST).
 * From the guest: buf_alloc is what we promise and what we really have; rx_cnt came, fwd_cnt was handed on.
 */
#include <stdbool.h>
#include <stdint.h>

#define VSOCK_PACKETS_MAX   256u /* unconsumed packets towards the guest, for one stream */
#define VSOCK_PACKETS_MIN   8u
#define VSOCK_PACKET_WEIGHT 2048u /* of the peer's buf_alloc, for each of them */
#define VSOCK_PACKET_MEMORY                                                                        \
	640u /* what a guest's kernel needs to queue one, beside its bytes: SKB_TRUESIZE(0), 576 */
#define VSOCK_PACKET_LEAST 512u /* a smaller one is not worth its weight, while others are out */

struct vsock_credit {
	/* towards the guest */
	uint32_t peer_buf_alloc, peer_fwd_cnt, tx_cnt;
	uint16_t packet_first, packet_count;
	bool asked; /* the guest was asked since it was last well below the bound */
	/* from the guest */
	uint32_t buf_alloc, fwd_cnt, rx_cnt;
	uint32_t told_fwd_cnt; /* the fwd_cnt it heard last */
	uint32_t packet_end
		[VSOCK_PACKETS_MAX]; /* tx_cnt after each packet; a ring. Last: untouched while idle. */
};

void vsock_credit_init(struct vsock_credit *credit, uint32_t buf_alloc);

/* Bytes that may be sent now. */
uint32_t vsock_credit_free(const struct vsock_credit *credit);
/* Bytes that may be sent now in the one packet after `more` others that are planned; their bytes are for the caller to deduct. */
uint32_t vsock_credit_room(const struct vsock_credit *credit, unsigned int more);
/* Packets that may be sent now. */
unsigned int vsock_credit_packets_free(const struct vsock_credit *credit);
/* Whether so many packets are out that the guest should be asked how far it is; at once only the first time. */
bool vsock_credit_should_ask(const struct vsock_credit *credit);
/* A packet of len bytes went out; len is within vsock_credit_free(), and a packet was free. */
void vsock_credit_sent(struct vsock_credit *credit, uint32_t len);
/* What any packet of the guest's says. */
void vsock_credit_heard(
	struct vsock_credit *credit, uint32_t peer_buf_alloc, uint32_t peer_fwd_cnt);

/* len bytes came: false where the guest had no credit for them (nothing is counted then). */
bool vsock_credit_received(struct vsock_credit *credit, uint32_t len);
void vsock_credit_consumed(struct vsock_credit *credit, uint32_t len);
/* Whether the guest's view is so far behind that it must be told: keeps half of the buffer in play. */
bool vsock_credit_should_tell(const struct vsock_credit *credit);
