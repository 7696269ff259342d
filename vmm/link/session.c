/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/link/session.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/base/log.h"
#include "vmm/link/attachment.h"

#define ROWS_DEFAULT 24

bool link_session_takes_input(const struct link_session *session)
{
	return session->state == LINK_SESSION_RUNNING && session->guest.fd >= 0;
}

static void say_size(struct link_session *session, uint16_t rows, uint16_t cols)
{
	const struct stream_resize resize = { .rows = rows, .cols = cols };
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_resize_frame(&resize, frame);

	if (link_session_takes_input(session))
		link_socket_put(&session->guest, frame, len);
}

static void end_session(
	struct link_session *session, uint64_t code, const uint8_t *frame, size_t len)
{
	memcpy(session->last_frame, frame, len);
	session->last_len = len;
	session->state = LINK_SESSION_ENDED;
	link_socket_close(&session->guest);
	loop_timer_set(session->timer, 0);
	link_events_send(session->events, EVENT_SESSION_ENDED, (uint64_t[]){ code }, 1);
	link_attachments_pump(session);
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
	link_attachments_put(session, STREAM_STARTED, payload, len);
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

static size_t guest_room(void *owner)
{
	struct link_session *session = owner;
	size_t room = link_ring_room(&session->ring, link_attachments_slowest(session));

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
	link_attachments_pump(session);
}

static void guest_ended(void *owner, int code)
{
	fail_session(owner, code < 0 ? code : -ECONNRESET);
}

static void guest_drained(void *owner)
{
	link_attachments_resume(owner);
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
			LINK_SESSION_GUEST_BUFFER + 2 * body_len, &guest_ops, session);
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
	link_attachments_drop(session);
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
	if (link_attachment_add(session, client_fd, &a) < 0)
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
	link_attachment_pump(a);
	if (a->socket.fd >= 0)
		link_socket_poll(&a->socket);
	if (session->guest.fd >= 0)
		link_socket_poll(&session->guest);
}
