/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/session.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/base/log.h"

#define GUEST_BUFFER  (64u << 10)
#define CLIENT_BUFFER (64u << 10)
#define ROWS_DEFAULT  24

struct link_attachment {
	struct link_item item;
	struct link_session *session;
	struct link_attachment *next;
	struct link_socket socket;
	struct link_filter filter;
	uint64_t position; /* in the ring */
	size_t skip; /* payload bytes of the frame there */
	uint64_t progress_ms; /* when it last took something */
	bool ending;
};
static_assert(offsetof(struct link_attachment, item) == 0, "freed through its item");

/* Attachments. */

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

static void pump(struct link_attachment *a)
{
	while (!a->ending && pump_one(a))
		;
	if (a->position == a->session->ring.end && a->session->state == LINK_SESSION_ENDED)
		finish_attachment(a);
}

static void pump_all(struct link_session *session)
{
	struct link_attachment *a = session->attachments, *next;

	for (; a; a = next) {
		next = a->next;
		pump(a);
	}
}

static bool takes_input(const struct link_session *session)
{
	return session->state == LINK_SESSION_RUNNING && session->guest.fd >= 0;
}

static size_t attachment_room(void *owner)
{
	struct link_attachment *a = owner;
	size_t space;

	if (a->ending || !takes_input(a->session))
		return LINK_READ_MAX; /* read and dropped */
	space = link_socket_space(&a->session->guest);
	return space > GUEST_BUFFER / 2 + LINK_FILTER_GROWTH ? space - LINK_FILTER_GROWTH : 0;
}

static void say_size(struct link_session *session, uint16_t rows, uint16_t cols)
{
	const struct stream_resize resize = { .rows = rows, .cols = cols };
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_resize_frame(&resize, frame);

	if (takes_input(session))
		link_socket_put(&session->guest, frame, len);
}

/* What a client types; anybody's STDIN_EOF ends everybody's input, but a terminal has no such end. */
static void from_client(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	struct link_session *session = ((struct link_attachment *)data)->session;
	bool is_input = type == STREAM_STDIN || type == STREAM_STDIN_EOF;
	struct stream_resize resize;

	if (!takes_input(session) || (is_input && session->input_ended))
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

	pump(a);
	if (a->session->guest.fd >= 0)
		link_socket_poll(&a->session->guest);
}

static const struct link_socket_ops attachment_ops = { .room = attachment_room,
	.data = attachment_data,
	.ended = attachment_ended,
	.drained = attachment_drained };

/* The session. */

static void end_session(
	struct link_session *session, uint64_t code, const uint8_t *frame, size_t len)
{
	memcpy(session->last_frame, frame, len);
	session->last_len = len;
	session->state = LINK_SESSION_ENDED;
	link_socket_close(&session->guest);
	loop_timer_set(session->timer, 0);
	link_events_send(session->events, EVENT_SESSION_ENDED, (uint64_t[]){ code }, 1);
	pump_all(session);
}

static void fail_session(struct link_session *session, int code)
{
	const struct stream_error error = { .code = (uint32_t)-code, .stage = PROTOCOL_STAGE_LINK };
	uint8_t frame[STREAM_FIXED_MAX];

	if (session->state == LINK_SESSION_RUNNING)
		end_session(session, LINK_SESSION_FAILED, frame, stream_error_frame(&error, frame));
}

static uint64_t exit_code(const struct stream_exit *end)
{
	return end->kind == STREAM_SIGNALLED ? 128 + end->value : end->value;
}

static void on_last(
	struct link_session *session, uint8_t type, const uint8_t *payload, uint32_t len)
{
	uint8_t frame[STREAM_FIXED_MAX];
	struct stream_exit end;

	stream_bytes_head((enum protocol_type)type, len, frame);
	memcpy(frame + PROTOCOL_HEAD_SIZE, payload, len);
	end_session(session,
		type == STREAM_EXIT && stream_exit_decode(payload, len, &end) ? exit_code(&end)
									      : LINK_SESSION_FAILED,
		frame, PROTOCOL_HEAD_SIZE + len);
}

static void on_started(struct link_session *session, const uint8_t *payload, uint32_t len)
{
	session->started = stream_started_decode(payload, len, &session->pid);
	for (struct link_attachment *a = session->attachments; a; a = a->next)
		link_put_frame(&a->socket, STREAM_STARTED, payload, len);
}

static void from_guest(void *data, uint8_t type, const uint8_t *payload, uint32_t len)
{
	struct link_session *session = data;

	if (type == STREAM_STARTED) {
		on_started(session, payload, len);
	} else if (type == STREAM_STDOUT || type == STREAM_STDERR) {
		capped_log_write(session->log, payload, len);
		link_ring_put(&session->ring, type, payload, len);
	} else {
		on_last(session, type, payload, len);
	}
}

/* How far behind the slowest is whom the session waits for. */
static uint64_t slowest(const struct link_session *session)
{
	uint64_t position = session->hold ? session->ring.start : session->ring.end;

	for (const struct link_attachment *a = session->attachments; a; a = a->next)
		if (!a->ending && holds_up(a))
			position = MIN(position, a->position);
	return position;
}

static size_t guest_room(void *owner)
{
	struct link_session *session = owner;
	size_t room = link_ring_room(&session->ring, slowest(session));

	if (room < LINK_RING_BYTES / 8) {
		/* Nothing may happen until a stalled client's time is over. */
		if (session->tty && session->attachments)
			loop_timer_set(session->timer, LINK_SESSION_STALL_MS / 4);
		return 0;
	}
	/* Half of it, so that the heads of pieces fit beside them. */
	return MIN(room / 2, LINK_READ_MAX);
}

