/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One end of the socket between a proxy and an injector: records (record.h) in and out, the streams they belong to, and the
 * credit of each. Used by both ends.
 *
 * Theory of operation. A stream begins with the proxy's REQUEST or TUNNEL and is in both tables until each side has said END,
 * or one of them RESET or DENIED; then its id is gone for good, and records that were on their way for it are dropped. DATA goes
 * out as far as the peer's credit and room in the buffer allow (channel_room()); where that is 0, writable() tells when to
 * go on, stream by stream in turn. DATA that comes is the owner's to keep or pass on; each byte passed on is
 * given back with channel_consumed(). So a stream that stands still holds RECORD_CREDIT_FIRST bytes and hinders no other.
 *
 * Whatever the peer sends that an honest one would not (a record that does not decode, a stream never opened, an id used again,
 * more DATA than credit, anything after its END) breaks the channel: broken() is told once and nothing more is read (E22, E23).
 *
 * Ownership: the channel owns its fd and streams; a stream's data is the owner's. Callbacks may open, end and reset streams,
 * but only broken() may destroy the channel. Threads: the loop's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vsock-proxy/record.h"

#define CHANNEL_OUT_BYTES                                                                          \
	(512u << 10) /* records that the peer has not taken; at least two of the longest */
#define CHANNEL_READS 8 /* reads of one event, so that one peer starves no other */

struct channel;
struct channel_stream;

struct channel_ops {
	/* Injector: a new stream asks for this. Sets its owner's data with channel_set_data(). */
	void (*request)(void *owner, struct channel_stream *stream, const struct record_request *m);
	/* Proxy. OPENED: m NULL. */
	void (*response)(struct channel_stream *stream, const struct record_response *m);
	void (*denied)(struct channel_stream *stream, const struct record_denied *m);
	/* Both. len bytes are taken over; give them back with channel_consumed(). */
	void (*data)(struct channel_stream *stream, const uint8_t *bytes, size_t len);
	void (*end)(struct channel_stream *stream, const struct record_fields *trailers);
	/* The peer ended it before its time; as after denied(), the stream is gone when this returns, and is not to be touched. */
	void (*reset)(struct channel_stream *stream, enum record_reason reason);
	/* channel_room() is more than 0 again. */
	void (*writable)(struct channel_stream *stream);
	/* code 0: the peer closed it; -EPROTO, with words that are ours; -errno. From the loop; all streams are still there. */
	void (*broken)(void *owner, int code, const char *why);
};

/* Takes fd (a stream socket), also where it fails. self: which end this is. */
int channel_create(struct loop *loop, int fd, enum record_sender self,
	const struct channel_ops *ops, void *owner, struct channel **ret, struct err *err);
/* NULL is allowed. Streams are freed without a word. */
void channel_destroy(struct channel *channel);

/* Proxy: a new stream. -EAGAIN: the buffer is full, try again when a stream is writable; -EMFILE; -EINVAL: m is not canonical. */
int channel_open(struct channel *channel, const struct record_request *m, void *data,
	struct channel_stream **ret);
/* Injector: the answer. -EAGAIN: the buffer is full, writable() will tell; -EINVAL: not what may be said. DENIED frees it. */
int channel_respond(struct channel_stream *stream, const struct record_response *m);
void channel_opened(struct channel_stream *stream);
int channel_deny(struct channel_stream *stream, const struct record_denied *m);

/* How many bytes channel_send() takes now, at most RECORD_DATA_MAX; 0: writable() will tell. */
size_t channel_room(struct channel_stream *stream);
/* len is 1 to channel_room(). */
void channel_send(struct channel_stream *stream, const void *data, size_t len);
/* No more DATA; trailers NULL: none. Where the peer has said so already, the stream is freed. -EINVAL, and -EAGAIN: trailers. */
int channel_end(struct channel_stream *stream, const struct record_fields *trailers);
/* Frees the stream. */
void channel_reset(struct channel_stream *stream, enum record_reason reason);
/* So many of the bytes that data() brought are passed on. */
void channel_consumed(struct channel_stream *stream, size_t len);

void channel_set_data(struct channel_stream *stream, void *data);
void *channel_data(const struct channel_stream *stream);
uint32_t channel_stream_id(const struct channel_stream *stream);
unsigned int channel_stream_count(const struct channel *channel);
