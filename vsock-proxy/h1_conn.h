/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One HTTP/1.1 connection (RFC 9112) at either end: bytes in, bytes out, one message exchange after the other. Knows no socket, no TLS
 * and no policy; the counterpart of h2.h. Towards the guest we are the server, towards an upstream the client.
 *
 * Theory of operation. h1_conn_receive() takes as much of what came as it may and calls back: request() or response() once a head
 * is whole, data(), end(). It stops, and says how far it came, at the end of an exchange whose other half is still to be
 * written, and when H1_CONN_WINDOW bytes of body have not been given back with h1_conn_consumed(): whoever owns the socket reads
 * no more then (h1_conn_wants_input()). What is written goes into a buffer of H1_CONN_OUT_BYTES, and out by h1_conn_pull();
 * drained() tells when some of it went.
 *
 * Framing is written here and nowhere else: Content-Length where the length is known, chunks where it is not, the end of
 * the connection towards an HTTP/1.0 client (section 6.3). Fields given to it hold none of that (fields_strip()).
 * After a 101, or a 2xx to CONNECT, both directions are a tunnel of bytes until each has ended (RFC 9110, section 7.8).
 *
 * A client's connection on which something comes that nobody asked for is over (E24), as is one on which a body ended short.
 *
 * Ownership: heads borrow for the call. Callbacks may write and end, but not receive or destroy. Threads: one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vsock-proxy/h1_body.h"

#define H1_CONN_WINDOW	   (64u << 10) /* bytes of a body that were told and not given back */
#define H1_CONN_BODY_BYTES (64u << 10) /* of a body that wait to be written */
#define H1_CONN_OUT_BYTES  (H1_CONN_BODY_BYTES + 2 * H1_HEAD_MAX) /* all that waits */

struct h1_conn;

enum h1_role { H1_SERVER = 1, H1_CLIENT = 2 };

struct h1_conn_ops {
	/* Server. length: of its body; RECORD_LENGTH_UNKNOWN: until end(). end: there is none, and end() is not told. */
	void (*request)(void *owner, const struct h1_request *m, uint64_t length, bool end);
	/* Client; interim responses (1xx) before the final one. A tunnel begins with end false. */
	void (*response)(void *owner, const struct h1_response *m, uint64_t length, bool end);
	void (*data)(void *owner, const uint8_t *bytes, size_t len);
	void (*end)(void *owner, const struct record_fields *trailers);
	void (*drained)(void *owner);
};

int h1_conn_create(enum h1_role role, const struct h1_conn_ops *ops, void *owner,
	struct h1_conn **ret, struct err *err);
void h1_conn_destroy(struct h1_conn *conn); /* NULL is allowed */

/*
 * *ret_used of len bytes are taken; the rest is to be given again once h1_conn_wants_input(). -EPROTO: refused, with H1_*'s
 * words; *ret_error (may be NULL) says which, for a server's last answer. Nothing more is taken then.
 */
int h1_conn_receive(struct h1_conn *conn, const uint8_t *bytes, size_t len, size_t *ret_used,
	enum h1_error *ret_error, struct err *err);
/* No more bytes will come. 0: as it should be; -EPIPE: in the middle of a message. */
int h1_conn_input_ended(struct h1_conn *conn);
bool h1_conn_wants_input(const struct h1_conn *conn);
void h1_conn_consumed(struct h1_conn *conn, size_t len);

/* Up to size bytes that are to be written; 0: nothing now. */
size_t h1_conn_pull(struct h1_conn *conn, uint8_t *out, size_t size);
/* Nothing waits to be written. */
bool h1_conn_is_flushed(const struct h1_conn *conn);
/* No further exchange can begin on it: to be closed once it is flushed. */
bool h1_conn_is_over(const struct h1_conn *conn);
/* Client: no exchange is under way, and one may begin. */
bool h1_conn_is_idle(const struct h1_conn *conn);
/* The exchange under way, if any, is the last. */
void h1_conn_shut(struct h1_conn *conn);

/* Client. length: 0 with end; RECORD_LENGTH_UNKNOWN: chunks. -EPIPE: not idle; -EINVAL: what cannot be written. */
int h1_conn_request(struct h1_conn *conn, const char *method, const char *target,
	const struct record_fields *fields, uint64_t length, bool end);
/*
 * Server: interim answers (1xx) and the final one. 101 begins a tunnel, where `fields` holds Upgrade. To HEAD, and with 204
 * and 304, there is no body: length may be that of the one there would be. -EINVAL; -EPIPE: nothing was asked.
 */
int h1_conn_respond(struct h1_conn *conn, uint16_t status, const struct record_fields *fields,
	uint64_t length, bool end);
size_t h1_conn_room(const struct h1_conn *conn);
/* len is at most h1_conn_room(); more than the announced length is not written, and the connection is over. */
void h1_conn_send(struct h1_conn *conn, const void *data, size_t len);
/* The body is whole. trailers (may be NULL) go where there are chunks. -EINVAL. A body that is short of its length ends the connection. */
int h1_conn_end(struct h1_conn *conn, const struct record_fields *trailers);
