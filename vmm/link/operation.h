/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One framed operation (exec, copy out, copy in) between its client and the agent.
 *
 * Theory of operation: two sockets with a filter for each direction (filter.h); what a filter lets pass is written
 * anew to the other socket. EXIT or ERROR ends it: the guest's side is closed, the client gets what is left and has
 * LINK_LINGER_MS to close. A client that closes first gives up: the guest's stream is closed, and the agent kills
 * what it started. A guest that breaks a rule, or whose stream ends early, becomes ERROR{EPROTO or ECONNRESET, LINK}.
 */
#include <stddef.h>
#include <stdint.h>

#include "guest-agent/protocol/frame.h"
#include "vmm/link/core.h"

/* type: PROTOCOL_EXEC, PROTOCOL_COPY_OUT or PROTOCOL_COPY_IN. Takes client_fd; what goes wrong is told on it. */
void link_operation_start(struct link_core *core, enum protocol_type type, const void *body,
	size_t body_len, int client_fd);
