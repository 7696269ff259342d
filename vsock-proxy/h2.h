/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One HTTP/2 connection (RFC 9113), by nghttp2, at either end: bytes in, bytes out, messages between. Knows no socket, no TLS
 * and no policy. Towards the guest we are the server, towards an upstream the client.
 *
 * Theory of operation. h2_receive() takes what came and calls back: head() once a header block is whole, data(), end(), and
 * closed() when the stream is over both ways or broke. What came with data() is given back with h2_consumed(): until then it
 * counts against the stream's window, so a stream that stands still holds H2_WINDOW bytes and hinders no other. h2_send() keeps at
 * most H2_OUT_BYTES of a stream; drained() tells when some of it went. h2_pull() gives what is to be written.
 *
 * What a peer can make us do is bounded (E11): H2_STREAMS_MAX streams, H2_HEAD_MAX bytes of a header block, nghttp2's caps
 * on resets, SETTINGS, PING answers and CONTINUATION frames; server push is off, priorities are ignored, ALTSVC and ORIGIN
 * frames are dropped (E24). nghttp2 refuses what RFC 9113, section 8 calls malformed: unknown or misplaced pseudo-fields, upper
 * case, connection fields, a content-length that does not add up.
 *
 * Ownership: a stream is the connection's until closed() returns; its data is the owner's. Heads borrow for the call. Callbacks may
 * send, end and reset, but not destroy the connection or receive. Threads: one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vsock-proxy/record.h"

#define H2_STREAMS_MAX	     128 /* that the peer may have open at once */
#define H2_HEAD_MAX	     (64u << 10) /* bytes of names and values in one header block */
#define H2_WINDOW	     RECORD_CREDIT_FIRST /* of one stream */
#define H2_CONNECTION_WINDOW (16u << 20) /* of all streams: theirs is what bounds */
#define H2_OUT_BYTES	     RECORD_CREDIT_FIRST /* of one stream, not yet taken by the peer */
#define H2_RESETS_BURST	     256 /* streams reset by the peer at once, and */
#define H2_RESETS_RATE	     32 /* each second after that; more ends the connection */
#define H2_SETTINGS_MAX	     64 /* entries of one SETTINGS frame */
#define H2_ACKS_MAX	     128 /* answers to PING and SETTINGS that wait */
#define H2_CONTINUATIONS_MAX 8

struct h2;
struct h2_stream;

enum h2_role { H2_SERVER = 1, H2_CLIENT = 2 };

/* A message's head. Text ends with NUL; a request has no status, a response nothing but status and fields. */
struct h2_head {
	const char *method, *scheme, *authority, *path; /* as sent; NULL where absent */
	const char *protocol; /* extended CONNECT (RFC 8441); NULL: none */
	uint16_t status;
	struct record_fields fields; /* regular ones */
	bool end; /* no body follows; end() is not told */
};

struct h2_ops {
	/* Server: a request, whose stream is new. Client: a response, interim ones as well. */
	void (*head)(void *owner, struct h2_stream *stream, const struct h2_head *head);
	void (*data)(struct h2_stream *stream, const uint8_t *bytes, size_t len);
	void (*end)(struct h2_stream *stream, const struct record_fields *trailers);
	void (*drained)(struct h2_stream *stream);
	/* Of a stream whose head was told. clean: both ends have said all. Else error is the peer's or our own error code (RFC 9113, section 7). */
	void (*closed)(struct h2_stream *stream, bool clean, uint32_t error);
};

int h2_create(
	enum h2_role role, const struct h2_ops *ops, void *owner, struct h2 **ret, struct err *err);
/* Streams are freed without a word. NULL is allowed. */
void h2_destroy(struct h2 *h2);

/* All of len is taken. -EPROTO: the peer broke the protocol or a cap; what h2_pull() still gives tells it so, then close. */
int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t len, struct err *err);
/* Up to size bytes to be written; 0: nothing now. -EPROTO, -ENOMEM. */
ssize_t h2_pull(struct h2 *h2, uint8_t *out, size_t size);
/* Neither reads nor writes any more: GOAWAY was said or came, and no stream is left. */
bool h2_is_over(const struct h2 *h2);
/* No new streams; those there are go on. */
void h2_shut(struct h2 *h2);
unsigned int h2_stream_count(const struct h2 *h2);
/* Client: whether a request may be made now. */
bool h2_may_request(const struct h2 *h2);

/* Client: -EAGAIN: the peer allows no more streams now, -EPIPE: none at all. data: the stream's. */
int h2_request(struct h2 *h2, const struct h2_head *head, void *data, struct h2_stream **ret);
/* Server: the answer; interim ones (1xx) before it. -EINVAL. */
int h2_respond(struct h2_stream *stream, const struct h2_head *head);
/* How much h2_send() takes now; 0: drained() tells. */
size_t h2_room(const struct h2_stream *stream);
void h2_send(struct h2_stream *stream, const void *data, size_t len);
/* All is sent, with trailers if any (borrowed for the call). -EINVAL, -E2BIG. */
int h2_end(struct h2_stream *stream, const struct record_fields *trailers);
/* closed() is told by a later call of ours, not from inside. error: RFC 9113, section 7. */
void h2_reset(struct h2_stream *stream, uint32_t error);
void h2_consumed(struct h2_stream *stream, size_t len);

void h2_set_data(struct h2_stream *stream, void *data);
void *h2_data(const struct h2_stream *stream);
