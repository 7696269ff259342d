/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The supervisor's side of a sandbox's audit log (audit/): sandbox-audit as a process, the sockets over which the sandbox's processes reach
 * it, and what the supervisor itself has to record. Theory of operation:
 *
 *   sockets   each sender has its own, and who it is stands fixed with it (H7: the source is the writer's socket). We keep the
 *             writer's ends too, so that records wait in them for a writer that takes a killed one's place.
 *   writer    started before anything else of the sandbox, and ended when nobody else is left: it has the last word. It runs as
 *             who we are, for the log is ours and not the workspace owner's.
 *   full disk the writer says so and reads no more; its senders find their sockets full, and proxy and injectors stop.
 *
 * Every function takes NULL for "there is no log".
 */
#include "vmm/base/err.h"
#include "vmm/supervisor/audit/audit_event.h"

struct supervisor;
struct child;
struct audit_forward;
struct audit_log;

enum audit_log_sender {
	AUDIT_LOG_SUPERVISOR,
	AUDIT_LOG_GUEST, /* what the guest says: passed on by us, marked as its word */
	AUDIT_LOG_PROXY,
	AUDIT_LOG_INJECTORS,
	AUDIT_LOG_SENDERS,
};

/* The log's folder and the host's key are there and ours; nothing runs yet. *ret stays usable after a failure. */
int audit_log_create(struct supervisor *s, struct audit_log **ret, struct err *err);
/* Ends no process. */
void audit_log_destroy(struct audit_log *log);
/* The instance is known, lifeline and loop are there. */
int audit_log_start(struct audit_log *log, struct err *err);
/* To be given to that sender; -1 without a log. Stays ours. */
int audit_log_fd(const struct audit_log *log, enum audit_log_sender sender);
/* Nothing but the writer is alive: says how the sandbox ends, then ends the writer. Called again, and too early, it does nothing. */
void audit_log_end(struct audit_log *log);
/* The writer, while it lives. */
const struct child *audit_log_writer(const struct audit_log *log);

/* The state that the record has now, with its reason. */
void audit_log_state(struct audit_log *log);
/* One thing that happened now, as the host saw it. text: up to 512 bytes of it. */
void audit_log_host(struct audit_log *log, enum audit_kind kind, enum audit_decision decision,
	const char *rule, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* One thing that the guest says; what: of which kind, and those of one kind are counted where they are many (audit/fold.h). */
void audit_log_guest(struct audit_log *log, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* 0, or why nothing can be written now. */
int audit_log_error(const struct audit_log *log);
/* How forwarding goes; NULL: none is asked for. */
const struct audit_forward *audit_log_forward(const struct audit_log *log);
/* The jail layers that are in force in the writer. */
uint64_t audit_log_layers(const struct audit_log *log);
