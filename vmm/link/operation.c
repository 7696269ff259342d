/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/operation.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/link/filter.h"

#define CLIENT_BUFFER (128u << 10)
/* Room for what a filter may add to the bytes of one read. */
#define SLACK LINK_FILTER_GROWTH

struct operation {
	struct link_item item;
	struct link_core *core;
	struct link_socket guest, client;
	struct link_filter from_guest, from_client;
	bool ending; /* the last frame is on its way to the client */
};
static_assert(offsetof(struct operation, item) == 0, "freed through its item");

static void close_operation(struct link_item *item)
{
	struct operation *op = (struct operation *)item;

	link_socket_close(&op->guest);
	link_socket_close(&op->client);
}

static void end_operation(struct operation *op)
{
	link_core_end(op->core, &op->item);
}

/* However slowly a client reads, all of it reaches it; only then its time runs. */
static void linger(struct operation *op)
{
	if (op->ending && link_socket_flushed(&op->client) && !op->item.expires_ms)
		link_core_expire(op->core, &op->item, LINK_LINGER_MS);
}

/* The last frame is with the client, or in its buffer. */
static void finish(struct operation *op)
{
	op->ending = true;
	link_socket_close(&op->guest);
	link_socket_shut(&op->client);
	linger(op);
	link_socket_poll(&op->client);
}

static void fail(struct operation *op, int code)
{
	const struct stream_error error = { .code = (uint32_t)-code, .stage = PROTOCOL_STAGE_LINK };
	uint8_t frame[STREAM_FIXED_MAX];

	if (op->ending)
		return;
	/* SLACK is never used up by data, so there is room. */
	link_socket_put(&op->client, frame, stream_error_frame(&error, frame));
	finish(op);
}

static void to_client(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	link_put_frame(&((struct operation *)data)->client, type, payload, len);
}

static void to_guest(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	link_put_frame(&((struct operation *)data)->guest, type, payload, len);
}

static size_t room_for(const struct link_socket *socket)
{
	size_t space = link_socket_space(socket);

	/*
	 * Half a buffer at least, so that a reader in small steps does not cost one read for each of them. What a filter may
	 * add stays free, and once more that for an ERROR at the end.
	 */
	return space > socket->out_size / 2 + 2 * SLACK ? space - 2 * SLACK : 0;
}

static size_t guest_room(void *owner)
{
	struct operation *op = owner;

	return op->ending ? 0 : room_for(&op->client);
}

static size_t client_room(void *owner)
{
	struct operation *op = owner;

	/* In the end what the client still says is read and dropped: closing over it would look like a reset. */
	return op->ending ? LINK_READ_MAX : room_for(&op->guest);
}

static void unanswered(struct link_item *item)
{
	fail((struct operation *)item, -ENOTCONN);
}

static void guest_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct operation *op = owner;
	size_t taken;
	int r;

	op->item.unanswered = NULL;
	r = link_filter_push(&op->from_guest, bytes, len, &taken, to_client, op);

	if (r < 0)
		fail(op, r);
	else if (op->from_guest.done)
		finish(op);
}

static void guest_ended(void *owner, int code)
{
	fail(owner, code < 0 ? code : -ECONNRESET);
}

static void client_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct operation *op = owner;
	size_t taken;
	int r;

	if (op->ending)
		return;
	r = link_filter_push(&op->from_client, bytes, len, &taken, to_guest, op);
	if (r < 0)
		fail(op, r);
}

static void client_ended(void *owner, int code)
{
	(void)code;
	end_operation(owner);
}

static void guest_drained(void *owner)
{
	link_socket_poll(&((struct operation *)owner)->client);
}

static void client_drained(void *owner)
{
	struct operation *op = owner;

	linger(op);
	if (op->guest.fd >= 0)
		link_socket_poll(&op->guest);
}

static const struct link_socket_ops guest_ops = {
	.room = guest_room, .data = guest_data, .ended = guest_ended, .drained = guest_drained
};
static const struct link_socket_ops client_ops = {
	.room = client_room, .data = client_data, .ended = client_ended, .drained = client_drained
};

static void init_filters(struct operation *op, enum protocol_type type)
{
	bool out = type == PROTOCOL_COPY_OUT, in = type == PROTOCOL_COPY_IN;

	link_filter_init(&op->from_guest, out  ? LINK_FILTER_COPY_OUT_GUEST
					  : in ? LINK_FILTER_COPY_IN_GUEST
					       : LINK_FILTER_EXEC_GUEST);
	link_filter_init(&op->from_client, out	? LINK_FILTER_COPY_OUT_CLIENT
					   : in ? LINK_FILTER_COPY_IN_CLIENT
						: LINK_FILTER_EXEC_CLIENT);
}

/* Buffers hold the request at least twice, so that room_for() is not 0 from the start for ever. */
static int connect_sockets(struct operation *op, int client_fd, size_t guest_buffer)
{
	int fd = -1;
	int r = link_socket_init(
		&op->client, op->core->loop, client_fd, CLIENT_BUFFER, &client_ops, op);

	if (r < 0)
		return r;
	r = link_broker_open_pair(op->core->broker, PROTOCOL_PORT, &fd);
	if (r < 0)
		return r;
	return link_socket_init(&op->guest, op->core->loop, fd, guest_buffer, &guest_ops, op);
}

void link_operation_start(struct link_core *core, enum protocol_type type, const void *body,
	size_t body_len, int client_fd)
{
	struct operation *op = link_core_full(core) ? NULL : malloc(sizeof(*op));
	int r;

	if (!op) {
		link_refuse(client_fd, -EBUSY);
		return;
	}
	link_core_add(core, &op->item, true, close_operation);
	op->item.unanswered = unanswered;
	op->core = core;
	op->ending = false;
	op->guest.fd = op->client.fd = -1;
	init_filters(op, type);
	r = connect_sockets(op, client_fd, CLIENT_BUFFER + 2 * body_len);
	if (op->client.fd < 0) {
		end_operation(op);
		return;
	}
	if (r < 0) {
		fail(op, r);
		return;
	}
	link_put_frame(&op->guest, (uint8_t)type, body, (uint32_t)body_len);
	link_socket_poll(&op->client);
	link_socket_poll(&op->guest);
}
