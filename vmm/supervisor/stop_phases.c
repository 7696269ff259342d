/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/stop_phases.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/log.h"
#include "vmm/link/control.h"
#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/starter.h"

#define TERM_WAIT_MS  3000
#define KILL_WAIT_MS  10000
#define DRAIN_MS      500 /* the link's, after the VMM has ended */
#define GROUP_WAIT_MS 5000

/* What is in our groups besides us, killed; 0 when nothing is left. */
static int clear_group(const char *cgroup, struct process_stat *members, size_t max)
{
	uint64_t end = clock_monotonic_ms() + GROUP_WAIT_MS;
	struct timespec pause = { .tv_nsec = 20 * 1000000 };

	for (;;) {
		int count = process_group_members(getpgid(0), members, max), left = 0;

		for (int i = 0; i < count; i++)
			if (members[i].id.pid != getpid()) {
				process_id_signal(&members[i].id, SIGKILL);
				members[left++] = members[i];
			}
		if (cgroup_populated(cgroup))
			cgroup_kill(cgroup);
		else if (left == 0)
			return 0;
		if (clock_monotonic_ms() >= end)
			return cgroup_add_members(cgroup, members, left, max);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&pause, NULL);
	}
}

/* H1: the kernel's own survivors are reported by name. */
static void note_survivors(struct supervisor *s, const struct process_stat *members, int count)
{
	struct err err = {};
	size_t used;

	supervisor_set_reason(s, "survived KILL:");
	for (int i = 0;
		i < count && (used = strlen(s->record.reason)) < sizeof(s->record.reason) - 1; i++)
		snprintf(s->record.reason + used, sizeof(s->record.reason) - used, " %d %s%s",
			(int)members[i].id.pid, members[i].command,
			process_hangs(members[i].id.pid) ? " (uninterruptible)" : "");
	log_error("%s", s->record.reason);
	supervisor_change(s, LIFECYCLE_SURVIVOR);
	err_set(&err, -EDEADLK, "sandbox %s: %s", s->record.spec.name, s->record.reason);
	control_server_fail_all(s->control, CONTROL_STOP, &err);
}

static json_t *ending_json(const struct supervisor *s)
{
	return json_pack("{s:s, s:s, s:o}", "state", lifecycle_name(s->record.state), "reason",
		s->record.reason, "exit_code",
		s->record.exit_code >= 0 ? json_integer(s->record.exit_code) : json_null());
}

/* Only of what failed while the jail was built: later lines are of a process that a guest may have taken. */
static const char *failed_fix(const struct supervisor *s)
{
	if (s->live.agent_ready)
		return "";
	return *s->link.log.fix ? s->link.log.fix : s->vmm.log.fix;
}

static void tell_ending(struct supervisor *s)
{
	_cleanup_json_ json_t *ending = ending_json(s);
	struct err err = {};

	if (s->progress_fd >= 0) {
		err_set(&err, -EIO, "sandbox %s: %s", s->record.spec.name, s->record.reason);
		if (*failed_fix(s))
			err_next_step(&err, "%s", failed_fix(s));
		else
			err_next_step(&err, "sandboxctl console %s", s->record.spec.name);
		starter_tell_failure(s, &err, s->live.agent_ready ? "command" : "boot");
	}
	control_server_answer_all(s->control, CONTROL_STOP, ending);
	control_server_answer_all(s->control, CONTROL_WAIT, ending);
}

static void leave_nothing(struct supervisor *s)
{
	int r = cgroup_remove(s->record.cgroup);

	if (r < 0)
		log_warn("cgroup %s: %s", s->record.cgroup, strerror(-r));
	supervisor_change(s, LIFECYCLE_ALL_GONE);
}

void stop_finish_if_gone(struct supervisor *s)
{
	struct process_stat members[16];
	int left;

	audit_log_end(s->audit);
	if (children_any_alive(s) && s->phase != PHASE_GIVE_UP)
		return;
	left = clear_group(s->record.cgroup, members, ARRAY_SIZE(members));
	s->record.ended_at = (uint64_t)time(NULL);
	if (left > 0)
		note_survivors(s, members, left);
	else
		leave_nothing(s);
	tell_ending(s);
	loop_stop(s->loop, 0);
}

static void enter_phase(struct supervisor *s, enum phase phase, uint64_t wait_ms)
{
	s->phase = phase;
	loop_timer_set(s->stop_timer, MAX(wait_ms, (uint64_t)1));
}

/* The audit log's writer is left until GIVE_UP to sign what it has. */
static void kill_all(struct supervisor *s)
{
	const struct child *writer = audit_log_writer(s->audit);

	if (!writer)
		cgroup_kill(s->record.cgroup);
	for (struct child *c = s->children; c; c = c->next)
		if (c != writer)
			child_signal(c, SIGKILL);
}

static void next_phase(void *data)
{
	struct supervisor *s = data;

	switch (s->phase) {
	case PHASE_UP:
	case PHASE_ASK:
		enter_phase(s, PHASE_TERM, TERM_WAIT_MS);
		child_signal(&s->vmm, SIGTERM);
		if (!child_is_alive(&s->vmm)) {
			child_signal(&s->link, SIGTERM);
			egress_end(s->egress);
		}
		break;
	case PHASE_TERM:
		enter_phase(s, PHASE_KILL, KILL_WAIT_MS);
		kill_all(s);
		break;
	case PHASE_KILL:
	case PHASE_GIVE_UP:
		s->phase = PHASE_GIVE_UP;
		break;
	}
	stop_finish_if_gone(s);
}

void stop_begin(struct supervisor *s, enum lifecycle_event event, uint64_t grace_ms)
{
	bool first = s->phase == PHASE_UP;

	if (first && !supervisor_change(s, event))
		return;
	if (!first && (s->phase != PHASE_ASK || grace_ms > 0))
		return;
	loop_timer_set(s->ready_timer, 0);
	loop_timer_set(s->linger_timer, 0);
	if (first && s->ready && grace_ms && !s->vmm.gone && !s->link.gone &&
		link_control_shutdown(s->processes.control_fd, LINK_SHUTDOWN_POWEROFF, NULL) == 0)
		enter_phase(s, PHASE_ASK, grace_ms);
	else
		next_phase(s);
}

void stop_begin_fault(struct supervisor *s)
{
	s->faulted = true;
	stop_begin(s, LIFECYCLE_FAULT, 0);
}

void stop_after_vmm(struct supervisor *s, bool fault)
{
	if (s->phase == PHASE_UP) {
		s->faulted = fault;
		s->phase = PHASE_ASK; /* the link is what is left */
		supervisor_change(s, fault ? LIFECYCLE_FAULT : LIFECYCLE_ASKED_TO_STOP);
	}
	loop_timer_set(s->drain_timer, DRAIN_MS);
}

static void drain_over(void *data)
{
	struct supervisor *s = data;

	child_signal(&s->link, SIGTERM);
	egress_end(s->egress);
	/* Whatever phase it is in: TERM has been sent, KILL is next. */
	if (s->phase < PHASE_TERM)
		enter_phase(s, PHASE_TERM, TERM_WAIT_MS);
}

int stop_add_timers(struct supervisor *s)
{
	int r = loop_add_timer(s->loop, next_phase, s, &s->stop_timer);

	return r < 0 ? r : loop_add_timer(s->loop, drain_over, s, &s->drain_timer);
}
