/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/vsock_credit.h"

#include "vmm/base/array.h"

void vsock_credit_init(struct vsock_credit *credit, uint32_t buf_alloc)
{
	credit->peer_buf_alloc = credit->peer_fwd_cnt = credit->tx_cnt = 0;
	credit->packet_first = credit->packet_count = 0;
	credit->asked = false;
	credit->buf_alloc = buf_alloc;
	credit->fwd_cnt = credit->rx_cnt = credit->told_fwd_cnt = 0;
}

uint32_t vsock_credit_free(const struct vsock_credit *credit)
{
	uint32_t out = credit->tx_cnt - credit->peer_fwd_cnt;

	return out < credit->peer_buf_alloc ? credit->peer_buf_alloc - out : 0;
}

uint32_t vsock_credit_room(const struct vsock_credit *credit, unsigned int more)
{
	uint32_t bytes = vsock_credit_free(credit), alloc = credit->peer_buf_alloc;
	uint64_t weight = (uint64_t)(credit->packet_count + more + 1) * VSOCK_PACKET_MEMORY;

	/* A buffer so small that the weight fills it would get nothing at all: it gets one packet at a time. */
	if (credit->packet_count + more == 0)
		return MIN(bytes,
			alloc / 2 > VSOCK_PACKET_MEMORY ? alloc - VSOCK_PACKET_MEMORY : alloc);
	return bytes >= weight + VSOCK_PACKET_LEAST ? bytes - (uint32_t)weight : 0;
}

static unsigned int packet_limit(const struct vsock_credit *credit)
{
	uint32_t limit = credit->peer_buf_alloc / VSOCK_PACKET_WEIGHT;

	return MIN(MAX(limit, VSOCK_PACKETS_MIN), VSOCK_PACKETS_MAX);
}

unsigned int vsock_credit_packets_free(const struct vsock_credit *credit)
{
	unsigned int limit = packet_limit(credit);

	return credit->packet_count < limit ? limit - credit->packet_count : 0;
}

static bool near_limit(const struct vsock_credit *credit)
{
	return credit->packet_count >= packet_limit(credit) / 4 * 3 ||
	       (credit->packet_count && vsock_credit_room(credit, 0) < credit->peer_buf_alloc / 16);
}

static bool well_below_limit(const struct vsock_credit *credit)
{
	return credit->packet_count < packet_limit(credit) / 2 &&
	       (!credit->packet_count ||
		       vsock_credit_room(credit, 0) >= credit->peer_buf_alloc / 4);
}

bool vsock_credit_should_ask(const struct vsock_credit *credit)
{
	return !credit->asked && near_limit(credit);
}

void vsock_credit_sent(struct vsock_credit *credit, uint32_t len)
{
	credit->tx_cnt += len;
	if (credit->packet_count == VSOCK_PACKETS_MAX)
		return;
	credit->packet_end[(credit->packet_first + credit->packet_count) % VSOCK_PACKETS_MAX] =
		credit->tx_cnt;
	credit->packet_count++;
}

void vsock_credit_heard(struct vsock_credit *credit, uint32_t peer_buf_alloc, uint32_t peer_fwd_cnt)
{
	credit->peer_buf_alloc = peer_buf_alloc;
	credit->peer_fwd_cnt = peer_fwd_cnt;
	/* A packet is consumed once fwd_cnt has reached its end: the difference is then not "negative". */
	while (credit->packet_count &&
		peer_fwd_cnt - credit->packet_end[credit->packet_first] < 1u << 31) {
		credit->packet_first = (uint16_t)(credit->packet_first + 1) % VSOCK_PACKETS_MAX;
		credit->packet_count--;
	}
	/* Not at once: a slow reader would be asked again for each few kilobytes. */
	if (well_below_limit(credit))
		credit->asked = false;
}

bool vsock_credit_received(struct vsock_credit *credit, uint32_t len)
{
	uint32_t held = credit->rx_cnt - credit->fwd_cnt;

	if (len > credit->buf_alloc - held)
		return false;
	credit->rx_cnt += len;
	return true;
}

void vsock_credit_consumed(struct vsock_credit *credit, uint32_t len)
{
	credit->fwd_cnt += len;
}

bool vsock_credit_should_tell(const struct vsock_credit *credit)
{
	return credit->fwd_cnt - credit->told_fwd_cnt >= credit->buf_alloc / 2;
}
