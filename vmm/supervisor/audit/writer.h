/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one writer of a sandbox's log (H7): takes events from its sources' sockets, folds repeated denials, appends, and signs each second
 * while there is something to sign.
 *
 * Where nothing can be written it keeps the event it holds and reads no more: the sources' sockets fill up, and what they
 * cannot tell they do not do (no audit, no egress). It tries again each second: EVENT_AUDIT_STALLED, EVENT_AUDIT_RESUMED.
 * A source says host or guest by its socket alone. What is no event is recorded as such.
 */
#include "vmm/base/loop.h"
#include "vmm/supervisor/audit/store.h"

#define WRITER_SOURCES_MAX 16

struct writer_source {
	int fd; /* SOCK_SEQPACKET, borrowed */
	enum audit_source source;
};

struct writer;

/* store and event_fd (-1: none) are borrowed. */
int writer_create(struct loop *loop, struct store *store, int event_fd,
	const struct writer_source *sources, size_t count, struct writer **ret);
/* Everything that its sources hold, all counts, and a last head; -errno where it cannot be written. */
int writer_drain(struct writer *writer);
void writer_destroy(struct writer *writer); /* NULL is allowed */
