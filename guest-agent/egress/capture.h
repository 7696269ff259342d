/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Connections of the workload, each carried to the host's proxy over a stream of its own.
 *
 * Theory of operation. What comes to a listener is taken up; for a captured one the kernel is asked where it was meant to go
 * (origin.h). A stream to the host is opened, the request sent, the answer awaited; until then nothing of the workload's is
 * read. Accepted: bytes both ways, each direction with one buffer and its own half-close. Anything else: the workload's
 * connection is reset, so that it fails at once and is not taken for an orderly end; a denial is told to `denied`. A stream
 * of the host's that breaks later resets it as well.
 *
 *   CONNECTING  the host's stream is not there yet     -> ASKING, or refused
 *   ASKING      the request is on its way out          -> ANSWERED
 *   ANSWERED    the answer is awaited                  -> RELAYING, or refused
 *   RELAYING    until both directions have ended
 *
 * Memory is taken at the start: CAPTURE_CONNECTIONS_MAX connections with two buffers each, touched as they are used. Where all
 * are in use the listeners rest, and what comes waits in the kernel's queue. Bytes are neither parsed nor kept.
 */
#include "guest-agent/egress/origin.h"
#include "vmm/base/loop.h"

#define CAPTURE_CONNECTIONS_MAX 512
#define CAPTURE_LISTENERS_MAX	4
#define CAPTURE_ANSWER_MS	60000
#define CAPTURE_ROUNDS		8 /* buffers moved for one event, before others have their turn */

struct capture;

struct capture_ops {
	/* A new stream to the host's proxy, non-blocking, connected or about to be: its fd, or -errno. */
	int (*connect)(void *data);
	/* origin_get(), or a test's own. */
	int (*origin)(int fd, struct origin *ret);
	void (*denied)(void *data, const struct egress_request *request,
		const struct egress_answer *answer);
};

/* All borrowed. */
int capture_create(struct loop *loop, struct names *names, const struct capture_ops *ops,
	void *data, struct capture **ret);
void capture_destroy(struct capture *capture);

/* fd listens, non-blocking, and is borrowed. */
int capture_listen(struct capture *capture, int fd, enum egress_kind kind);
unsigned int capture_connections(const struct capture *capture);
