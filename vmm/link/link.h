/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-link as a library: the host's end of the agent protocol, the only process that decodes what the agent says.
 *
 * In reading order: control.h (what the supervisor asks), agent.h (the control stream), filter.h and operation.h (exec,
 * copies), session.h (the main command), forward.h and listener.h (ports), broker.h and socket.h (what all of them stand
 * on), events.h (what the supervisor hears).
 *
 * Threads: one; one loop. All fds of the configuration are borrowed and non-blocking only in effect (MSG_DONTWAIT), but
 * listeners, which link_create() sets non-blocking.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/base/loop.h"
#include "vmm/link/control.h"

#define LINK_SESSION_LOG_BYTES (8u << 20)

struct link;

struct link_publish {
	int fd; /* a listening stream socket */
	uint16_t guest_port;
};

struct link_config {
	int event_fd; /* -1: none */
	int vsock_fd;
	int control_fd;
	int listen_fd; /* `vsock.sock`; -1: none */
	int session_log_fd; /* -1: none */
	int egress_fd; /* SEQPACKET to sandbox-proxy, which gets an end of each egress stream; -1: there is no egress */
	const void *welcome; /* the encoded body; outlives the link */
	size_t welcome_len;
	uid_t owner_uid; /* who alone is served on vsock.sock, as this process sees that user (E17) */
	uint64_t agent_silence_ms; /* 0: LINK_AGENT_SILENCE_MS */
	/* Guest-to-host ports lead to `<socket_folder>/vsock.sock_<port>`, where the port is in the list. NULL: nowhere. */
	const char *socket_folder;
	uint32_t allow[LINK_ALLOWED_PORTS_MAX];
	unsigned int allow_count;
	struct link_publish publish[LINK_PUBLISHED_MAX];
	unsigned int publish_count;
};

int link_create(
	struct loop *loop, const struct link_config *config, struct link **ret, struct err *err);
void link_destroy(struct link *link);
/* One round of the loop. False once the supervisor is gone: nothing is left to do then. */
bool link_run_once(struct link *link, int timeout_ms);
