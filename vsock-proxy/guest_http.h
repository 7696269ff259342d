/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP towards the guest, of either version, on one connection: bytes in, bytes out, every request an exchange (exchange.h).
 * Knows no socket and no TLS.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vsock-proxy/exchange.h"

struct guest_http;

struct guest_http_ops {
	void (*flush)(void *owner); /* there may be something to pull, or room to receive */
	void (*abort)(
		void *owner); /* an answer broke off in a way that only the connection's end can tell */
};

/* place is copied, but for the host, which outlives it. http2: by ALPN. */
int guest_http_create(const struct exchange_place *place, bool http2,
	const struct guest_http_ops *ops, void *owner, struct guest_http **ret);
void guest_http_destroy(struct guest_http *http); /* NULL is allowed */

bool guest_http_wants_input(const struct guest_http *http);
/* How much of it was taken; -EPROTO: no more will be; what guest_http_pull() still gives is the last. */
ssize_t guest_http_receive(struct guest_http *http, const uint8_t *bytes, size_t len);
/* No more comes. */
void guest_http_input_ended(struct guest_http *http);
size_t guest_http_pull(struct guest_http *http, uint8_t *out, size_t size);
/* Nothing more will come out. */
bool guest_http_is_over(const struct guest_http *http);
/* Exchanges that are under way. */
bool guest_http_is_busy(const struct guest_http *http);
/* HTTP/1: all of a request has come, its answer has not gone; what is behind it waits. */
bool guest_http_is_answering(const struct guest_http *http);
/* That came so far. */
uint64_t guest_http_requests(const struct guest_http *http);
void guest_http_tick(struct guest_http *http);
