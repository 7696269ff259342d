/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one supervisor knows, for the files that it is made of. Theory of operation: supervisor.c. Everything here is the loop's
 * thread's.
 *
 * Two things say where a sandbox is, and each has one writer:
 *
 *   record.state   what the world is told (lifecycle.h). Written by supervisor_change() alone.
 *   phase          how far its end has come. Written by stop_phases.c alone.
 *
 *   phase     children               what may be done
 *   UP        as made, all alive     everything; the guest's requests once `ready`
 *   ASK       the guest was asked    nothing new is begun; a stop without grace goes on to TERM
 *             to end, or the VMM
 *             is gone by itself
 *   TERM      the VMM was told       nothing new
 *   KILL      both were killed       nothing new
 *   GIVE_UP   not waited for         the group is looked through, whoever is left is named
 *
 * In each phase: records are taken, status is answered, stop and wait are parked until the end. What ends a sandbox first
 * writes its reason, and only in UP; whatever comes later does not change it (but survivors, who are the news).
 */
#include "vmm/base/event.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/backend_kvm.h"
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/child_log.h"
#include "vmm/supervisor/config.h"
#include "vmm/supervisor/control_server.h"
#include "vmm/supervisor/egress.h"
#include "vmm/supervisor/status.h"

enum phase { PHASE_UP, PHASE_ASK, PHASE_TERM, PHASE_KILL, PHASE_GIVE_UP };

struct child;

/* What becomes of one kind of child's records, and of its end. */
struct child_kind {
	void (*event)(struct child *c, const struct event *e);
	void (*ended)(struct child *c, int status); /* as waitpid(2) has it; c->gone is set */
};

/* One child as the loop sees it: children.c. */
struct child {
	struct supervisor *supervisor;
	struct jailed_child *process;
	const struct child_kind *kind;
	struct child *next; /* of s->children */
	void *data; /* its kind's */
	struct loop_source *event_source, *log_source;
	struct child_log log;
	bool started, gone;
};

struct supervisor {
	struct paths paths;
	struct config config;
	struct record record;
	bool is_new; /* no record was there before */
	bool spawned;
	int lock_fd, progress_fd, signal_fd;
	int environment_fd; /* for sandbox-secret alone; never read here (E20) */
	struct boot_plan plan;
	struct backend_processes processes;
	struct child vmm, link;
	struct child *children; /* all that are watched */
	struct audit_log *audit; /* NULL: not yet */
	struct egress *egress; /* NULL: the guest is cut off */
	struct loop *loop;
	struct loop_source *signal_source, *progress_source, *ready_timer, *timeout_timer,
		*stop_timer, *linger_timer, *drain_timer;
	json_t *failure; /* for the starter, told at the end */
	struct control_server *control;
	struct status_live live; /* what the guest says is kept apart here (H3) */
	size_t workspace_share; /* its number among the VMM's shares; the user's others follow */
	uint64_t heard_ms;
	int64_t clock_offset_ns; /* of the host's wall clock, when the guest was last told */
	uint32_t next_id;
	enum phase phase;
	bool faulted, ready, attached_once, session_ended;
	enum machine_end end;
};

/* A full disk must not end a sandbox; what is in memory goes on being right. */
void supervisor_save(struct supervisor *s);
/* The only place where the state is changed: saved, and told to who listens. False: not allowed in this state. */
bool supervisor_change(struct supervisor *s, enum lifecycle_event event);
void supervisor_set_reason(struct supervisor *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The data of `status`, now. The caller's. */
json_t *supervisor_status(struct supervisor *s);
/* An event with its time, for supervisor_push(), which takes the reference over. */
json_t *supervisor_event_json(const char *name);
void supervisor_push(struct supervisor *s, json_t *event);
/* Said once, before anything of the guest's ran; what a process says of itself later counts for nothing. */
void supervisor_note_isolation(struct supervisor *s, uint64_t *layers, const struct event *e);
