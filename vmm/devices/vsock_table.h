/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The streams of one vsock device: a fixed table of slots, found by ports, and the bounded memory behind them (V9).
 *
 * Shape: VSOCK_STREAMS_MAX slots, taken from a calloc() that is touched only as far as it is used; one anonymous mapping
 * holds every slot's buffer, never reserved, given back when the slot is. What a slot promises the guest (buf_alloc) comes
 * out of a pool of VSOCK_POOL_BYTES: generous to the first ones, never under VSOCK_BUFFER_MIN, so that the sum of all
 * promises fits the pool at any time.
 * Ownership: the table owns slots and buffers; a slot's fd and loop source belong to the device, which gives them up
 * before vsock_table_put(). Threads: the device's loop only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/loop.h"
#include "vmm/devices/vsock_credit.h"
#include "vmm/devices/vsock_state.h"

#define VSOCK_STREAMS_MAX 1024u /* a power of two: ids carry the index in their low bits */
#define VSOCK_BUFFER_MAX  (256u << 10)
#define VSOCK_BUFFER_MIN  (32u << 10)
#define VSOCK_POOL_BYTES  (64u << 20)

struct vsock_device;

/* What a stream must still tell the guest, beside data and SHUTDOWN. */
#define VSOCK_TELL_REQUEST  (1 << 0)
#define VSOCK_TELL_RESPONSE (1 << 1)
#define VSOCK_TELL_CREDIT   (1 << 2)
#define VSOCK_ASK_CREDIT    (1 << 3)

struct vsock_stream {
	struct vsock_device *device;
	enum vsock_state state;
	uint32_t id; /* generation * VSOCK_STREAMS_MAX + index; towards the link */
	uint32_t link_id; /* the link's own, where it opened the stream */
	uint32_t host_port, guest_port;
	bool hashed; /* found by ports */
	bool ready; /* on the ready list */
	uint8_t tell; /* VSOCK_TELL_*, VSOCK_ASK_CREDIT */
	/* host side */
	int fd; /* -1: none */
	struct loop_source *source; /* NULL: none, or the fd has hung up */
	uint32_t armed; /* epoll events the source waits for */
	bool readable; /* reading may give something: not known to be empty */
	bool host_ended; /* the host sends no more; all of it was read */
	bool host_gone; /* the host takes no more */
	bool write_shut; /* our SHUT_WR is done */
	/* guest side */
	uint8_t guest_shut; /* VSOCK_SHUT_*, as it told */
	uint8_t told_shut; /* as we told */
	struct vsock_credit credit;
	uint64_t deadline_ms; /* monotonic; 0: none. What it means depends on the state. */
	uint32_t probe_ms; /* how long to wait before asking a silent guest for credit again */
	/* bytes from the guest that the host has not taken: a ring of credit.buf_alloc bytes */
	uint8_t *buffer;
	uint32_t buffer_first, buffer_used;
	bool buffer_dirty;
	/* lists, by pointer */
	struct vsock_stream *next_hashed;
	struct vsock_stream *next_ready;
	struct vsock_stream *next_live, *previous_live;
};

struct vsock_table {
	struct vsock_stream *slots;
	uint8_t *buffers; /* VSOCK_STREAMS_MAX * VSOCK_BUFFER_MAX */
	struct vsock_stream *hash[VSOCK_STREAMS_MAX];
	struct vsock_stream *live;
	struct vsock_stream *unused; /* by next_live */
	unsigned int touched; /* slots below this one have been used */
	unsigned int count; /* live ones */
	uint32_t pool_left;
};

int vsock_table_init(struct vsock_table *table);
void vsock_table_finish(struct vsock_table *table);

/* A fresh slot in VSOCK_FREE with its buffer and credit, or NULL: the table is full. */
struct vsock_stream *vsock_table_take(struct vsock_table *table);
void vsock_table_put(struct vsock_table *table, struct vsock_stream *stream);

/* By ports. A stream is entered once; vsock_table_hide() takes it out and may be called twice. */
void vsock_table_enter(struct vsock_table *table, struct vsock_stream *stream);
void vsock_table_hide(struct vsock_table *table, struct vsock_stream *stream);
struct vsock_stream *vsock_table_find(
	const struct vsock_table *table, uint32_t host_port, uint32_t guest_port);
/* By id; NULL where the id is not that of a live stream. */
struct vsock_stream *vsock_table_find_id(const struct vsock_table *table, uint32_t id);

/* Appends len bytes; false, and nothing done, where they do not fit (credit sees to it that they do). */
bool vsock_stream_buffer_put(struct vsock_stream *stream, const void *data, uint32_t len);
/* The buffered bytes in order, as at most two slices; gives their count. */
int vsock_stream_buffer_peek(const struct vsock_stream *stream, struct iovec slices[static 2]);
void vsock_stream_buffer_skip(struct vsock_stream *stream, uint32_t len);
