/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The agent's operations, run on the host: the guest's very code in a process of its own at the other end of a socketpair,
 * as PID 1 forks it. Each call asserts what must hold.
 */
#include <sys/types.h>

#include "guest-agent/protocol/messages.h"

struct agent_worker {
	int sock; /* the link's end, blocking */
	pid_t pid;
};

struct agent_output {
	uint8_t *out; /* STDOUT's bytes; on the heap */
	size_t out_len, err_len;
	struct stream_exit exit;
	struct stream_error error; /* code 0: none */
	uint32_t pid;
};

/* Our own user, so that tests need no rights. */
void agent_worker_start(struct agent_worker *worker);
void agent_worker_request(
	struct agent_worker *worker, enum protocol_type type, const void *message);
void agent_worker_send(
	struct agent_worker *worker, enum protocol_type type, const void *data, size_t len);
/* The next frame into payload[PROTOCOL_PAYLOAD_MAX]. False at the end of the stream. */
bool agent_worker_next(struct agent_worker *worker, struct protocol_head *ret, uint8_t *payload);
/* Reads to EXIT or ERROR, and reaps. output->out is the caller's. */
void agent_worker_finish(struct agent_worker *worker, struct agent_output *output);
/* argv ends with NULL. */
void agent_worker_exec(struct agent_worker *worker, const char *const *argv, uint32_t flags);
