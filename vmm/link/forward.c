/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/forward.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/link/filter.h"

#define FORWARD_BUFFER (128u << 10)

struct forward {
	struct link_item item;
	struct link_core *core;
	struct link_socket guest, client;
	struct link_filter filter; /* until STARTED */
};
static_assert(offsetof(struct forward, item) == 0, "freed through its item");

static void close_forward(struct link_item *item)
{
	struct forward *f = (struct forward *)item;

	link_socket_close(&f->guest);
	link_socket_close(&f->client);
}

static bool is_through(const struct forward *f)
{
	bool guest_ended = f->guest.ended && link_socket_flushed(&f->client);
	bool client_ended = f->client.ended && link_socket_flushed(&f->guest);

	if (guest_ended && client_ended)
		return true;
	/* One side is gone both ways, and what it said has arrived. */
	return (guest_ended && f->guest.hung) || (client_ended && f->client.hung);
}

static void settle(struct forward *f)
{
	if (is_through(f))
		link_core_end(f->core, &f->item);
}

static size_t forward_guest_room(void *owner)
{
	struct forward *f = owner;

	return MIN(link_socket_space(&f->client), LINK_READ_MAX);
}

static size_t forward_client_room(void *owner)
{
	struct forward *f = owner;

	return f->filter.done ? MIN(link_socket_space(&f->guest), LINK_READ_MAX) : 0;
}

static void drop_frame(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	(void)data;
	(void)type;
	(void)payload;
	(void)len;
}

/* What stands before the raw bytes; gives how much of it that was, or -errno. */
static ssize_t take_started(struct forward *f, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;
	int r = link_filter_push(&f->filter, bytes, len, &taken, drop_frame, NULL);

	if (r < 0)
		return r;
	if (f->filter.done && f->filter.last != STREAM_STARTED)
		return -ECONNREFUSED;
	return (ssize_t)taken;
}

static void forward_guest_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct forward *f = owner;

	if (!f->filter.done) {
		ssize_t n = take_started(f, bytes, len);

		if (n < 0) {
			link_core_end(f->core, &f->item);
			return;
		}
		bytes += n;
		len -= (size_t)n;
		link_socket_poll(&f->client);
	}
	if (len)
		link_socket_put(&f->client, bytes, len);
}

static void forward_client_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct forward *f = owner;

	link_socket_put(&f->guest, bytes, len);
}

/* A reset is an end like any other: what came before it still arrives. */
static void forward_guest_ended(void *owner, int code)
{
	struct forward *f = owner;

	(void)code;
	if (!f->filter.done) {
		link_core_end(f->core, &f->item);
		return;
	}
	link_socket_shut(&f->client);
	settle(f);
}

static void forward_client_ended(void *owner, int code)
{
	struct forward *f = owner;

	(void)code;
	link_socket_shut(&f->guest);
	settle(f);
}

static void forward_guest_drained(void *owner)
{
	struct forward *f = owner;

	link_socket_poll(&f->client);
	settle(f);
}

static void forward_client_drained(void *owner)
{
	struct forward *f = owner;

	link_socket_poll(&f->guest);
	settle(f);
}

static const struct link_socket_ops forward_guest_ops = { .room = forward_guest_room,
	.data = forward_guest_data,
	.ended = forward_guest_ended,
	.drained = forward_guest_drained };
static const struct link_socket_ops forward_client_ops = { .room = forward_client_room,
	.data = forward_client_data,
	.ended = forward_client_ended,
	.drained = forward_client_drained };

static int forward_connect(struct forward *f, int client_fd)
{
	int fd = -1;
	int r = link_socket_init(
		&f->client, f->core->loop, client_fd, FORWARD_BUFFER, &forward_client_ops, f);

	if (r == 0)
		r = link_broker_open_pair(f->core->broker, PROTOCOL_PORT, &fd);
	if (r == 0)
		r = link_socket_init(
			&f->guest, f->core->loop, fd, FORWARD_BUFFER, &forward_guest_ops, f);
	return r;
}

static void ask_for_port(struct forward *f, uint16_t port)
{
	uint8_t frame[64];
	struct bytes_writer w = bytes_writer(frame, sizeof(frame));
	size_t at = protocol_frame_begin(&w);

	protocol_put_forward(&w, &(struct protocol_forward){ .port = port });
	protocol_frame_end(&w, at, PROTOCOL_FORWARD);
	if (!w.failed)
		link_socket_put(&f->guest, frame, w.offset);
}

void link_forward_start(struct link_core *core, uint16_t port, int client_fd)
{
	struct forward *f = link_core_full(core) ? NULL : malloc(sizeof(*f));

	if (!f) {
		close(client_fd);
		return;
	}
	link_core_add(core, &f->item, true, close_forward);
	f->core = core;
	f->guest.fd = f->client.fd = -1;
	link_filter_init(&f->filter, LINK_FILTER_FORWARD_GUEST);
	if (forward_connect(f, client_fd) < 0) {
		link_core_end(core, &f->item);
		return;
	}
	ask_for_port(f, port);
	link_socket_poll(&f->client);
	link_socket_poll(&f->guest);
}
