/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The agent's control stream: guest to host, vsock port 1024, taken once in a machine's life. Its messages become
 * fixed-size records for the supervisor and nothing else (H10); all of them are the guest's word (H3).
 *
 * Theory of operation. ABSENT -> (the guest connects) HELLO -> (WELCOME goes out) SETTING_UP -> READY; REFUSED and LOST are
 * final. A message out of place, or one that does not decode, is LOST, as is the stream's end. Silence of
 * LINK_AGENT_SILENCE_MS once READY, judged here by our clock, is SILENT: told as a loss, and nothing new is begun, but a
 * guest that was only held up (a busy host, a stopped VMM) is READY again with its next word.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/link/control.h"
#include "vmm/link/events.h"
#include "vmm/link/socket.h"

#define LINK_AGENT_SILENCE_MS  20000 /* four heartbeats */
#define LINK_AGENT_MESSAGE_MAX 1024 /* none of the agent's is longer */

enum link_agent_state {
	LINK_AGENT_ABSENT,
	LINK_AGENT_HELLO, /* connected; HELLO is awaited */
	LINK_AGENT_SETTING_UP, /* WELCOME was sent */
	LINK_AGENT_READY, /* operations may start */
	LINK_AGENT_SILENT, /* was READY, and is not heard */
	LINK_AGENT_REFUSED,
	LINK_AGENT_LOST,
};

struct link_agent {
	struct loop *loop;
	struct link_events *events;
	struct loop_source *timer;
	uint64_t silence_ms;
	const void *welcome; /* the encoded body; borrowed */
	size_t welcome_len;
	void (*silent)(void *data); /* it became SILENT; may be NULL */
	void *silent_data;
	enum link_agent_state state;
	struct link_socket socket;
	bool in_payload;
	struct protocol_head head;
	size_t have;
	uint8_t stash[LINK_AGENT_MESSAGE_MAX];
};

int link_agent_init(struct link_agent *agent, struct loop *loop, struct link_events *events,
	const void *welcome, size_t welcome_len);
void link_agent_finish(struct link_agent *agent);
/* The guest connects: 0 and the VMM's end of the stream (the caller's), or -EADDRINUSE where it was taken before. */
int link_agent_accept(struct link_agent *agent, int *ret_fd);

/* Sent if the agent is there to hear it. */
void link_agent_shutdown(struct link_agent *agent, enum link_shutdown kind);
void link_agent_set_time(struct link_agent *agent, uint64_t realtime_ns);
void link_agent_ask_health(struct link_agent *agent);
