/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Events on their way to the audit log's writer (H7), over an inherited SOCK_SEQPACKET, without ever blocking. What the
 * writer does not take at once waits here. A writer that syncs its disk is waited for; one that stands still is not:
 * audit_sender_ready() is false once an event waits longer than AUDIT_SENDER_WAIT_MS or AUDIT_SENDER_READY_MAX of them wait, or
 * the writer is gone: no audit, no egress. Nothing is ever dropped while the queue has room, and whoever asks ready() first never
 * finds it full by its own doing: AUDIT_SENDER_MAX leaves room for what is under way at once.
 *
 * Threads: the loop's.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/loop.h"
#include "vmm/supervisor/audit/audit_event.h"

#define AUDIT_SENDER_MAX       5120 /* events that wait; as many streams as there can be, and some */
#define AUDIT_SENDER_READY_MAX 1024
#define AUDIT_SENDER_WAIT_MS   2000

struct audit_sender;

/* fd is borrowed; -1: there is no log, and all is ready (tests). */
int audit_sender_create(struct loop *loop, int fd, struct audit_sender **ret);
void audit_sender_destroy(
	struct audit_sender *sender); /* NULL is allowed. Tries once more to send what waits. */
bool audit_sender_ready(const struct audit_sender *sender);
/* -EINVAL: no event; -ENOBUFS: the queue is full and the event is lost: it is counted, and said in the next one that passes. */
int audit_sender_send(struct audit_sender *sender, const struct audit_event *event);
uint64_t audit_sender_lost(const struct audit_sender *sender);
