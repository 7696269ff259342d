/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One operation stream, from its request to its last frame. Runs in a process of its own (`agent-op`), forked by PID 1
 * for each stream, so that blocking code is simple and a crash costs one operation (V7's idea, inside the guest).
 */
#include "guest-agent/protocol/messages.h"

#define OPERATIONS_MAX		    256
#define OPERATION_REQUEST_TIMEOUT_S 30

/* What a worker knows of the guest. All borrowed. */
struct operation_context {
	const char *user; /* WELCOME's */
	const char *folder; /* the same; "" means the user's home */
	const char *const *env; /* the same; ends with NULL */
	const char *const *egress_env; /* environment_egress()'s */
	uint32_t serial; /* of this stream */
	int audit_fd; /* datagrams to PID 1, or -1 */
};

/* Reads the request from sock (blocking, borrowed) and carries it out. */
void operation_run(int sock, const struct operation_context *context);

/* One audit record for PID 1 to pass on; dropped where it does not fit. */
void operation_audit(const struct operation_context *context, enum protocol_audit_kind kind,
	uint64_t a, uint64_t b, uint64_t c);

/* The kinds, each in its file. The request was read; each sends its own STARTED and last frame. */
void exec_run(
	int sock, const struct protocol_exec *request, const struct operation_context *context);
void copy_out_run(
	int sock, const struct protocol_copy *request, const struct operation_context *context);
void copy_in_run(
	int sock, const struct protocol_copy *request, const struct operation_context *context);
void forward_run(
	int sock, const struct protocol_forward *request, const struct operation_context *context);
