/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One opaque connection (E25): decided once, by name, port and protocol, then bytes both ways that nobody reads, through `open`.
 * Knows no socket.
 */
#include "vsock-proxy/proxy_state.h"

struct tunnel;

struct tunnel_ops {
	void (*opened)(void *owner); /* the upstream is connected: bytes may flow */
	/* It was denied or cannot be had; told at most once, instead of opened. */
	void (*refused)(void *owner, const struct denial *denial);
	void (*flush)(void *owner); /* there is something to pull, or room to put, or it is over */
};

/* protocol: one of the opaque ones. *ret is NULL where it was refused at once. -ENOMEM. */
int tunnel_open(struct proxy *proxy, enum policy_protocol protocol, const struct policy_host *host,
	uint16_t port, const struct tunnel_ops *ops, void *owner, struct tunnel **ret);
void tunnel_destroy(struct tunnel *tunnel); /* NULL is allowed */

/* From the guest: how many bytes it takes now; then them; then their end. */
size_t tunnel_room(const struct tunnel *tunnel);
void tunnel_put(struct tunnel *tunnel, const void *bytes, size_t len);
void tunnel_put_end(struct tunnel *tunnel);
/* For the guest. */
size_t tunnel_peek(const struct tunnel *tunnel, const uint8_t **ret);
void tunnel_take(struct tunnel *tunnel, size_t len);
bool tunnel_out_ended(const struct tunnel *tunnel); /* all was taken, no more comes */
bool tunnel_is_broken(const struct tunnel *tunnel); /* before its time */
void tunnel_tick(struct tunnel *tunnel);
