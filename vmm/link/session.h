/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The main command of a sandbox: it lives on when nobody is attached. Its output goes to the session log and to a ring of
 * its last 256 KiB (ring.h), and from there to every attached client; any of them may type.
 *
 * Theory of operation. NONE -> RUNNING -> ENDED, and from there a new start. The agent's stream is read as far as the
 * slowest attached client leaves room in the ring, as a terminal would hold its program up; a client of a tty session that has
 * taken nothing for LINK_SESSION_STALL_MS holds nothing up any more and skips when it wakes. With nobody attached the
 * oldest output makes room (but under HOLD, until the first attachment or LINK_SESSION_HOLD_MS).
 * The first attachment gets all that is kept, later ones the last screenful; then a changed (or shaken) size makes full-screen
 * programs draw anew. At the end each client gets EXIT or ERROR.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/capped_log.h"
#include "vmm/link/control.h"
#include "vmm/link/core.h"
#include "vmm/link/events.h"
#include "vmm/link/filter.h"
#include "vmm/link/ring.h"

#define LINK_SESSION_STALL_MS	  60000
#define LINK_SESSION_HOLD_MS	  30000
#define LINK_SESSION_REPLAY_MAX	  (64u << 10) /* bytes, of a screenful */
#define LINK_SESSION_GUEST_BUFFER (64u << 10) /* input on its way to the guest */

enum link_session_state { LINK_SESSION_NONE, LINK_SESSION_RUNNING, LINK_SESSION_ENDED };

struct link_attachment;

struct link_session {
	struct link_core *core;
	struct link_events *events;
	struct capped_log *log; /* borrowed */
	struct loop_source *timer;
	enum link_session_state state;
	bool tty, attached_once, hold;
	bool input_ended; /* STDIN_EOF went to the guest */
	bool started; /* STARTED came */
	uint32_t pid;
	uint16_t rows, cols;
	struct link_socket guest;
	struct link_filter from_guest;
	struct link_ring ring;
	uint8_t last_frame[STREAM_FIXED_MAX]; /* EXIT or ERROR */
	size_t last_len;
	struct link_attachment *attachments;
	unsigned int attachment_count;
};

int link_session_init(struct link_session *session, struct link_core *core,
	struct link_events *events, struct capped_log *log);
/* After link_core_finish(). */
void link_session_finish(struct link_session *session);

/* body: an EXEC request. client_fd is the first attachment, or -1. Takes it. */
void link_session_start(
	struct link_session *session, const void *body, size_t body_len, bool hold, int client_fd);
/* Takes client_fd. */
void link_session_attach(struct link_session *session, uint16_t rows, uint16_t cols, int client_fd);
/* Whether what a client types has somewhere to go. */
bool link_session_takes_input(const struct link_session *session);
