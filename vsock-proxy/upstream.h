/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Connections to upstreams, and what is asked on them: dialled, verified, kept for the next request, of either HTTP version.
 *
 * Theory of operation. A call is one request and its answer. It is given an open HTTP/2 connection to its target, an idle HTTP/1
 * one, or a new one: resolved, each address judged right before it is dialled (E5, E6), TLS verified where the target says so, the
 * version by ALPN. The judge is asked again, for the address that is there, when a connection is used again: what one rule
 * may reach another may not. ready() says that the request may be written. Connections are keyed by host, port, TLS and what was offered, in
 * one process that serves one sandbox and one binding (E24); an idle one on which a byte comes is closed.
 *
 * Ownership: a call is its owner's until upstream_close(). Callbacks may write, end and close. Threads: the loop's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsock-proxy/dial.h"
#include "vsock-proxy/record.h"

#define UPSTREAM_CONNECTIONS_MAX 512
#define UPSTREAM_IDLE_MS	 60000 /* of a connection that nobody uses */
#define UPSTREAM_HANDSHAKE_MS	 15000
#define UPSTREAM_HEAD_MS	 (10 * 60 * 1000) /* until an answer begins */

struct local_address;
struct tls_client;
struct upstream_pool;
struct upstream_call;

struct upstream_setup {
	struct loop *loop;
	struct resolver *resolver;
	struct tls_client *tls;
	const struct via_target *via; /* the host's own proxy; NULL: none */
};

struct upstream_target {
	struct policy_host host;
	uint16_t port;
	bool secure;
	/*
	 * Only HTTP/1.1 is offered: for a WebSocket. That a server takes one in HTTP/2 (RFC 8441) is known only after its
	 * settings came, and most do not.
	 */
	bool http1;
};

struct upstream_request {
	const char *method, *path, *query; /* query NULL: none */
	bool websocket; /* its target is http1's */
	const struct record_fields *fields; /* without Host and what belongs to a connection */
	uint64_t length;
	bool end;
};

struct upstream_ops {
	dial_judge_fn *judge; /* data: the call's owner */
	/* Of a connection that is there, which leads where it led when it was dialled: only the rule is asked anew. */
	dial_judge_fn *judge_again;
	void (*ready)(void *owner);
	/* Interim answers, then the final one. */
	void (*response)(
		void *owner, uint16_t status, const struct record_fields *fields, uint64_t length);
	/* Given back with upstream_consumed(). */
	void (*data)(void *owner, const uint8_t *bytes, size_t len);
	void (*end)(void *owner, const struct record_fields *trailers);
	void (*drained)(void *owner);
	/* It is over before its time; again: nothing of the request was taken, another connection may fare better. */
	void (*failed)(void *owner, enum record_reason reason, bool again);
};

int upstream_pool_create(const struct upstream_setup *setup, struct upstream_pool **ret);
void upstream_pool_destroy(struct upstream_pool *pool); /* no call may be left. NULL is allowed */

/* fresh: on a new connection. -EBUSY: too many; -ENOMEM. ready() and failed() are told from the loop. */
int upstream_open(struct upstream_pool *pool, const struct upstream_target *target, bool fresh,
	const struct upstream_ops *ops, void *owner, struct upstream_call **ret);
void upstream_close(struct upstream_call *call); /* NULL is allowed */

/* Once, after ready(). -EINVAL: what cannot be written. */
int upstream_request(struct upstream_call *call, const struct upstream_request *request);
/*
 * What was asked last goes out now, not at the end of the loop's round: its server works on it while the next one is read. Not from
 * inside an operation of a call's owner: calls may end meanwhile.
 */
void upstream_push(struct upstream_pool *pool);
size_t upstream_room(const struct upstream_call *call);
void upstream_send(struct upstream_call *call, const void *data, size_t len);
int upstream_end(struct upstream_call *call, const struct record_fields *trailers);
void upstream_consumed(struct upstream_call *call, size_t len);