static void guest_data(void *owner, const uint8_t *bytes, size_t len)
{
	struct link_session *session = owner;
	size_t taken;
	int r = link_filter_push(&session->from_guest, bytes, len, &taken, from_guest, session);

	if (r < 0)
		fail_session(session, r);
	pump_all(session);
}

static void guest_ended(void *owner, int code)
{
	fail_session(owner, code < 0 ? code : -ECONNRESET);
}

static void guest_drained(void *owner)
{
	struct link_session *session = owner;

	for (struct link_attachment *a = session->attachments, *next; a; a = next) {
		next = a->next;
		link_socket_poll(&a->socket);
	}
}

static const struct link_socket_ops guest_ops = {
	.room = guest_room, .data = guest_data, .ended = guest_ended, .drained = guest_drained
};

static void on_timer(void *data)
{
	struct link_session *session = data;

	session->hold = false;
	if (session->guest.fd >= 0)
		link_socket_poll(&session->guest);
}

int link_session_init(struct link_session *session, struct link_core *core,
	struct link_events *events, struct capped_log *log)
{
	memset(session, 0, offsetof(struct link_session, ring));
	session->ring.start = session->ring.end = 0;
	session->attachments = NULL;
	session->attachment_count = 0;
	session->core = core;
	session->events = events;
	session->log = log;
	session->guest.fd = -1;
	return loop_add_timer(core->loop, on_timer, session, &session->timer);
}

void link_session_finish(struct link_session *session)
{
	link_socket_close(&session->guest);
	loop_remove(session->timer);
	session->timer = NULL;
}

/* Whether it has a terminal, and of what size. The request is the supervisor's own, decoded only for this. */
static int read_request(struct link_session *session, const void *body, size_t body_len)
{
	struct protocol_exec *exec = malloc(sizeof(*exec));
	int r = -EPROTO;

	if (!exec)
		return -ENOMEM;
	if (protocol_get_exec(body, body_len, exec)) {
		session->tty = exec->flags & PROTOCOL_EXEC_TTY;
		session->rows = exec->rows;
		session->cols = exec->cols;
		r = 0;
	}
	free(exec);
	return r;
}

static int connect_guest(struct link_session *session, const void *body, size_t body_len)
{
	int fd = -1;
	int r = link_broker_open_pair(session->core->broker, PROTOCOL_PORT, &fd);

	if (r == 0)
		r = link_socket_init(&session->guest, session->core->loop, fd,
			GUEST_BUFFER + 2 * body_len, &guest_ops, session);
	if (r == 0)
		link_put_frame(&session->guest, PROTOCOL_EXEC, body, (uint32_t)body_len);
	return r;
}

void link_session_start(
	struct link_session *session, const void *body, size_t body_len, bool hold, int client_fd)
{
	int r;

	if (session->state == LINK_SESSION_RUNNING) {
		link_refuse(client_fd, -EBUSY);
		return;
	}
	/* Clients of the last session have all of it, or never will. */
	while (session->attachments)
		detach(session->attachments);
	session->ring.start = session->ring.end;
	session->attached_once = session->started = session->input_ended = false;
	session->hold = hold;
	link_filter_init(&session->from_guest, LINK_FILTER_EXEC_GUEST);
	session->state = LINK_SESSION_RUNNING;
	r = read_request(session, body, body_len);
	if (r == 0)
		r = connect_guest(session, body, body_len);
	if (client_fd >= 0)
		link_session_attach(session, 0, 0, client_fd);
	if (r < 0) {
		log_error("the session's command could not be started: %s", strerror(-r));
		fail_session(session, r);
		return;
	}
	if (session->hold)
		loop_timer_set(session->timer, LINK_SESSION_HOLD_MS);
	link_socket_poll(&session->guest);
}

static int add_attachment(struct link_session *session, int client_fd, struct link_attachment **ret)
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

/* A program that draws its screen does so again when its size changes: shaken, where it is the same. */
static void redraw(struct link_session *session, uint16_t rows, uint16_t cols, bool again)
{
	if (!session->tty || !rows || !cols)
		return;
	if (again && rows == session->rows && cols == session->cols)
		say_size(session, (uint16_t)(rows > 1 ? rows - 1 : rows + 1), cols);
	session->rows = rows;
	session->cols = cols;
	say_size(session, rows, cols);
}

void link_session_attach(struct link_session *session, uint16_t rows, uint16_t cols, int client_fd)
{
	struct link_attachment *a;
	bool again = session->attached_once;

	if (session->state == LINK_SESSION_NONE ||
		session->attachment_count >= LINK_ATTACHMENTS_MAX) {
		link_refuse(client_fd, session->state == LINK_SESSION_NONE ? -ENOENT : -EBUSY);
		return;
	}
	if (add_attachment(session, client_fd, &a) < 0)
		return;
	a->position = again ? link_ring_tail(&session->ring, rows ? rows : ROWS_DEFAULT,
				      LINK_SESSION_REPLAY_MAX, &a->skip)
			    : session->ring.start;
	session->attached_once = true;
	session->hold = false;
	if (session->started) {
		uint8_t frame[STREAM_FIXED_MAX];

		link_socket_put(&a->socket, frame, stream_started_frame(session->pid, frame));
	}
	redraw(session, rows, cols, again);
	pump(a);
	if (a->socket.fd >= 0)
		link_socket_poll(&a->socket);
	if (session->guest.fd >= 0)
		link_socket_poll(&session->guest);
}
