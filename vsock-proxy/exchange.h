/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request of the guest's and its answer, whichever HTTP it came by: judged, handed to an injector, relayed both ways, written
 * down. The transport (guest_h1.c, guest_h2.c) reads and writes; all that is decided is decided here.
 *
 * Every request gets one answer: the upstream's, or a denial (denial.h). An exchange lives until its transport destroys it, which
 * it does when the stream it came on is over; if that is before the answer is whole, the injector hears of it.
 */
#include "vsock-proxy/proxy_state.h"
#include "vsock-proxy/record.h"

struct exchange;

/* The guest's side. Nobody is called from inside exchange_begin() but these. */
struct exchange_to {
	/* Interim answers, then the final one. 101: the bytes after it are a tunnel's. */
	int (*respond)(
		void *to, uint16_t status, struct record_fields *fields, uint64_t length, bool end);
	size_t (*room)(void *to);
	void (*send)(void *to, const void *data, size_t len);
	int (*end)(void *to, const struct record_fields *trailers);
	/* The answer cannot be finished: the guest must see that it is broken off. The exchange is over. */
	void (*abort)(void *to);
	/* So many bytes of its body have gone on. */
	void (*consumed)(void *to, size_t len);
	/* Something was written or given back from outside of the transport's own calls. */
	void (*flush)(void *to);
};

/* Where a request came in. */
struct exchange_place {
	struct proxy *proxy;
	const struct policy_host *host; /* NULL: a proxy's client, whose every request says it */
	uint16_t port;
	bool secure;
};

/* What is asked; text and fields are borrowed for the call, fields are changed. */
struct exchange_asked {
	const char *method, *authority, *path, *query; /* NULL where absent */
	const char *scheme; /* as stated; NULL: the connection's */
	const char
		*host; /* of HTTP/1: Host's value, NULL: none; of HTTP/2 the field `host`, if any */
	bool websocket, tunnel; /* asks for a WebSocket; CONNECT, or another tunnel */
	bool http2;
	struct record_fields *fields;
	uint64_t length;
	bool end;
};

/* NULL: it was answered at once, and all that still comes of it is to be dropped. */
struct exchange *exchange_begin(const struct exchange_place *place, struct exchange_asked *asked,
	const struct exchange_to *to, void *data);
void exchange_destroy(struct exchange *exchange); /* NULL is allowed */
void exchange_data(struct exchange *exchange, const uint8_t *bytes, size_t len);
void exchange_end(struct exchange *exchange, const struct record_fields *trailers);
/* room() is more than 0 again. */
void exchange_drained(struct exchange *exchange);
/* Nothing of it is under way any more: answered, and all of the request taken or dropped. */
bool exchange_is_over(const struct exchange *exchange);
/* All of the request has come. */
bool exchange_is_asked(const struct exchange *exchange);
/* Whether its time is over (a limit of wall time); it is aborted then. */
void exchange_tick(struct exchange *exchange);
