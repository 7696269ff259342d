/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/attachment.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "vmm/base/array.h"

#define CLIENT_BUFFER (64u << 10)

static_assert(offsetof(struct link_attachment, item) == 0, "freed through its item");

static bool holds_up(const struct link_attachment *a)
{
	const struct link_session *session = a->session;

	return !session->tty || a->position == session->ring.end ||
	       clock_monotonic_ms() - a->progress_ms < LINK_SESSION_STALL_MS;
}

static void detach(struct link_attachment *a)
{
	link_core_end(a->session->core, &a->item);
}

static void close_attachment(struct link_item *item)
{
	struct link_attachment *a = (struct link_attachment *)item;
	struct link_attachment **link = &a->session->attachments;

	link_socket_close(&a->socket);
	while (*link && *link != a)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = a->next;
	a->session->attachment_count--;
	/* It may have been the one that held the session up. */
	if (a->session->guest.fd >= 0)
		link_socket_poll(&a->session->guest);
}

static void finish_attachment(struct link_attachment *a)
{
	if (!a->ending) {
		a->ending = true;
		link_socket_put(&a->socket, a->session->last_frame, a->session->last_len);
		link_socket_shut(&a->socket);
		link_socket_poll(&a->socket);
	}
	if (link_socket_flushed(&a->socket) && !a->item.expires_ms)
		link_core_expire(a->session->core, &a->item, LINK_LINGER_MS);
}

/* Gives the client one frame; false where there is none, or no room for it. */
static bool pump_one(struct link_attachment *a)
{
	struct link_ring *ring = &a->session->ring;
	uint8_t record[LINK_RING_RECORD];
	size_t size;

	if (a->position < ring->start) {
		a->position = ring->start;
		a->skip = 0;
	}
	if (a->position == ring->end ||
		link_socket_space(&a->socket) < LINK_RING_RECORD + STREAM_FIXED_MAX)
		return false;
	size = link_ring_get(ring, a->position, record);
	a->position += size;
	a->progress_ms = clock_monotonic_ms();
	size -= PROTOCOL_HEAD_SIZE;
	if (a->skip < size) {
		link_put_frame(&a->socket, record[0], record + PROTOCOL_HEAD_SIZE + a->skip,
			(uint32_t)(size - a->skip));
	}
	a->skip = 0;
	return true;
}

void link_attachment_pump(struct link_attachment *a)
{
	while (!a->ending && pump_one(a))
		;
	if (a->position == a->session->ring.end && a->session->state == LINK_SESSION_ENDED)
		finish_attachment(a);
}

static size_t attachment_room(void *owner)
{
	struct link_attachment *a = owner;
	size_t space;

	if (a->ending || !link_session_takes_input(a->session))
		return LINK_READ_MAX; /* read and dropped */
	space = link_socket_space(&a->session->guest);
	return space > LINK_SESSION_GUEST_BUFFER / 2 + LINK_FILTER_GROWTH
		       ? space - LINK_FILTER_GROWTH
		       : 0;
}

/* What a client types; anybody's STDIN_EOF ends everybody's input, but a terminal has no such end. */
static void from_client(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	struct link_session *session = ((struct link_attachment *)data)->session;
	bool is_input = type == STREAM_STDIN || type == STREAM_STDIN_EOF;
	struct stream_resize resize;

	if (!link_session_takes_input(session) || (is_input && session->input_ended))
		return;
	if (type == STREAM_STDIN_EOF) {
		if (session->tty)
			return;
		session->input_ended = true;
	}
	if (type == STREAM_RESIZE && stream_resize_decode(payload, len, &resize)) {
		session->rows = resize.rows;
		session->cols = resize.cols;
	}
	link_put_frame(&session->guest, type, payload, len);
}

static void attachment_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct link_attachment *a = owner;
	size_t taken;

	if (!a->ending && link_filter_push(&a->filter, bytes, len, &taken, from_client, a) < 0)
		detach(a);
}

static void attachment_ended(void *owner, int code)
{
	(void)code;
	detach(owner);
}

static void attachment_drained(void *owner)
{
	struct link_attachment *a = owner;

	link_attachment_pump(a);
	if (a->session->guest.fd >= 0)
		link_socket_poll(&a->session->guest);
}

static const struct link_socket_ops attachment_ops = { .room = attachment_room,
	.data = attachment_data,
	.ended = attachment_ended,
	.drained = attachment_drained };

int link_attachment_add(struct link_session *session, int client_fd, struct link_attachment **ret)
{
	struct link_attachment *a = malloc(sizeof(*a));
	int r;

	if (!a) {
		link_refuse(client_fd, -ENOMEM);
		return -ENOMEM;
	}
	link_core_add(session->core, &a->item, false, close_attachment);
	a->session = session;
	a->ending = false;
	a->skip = 0;
	a->progress_ms = clock_monotonic_ms();
	link_filter_init(&a->filter, LINK_FILTER_EXEC_CLIENT);
	a->next = session->attachments;
	session->attachments = a;
	session->attachment_count++;
	r = link_socket_init(
		&a->socket, session->core->loop, client_fd, CLIENT_BUFFER, &attachment_ops, a);
	if (r < 0)
		detach(a);
	else
		*ret = a;
	return r;
}

void link_attachments_pump(struct link_session *session)
{
	struct link_attachment *a = session->attachments, *next;

	for (; a; a = next) {
		next = a->next;
		link_attachment_pump(a);
	}
}

uint64_t link_attachments_slowest(const struct link_session *session)
{
	uint64_t position = session->hold ? session->ring.start : session->ring.end;

	for (const struct link_attachment *a = session->attachments; a; a = a->next)
		if (!a->ending && holds_up(a))
			position = MIN(position, a->position);
	return position;
}

void link_attachments_resume(struct link_session *session)
{
	for (struct link_attachment *a = session->attachments, *next; a; a = next) {
		next = a->next;
		link_socket_poll(&a->socket);
	}
}

void link_attachments_put(
	struct link_session *session, uint8_t type, const uint8_t *payload, uint32_t len)
{
	for (struct link_attachment *a = session->attachments; a; a = a->next)
		link_put_frame(&a->socket, type, payload, len);
}

void link_attachments_drop(struct link_session *session)
{
	while (session->attachments)
		detach(session->attachments);
}
