/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The supervisor's side of forwarding the audit log (audit/forward.h): the socket to journald or syslog.
 *
 * The socket is connected here and shared with the writer, which cannot reach a path. Where the other end has gone (a restart), the writer says so; then the
 * same socket is connected again, after a while that grows, and the writer's next record passes. What was written meanwhile is
 * counted, not kept: the log itself has it.
 */
#include "vmm/base/loop.h"
#include "vmm/supervisor/audit/forward.h"
#include "vmm/supervisor/member.h"

struct audit_forward {
	enum forward_kind kind;
	const char *path; /* of the other end */
	int fd; /* -1: none is asked for */
	int error; /* errno: it is cut, or takes nothing just now; 0 */
	uint64_t lost; /* by the writer that is there */
	uint64_t lost_before; /* by those before it */
	struct loop_source *timer;
	struct backoff backoff;
	bool cut;
};

void audit_forward_init(struct audit_forward *f);
void audit_forward_finish(struct audit_forward *f);
/* A setting that cannot be kept is an error: somebody relies on it. path: borrowed; NULL: the kind's own. */
int audit_forward_open(
	struct audit_forward *f, enum forward_kind kind, const char *path, struct err *err);
int audit_forward_watch(struct audit_forward *f, struct loop *loop);
/* A writer begins: it counts from 0. */
void audit_forward_begin(struct audit_forward *f);
/* What the writer said: EVENT_AUDIT_FORWARD. */
void audit_forward_told(struct audit_forward *f, int error, uint64_t lost);
const char *audit_forward_word(const struct audit_forward *f); /* "journald", "syslog" */
