/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Load for tests/bench/proxy.py: the same client for every proxy. Connections without threads, each asks again as soon as it was
 * answered. load.c: connections, TLS, what is counted; load_http.c: HTTP/1.1 by plain writes, HTTP/2 by libnghttp2.
 *
 * A connection gets to the origin by TCP, by CONNECT, or as a stream of egress.h whose other end goes through a SOCK_SEQPACKET
 * socket that was inherited, as sandbox-link hands them over.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct load {
	const char *name, *path; /* of the origin; what is asked for */
	uint64_t body; /* bytes of the answer */
	uint64_t upload; /* bytes to be sent with each request; 0: GET */
	unsigned int streams; /* requests at once on each connection: HTTP/2 */
	bool http2, renew; /* renew: each request on a connection of its own */
	bool stopping; /* nothing more is asked */
	/* What came of it. */
	uint64_t requests, failed, bytes, sent;
	uint64_t *latency_us;
	size_t latency_count, latency_size;
};

void load_answered(struct load *load, uint64_t begun_ns);
uint64_t load_now_ns(void);

/* One connection's HTTP, once TLS is there. */
struct load_http;

/* connected_ns: when the connection was begun; with renew its request's time counts from there. */
struct load_http *load_http_create(struct load *load, uint64_t connected_ns);
void load_http_destroy(struct load_http *http); /* NULL is allowed */
/* False: it broke its protocol. */
bool load_http_take(struct load_http *http, const uint8_t *bytes, size_t len);
/* What is to be written: *ret of so many bytes; -1: broken. */
ssize_t load_http_peek(struct load_http *http, const uint8_t **ret);
void load_http_taken(struct load_http *http, size_t len);
/* All that may be asked on it was answered. */
bool load_http_is_over(const struct load_http *http);
