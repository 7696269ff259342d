/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The operation port, and the processes that serve it: each new stream is forked into a worker at once (operation.h). The port is
 * for the host: a peer with another context id, a process of this guest that is, is turned away. PID 1 only; it reaps.
 */
#include <stdint.h>
#include <sys/types.h>

#include "guest-agent/operation.h"
#include "guest-agent/protocol/messages.h"
#include "vmm/base/err.h"

struct workers {
	int listen_fd;
	int audit_fd; /* where they write their audit records; borrowed */
	const struct protocol_welcome *welcome; /* borrowed */
	uint32_t serial;
	unsigned int count;
	pid_t pid[OPERATIONS_MAX]; /* 0: free */
};

int workers_listen(struct workers *w, struct err *err);
/* One stream, where there is one: into a worker, or it is told why not. */
void workers_accept(struct workers *w);
/* Any child that was reaped. */
void workers_note_dead(struct workers *w, pid_t pid);
