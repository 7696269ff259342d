/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. One loop, one thread. What moves a sandbox on is: records from sandbox-vmm and sandbox-link
 * (take_vmm_event, take_link_event), the end of one of them (reap), a request (take_request), a signal, a timer. Each leads
 * to change(), the only place where a state is changed, or to begin_stop().
 *
 * The end has phases, each with its time: ASK the guest, TERM the VMM, KILL all. When the VMM is gone the link gets a
 * moment to hand out what it still holds, then TERM. When both are reaped the group is looked through; what is left
 * in it is killed, and if it does not go, the sandbox is quarantined. Answers to stop and wait come after that, the
 * runtime folder goes, and the process ends; with it goes the lock.
 *
 * Everything that is judged here is judged by what the host sees; what the guest says is kept apart in `live` (H3).
 */
#include "vmm/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"
#include "vmm/base/capped_log.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/event.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/jail/jail.h"
#include "vmm/link/control.h"
#include "vmm/supervisor/backend_kvm.h"
#include "vmm/supervisor/boot_plan.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/control_server.h"
#include "vmm/supervisor/operations.h"
#include "vmm/supervisor/status.h"

#define READY_WAIT_MS	   (5 * 60 * 1000) /* from spawn to the agent's ready, on the slowest host */
#define GRACE_MS	   10000 /* an orderly stop that nobody gave a time */
#define TERM_WAIT_MS	   3000
#define KILL_WAIT_MS	   10000
#define DRAIN_MS	   500 /* the link's, after the VMM has ended */
#define LATE_ATTACH_MS	   5000 /* a command that ended before its starter could attach */
#define ATTACHED_LINGER_MS 500
#define LOCK_WAIT_MS	   1000
#define CHILD_LOG_CAP	   (64 * 1024)
#define TAIL_MAX	   160
#define FIX_MAX		   256
#define GROUP_WAIT_MS	   5000
#define EVENT_TURN	   64 /* records of one child before timers and requests have their turn */
#define EVENT_LAST_TURN	   4096 /* and when it has ended: more than a socket holds */
#define CLOCK_STEP_NS                                                                              \
	500000000 /* a wall clock that moved this far from the monotonic one was set, or slept */

enum phase { PHASE_UP, PHASE_ASK, PHASE_TERM, PHASE_KILL, PHASE_GIVE_UP };

/* One child as the loop sees it. */
struct child {
	struct supervisor *supervisor;
	struct backend_child *process;
	struct loop_source *event_source, *log_source;
	struct capped_log log;
	int log_fd;
	char tail[TAIL_MAX]; /* the last line it wrote, printable */
	char fix[FIX_MAX]; /* the last one that said what to do; "" where none did */
	bool started, gone;
};

struct supervisor {
	struct paths paths;
	struct record record;
	bool is_new; /* no record was there before */
	bool spawned;
	int lock_fd, progress_fd, signal_fd;
	struct boot_plan plan;
	struct backend_processes processes;
	struct child vmm, link;
	struct loop *loop;
	struct loop_source *signal_source, *progress_source, *ready_timer, *timeout_timer,
		*stop_timer, *linger_timer, *drain_timer;
	json_t *failure; /* for the starter, told at the end */
	struct control_server *control;
	struct status_live live;
	size_t workspace_share; /* its number among the VMM's shares; the user's others follow */
	uint64_t heard_ms;
	int64_t clock_offset_ns; /* of the host's wall clock, when the guest was last told */
	uint32_t next_id;
	enum phase phase;
	bool faulted, ready, attached_once, session_ended;
	enum machine_end end;
	uint64_t spawned_ms;
};

/* -- what the starter is told -- */

static void write_progress(struct supervisor *s, const json_t *message)
{
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);

	if (s->progress_fd < 0 || !text)
		return;
	if (fdio_write_full(s->progress_fd, text, strlen(text)) < 0 ||
		fdio_write_full(s->progress_fd, "\n", 1) < 0)
		log_debug("nobody follows the start any more");
}

static void tell_stage(void *data, const char *stage, const char *text)
{
	_cleanup_json_ json_t *message = json_pack("{s:s, s:s}", "stage", stage, "text", text);

	write_progress(data, message);
}

static void end_progress(struct supervisor *s)
{
	loop_remove(TAKE_PTR(s->progress_source));
	close_keeping_errno(TAKE_FD(s->progress_fd));
}

/* Told when everything is over, the lock included (finish): whoever is told may start again at once. */
static void tell_failure(struct supervisor *s, const struct err *err, const char *stage)
{
	if (s->progress_fd >= 0 && !s->failure)
		s->failure = control_error_json(err, stage);
}

static json_t *status_now(struct supervisor *s)
{
	s->live.heartbeat_age_ms = s->heard_ms ? clock_monotonic_ms() - s->heard_ms : 0;
	return status_data(&s->record, &s->live, true);
}

static void tell_ready(struct supervisor *s)
{
	_cleanup_json_ json_t *message = json_pack("{s:b, s:o}", "ok", 1, "data", status_now(s));

	write_progress(s, message);
	end_progress(s);
}

/* -- state -- */

static void save(struct supervisor *s)
{
	struct err err = {};

	/* A full disk must not end a sandbox; what is in memory goes on being right. */
	if (registry_save(&s->paths, &s->record, &err) < 0)
		log_warn("%s", err.text);
}

static json_t *event_json(const char *name)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:s, s:I}", "event", name, "time_ns",
		(json_int_t)now.tv_sec * 1000000000 + (json_int_t)now.tv_nsec);
}

static void push_event(struct supervisor *s, json_t *event)
{
	if (s->control)
		control_server_push(s->control, event);
	else
		json_decref(event);
}

static void push_state(struct supervisor *s)
{
	json_t *event = event_json("state");

	json_object_set_new(event, "state", json_string(lifecycle_name(s->record.state)));
	json_object_set_new(event, "reason", json_string(s->record.reason));
	push_event(s, event);
}

static bool change(struct supervisor *s, enum lifecycle_event event)
{
	enum lifecycle_state next;

	if (lifecycle_next(s->record.state, event, s->faulted, &next) < 0) {
		log_error("event %d in state %s: ignored", (int)event,
			lifecycle_name(s->record.state));
		return false;
	}
	s->record.state = next;
	save(s);
	push_state(s);
	return true;
}

static void set_reason(struct supervisor *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void set_reason(struct supervisor *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->record.reason, sizeof(s->record.reason), format, args);
	va_end(args);
}

/* -- the end -- */

static void signal_child(struct child *c, int signal)
{
	if (c->started && !c->gone)
		process_id_signal(&c->process->id, signal);
}

static void enter_phase(struct supervisor *s, enum phase phase, uint64_t wait_ms)
{
	s->phase = phase;
	loop_timer_set(s->stop_timer, MAX(wait_ms, (uint64_t)1));
}

static void finish_if_gone(struct supervisor *s);

static void next_phase(void *data)
{
	struct supervisor *s = data;

	switch (s->phase) {
	case PHASE_UP:
	case PHASE_ASK:
		enter_phase(s, PHASE_TERM, TERM_WAIT_MS);
		signal_child(&s->vmm, SIGTERM);
		if (s->vmm.gone || !s->vmm.started)
			signal_child(&s->link, SIGTERM);
		break;
	case PHASE_TERM:
		enter_phase(s, PHASE_KILL, KILL_WAIT_MS);
		cgroup_kill(s->record.cgroup);
		signal_child(&s->vmm, SIGKILL);
		signal_child(&s->link, SIGKILL);
		break;
	case PHASE_KILL:
	case PHASE_GIVE_UP:
		s->phase = PHASE_GIVE_UP;
		break;
	}
	finish_if_gone(s);
}

/* The orderly end: the guest is asked first, if there is anybody to ask. */
static void begin_stop(struct supervisor *s, enum lifecycle_event event, uint64_t grace_ms)
{
	bool first = s->phase == PHASE_UP;

	if (first && !change(s, event))
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

static void begin_fault(struct supervisor *s)
{
	s->faulted = true;
	begin_stop(s, LIFECYCLE_FAULT, 0);
}

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

	set_reason(s, "survived KILL:");
	for (int i = 0;
		i < count && (used = strlen(s->record.reason)) < sizeof(s->record.reason) - 1; i++)
		snprintf(s->record.reason + used, sizeof(s->record.reason) - used, " %d %s%s",
			(int)members[i].id.pid, members[i].command,
			process_hangs(members[i].id.pid) ? " (uninterruptible)" : "");
	log_error("%s", s->record.reason);
	change(s, LIFECYCLE_SURVIVOR);
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
	return *s->link.fix ? s->link.fix : s->vmm.fix;
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
		tell_failure(s, &err, s->live.agent_ready ? "command" : "boot");
	}
	control_server_answer_all(s->control, CONTROL_STOP, ending);
	control_server_answer_all(s->control, CONTROL_WAIT, ending);
}

static void leave_nothing(struct supervisor *s)
{
	int r = cgroup_remove(s->record.cgroup);

	if (r < 0)
		log_warn("cgroup %s: %s", s->record.cgroup, strerror(-r));
	change(s, LIFECYCLE_ALL_GONE);
}

/* Both children are reaped, or given up. */
static void finish_if_gone(struct supervisor *s)
{
	struct process_stat members[16];
	bool gone = (s->vmm.gone || !s->vmm.started) && (s->link.gone || !s->link.started);
	int left;

	if (!gone && s->phase != PHASE_GIVE_UP)
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

/* -- children -- */

static void drain_over(void *data)
{
	struct supervisor *s = data;

	signal_child(&s->link, SIGTERM);
	/* Whatever phase it is in: TERM has been sent, KILL is next. */
	if (s->phase < PHASE_TERM)
		enter_phase(s, PHASE_TERM, TERM_WAIT_MS);
}

/* The last line it wrote, and the last that says what to do about it (JAIL_FIX_MARK), both printable. */
static void keep_line(struct child *c, const char *line, size_t len)
{
	char text[TAIL_MAX + FIX_MAX], *fix;
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(text) - 1; i++)
		text[n++] = line[i] >= 0x20 && line[i] < 0x7f ? line[i] : '?';
	text[n] = '\0';
	fix = strstr(text, JAIL_FIX_MARK);
	if (fix)
		snprintf(c->fix, sizeof(c->fix), "%.*s", FIX_MAX - 1, fix + strlen(JAIL_FIX_MARK));
	else if (n)
		snprintf(c->tail, sizeof(c->tail), "%.*s", TAIL_MAX - 1, text);
}

static void keep_tail(struct child *c, const char *data, size_t len)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) : len;

		keep_line(c, data, line);
		line += end != NULL;
		data += line;
		len -= line;
	}
}

static void take_log(void *data, uint32_t events)
{
	struct child *c = data;
	char buffer[4096];
	ssize_t n = read(c->process->stderr_fd, buffer, sizeof(buffer));

	(void)events;
	if (n > 0) {
		capped_log_write(&c->log, buffer, (size_t)n);
		keep_tail(c, buffer, (size_t)n);
	} else if (n == 0 || errno != EAGAIN) {
		loop_remove(TAKE_PTR(c->log_source));
	}
}

/* S4. The numbers are those of a process that a guest may have taken: bounded here. */
static void note_refusal(struct supervisor *s, const struct event *e)
{
	struct status_refused *refused;
	uint64_t share = e->value[0];

	if (share < s->workspace_share || share - s->workspace_share >= ARRAY_SIZE(s->live.refused))
		return;
	refused = &s->live.refused[share - s->workspace_share];
	refused->count = MAX(refused->count, e->value[1] & INT64_MAX);
	if (!e->value[3] || refused->file_count == STATUS_REFUSED_MAX)
		return;
	refused->files[refused->file_count].device = e->value[2] & INT64_MAX;
	refused->files[refused->file_count++].inode = e->value[3] & INT64_MAX;
}

/* Said once, before anything of the guest's ran; what a process says of itself later counts for nothing. */
static void note_isolation(struct supervisor *s, uint64_t *layers, const struct event *e)
{
	if (*layers)
		return;
	*layers = e->value[0] & 0xffffff;
	save(s);
}

/* As note_isolation(), which saves it. */
static void note_core_scheduling(struct supervisor *s, const struct event *e)
{
	if (s->record.isolation_vmm)
		return;
	s->record.core_scheduling = e->value[1] == 1	? CORE_SCHEDULING_IN_FORCE
				    : host_smt_active() ? CORE_SCHEDULING_UNAVAILABLE
							: CORE_SCHEDULING_NOT_NEEDED;
}

static void take_vmm_event(struct supervisor *s, const struct event *e)
{
	switch (e->kind) {
	case EVENT_VMM_ISOLATED:
		note_core_scheduling(s, e);
		note_isolation(s, &s->record.isolation_vmm, e);
		break;
	case EVENT_VMM_ENDED:
		s->end = (enum machine_end)e->value[0];
		break;
	case EVENT_VMM_DEVICE_FAULT:
		s->live.device_faults++;
		break;
	case EVENT_VMM_SHARE_REFUSED:
		note_refusal(s, e);
		break;
	case EVENT_VMM_SHARE_LOSS:
		s->live.shares_memory_only = MAX(s->live.shares_memory_only, e->value[1]);
		break;
	default:
		break; /* EVENT_VMM_RUNNING, EVENT_VMM_FAILED: its end and its last line say more */
	}
}

static void drain_events(struct child *c, int most);

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* The guest's clock goes on from what it was told; a host that slept or was set knows better. */
static void tell_time(struct supervisor *s, bool always)
{
	struct timespec wall, monotonic;
	int64_t offset_ns, moved_ns;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	offset_ns = ns_of(&wall) - ns_of(&monotonic);
	moved_ns = offset_ns - s->clock_offset_ns;
	if (!always && moved_ns < CLOCK_STEP_NS && moved_ns > -CLOCK_STEP_NS)
		return;
	if (link_control_time(s->processes.control_fd, (uint64_t)ns_of(&wall), NULL) == 0)
		s->clock_offset_ns = offset_ns;
}

static void guest_is_ready(struct supervisor *s, const struct event *e)
{
	struct err err = {};

	if (s->ready || s->phase != PHASE_UP)
		return;
	/* H4: each has said what is in force before the guest could run; it may still wait to be read. */
	drain_events(&s->vmm, EVENT_TURN);
	if (s->phase != PHASE_UP)
		return;
	if (status_isolation_asked() & ~(s->record.isolation_vmm & s->record.isolation_link)) {
		set_reason(s,
			"isolation is incomplete: layers %#llx of sandbox-vmm, %#llx of sandbox-link",
			(unsigned long long)s->record.isolation_vmm,
			(unsigned long long)s->record.isolation_link);
		begin_fault(s);
		return;
	}
	s->ready = s->live.agent_ready = true;
	s->live.degraded_bits = e->value[1];
	s->record.ready_at = (uint64_t)time(NULL);
	loop_timer_set(s->ready_timer, 0);
	if (!change(s, LIFECYCLE_AGENT_READY))
		return;
	tell_time(s, true); /* WELCOME's is as old as the boot took */
	if (s->record.spec.command[0]) {
		if (operation_start_session(s->processes.control_fd, &s->record.spec, &err) < 0) {
			set_reason(s, "the command could not be started: %.180s", err.text);
			begin_fault(s);
			return;
		}
		s->live.session_running = true;
	}
	tell_ready(s);
}

static void session_ended(struct supervisor *s, const struct event *e)
{
	bool wait = s->record.spec.await_attach && !s->attached_once;
	json_t *event = event_json("command-ended");

	s->live.session_running = false;
	s->session_ended = true;
	/* Lost with a machine that is ending, it has no code of its own. */
	if (s->phase == PHASE_UP || (e->value[0] & 0xff) != LINK_SESSION_FAILED)
		s->record.exit_code = (int32_t)(e->value[0] & 0xff);
	json_object_set_new(event, "exit_code", json_integer(s->record.exit_code));
	push_event(s, event);
	save(s);
	if (s->phase == PHASE_UP) /* else what ends it already is the reason */
		loop_timer_set(s->linger_timer, wait ? LATE_ATTACH_MS : ATTACHED_LINGER_MS);
}

static void stop_after_command(void *data)
{
	struct supervisor *s = data;

	set_reason(s, "its command ended with exit code %d", (int)s->record.exit_code);
	begin_stop(s, LIFECYCLE_ASKED_TO_STOP, GRACE_MS);
}

static void guest_refused(struct supervisor *s, const struct event *e)
{
	int code = e->value[0] > 0 && e->value[0] < 4096 ? (int)e->value[0] : EIO;

	set_reason(s, "the guest could not be set up: %s: %s",
		protocol_stage_text((uint32_t)e->value[1]), strerror(code));
	begin_fault(s);
}

static void take_health(struct supervisor *s, const struct event *e)
{
	s->heard_ms = clock_monotonic_ms();
	s->live.agent_lost = false;
	s->live.heartbeats++;
	s->live.load1_percent = e->value[0];
	s->live.memory_total_kib = e->value[1];
	s->live.memory_free_kib = e->value[2];
	s->live.disk_free_kib = e->value[3];
	s->live.degraded_bits = e->value[4];
	s->live.processes = e->value[5];
	if (s->ready && s->phase == PHASE_UP)
		tell_time(s, false);
}

/* The guest's word, passed on as such. */
static void push_audit(struct supervisor *s, const struct event *e)
{
	json_t *event = event_json("guest-audit"), *values = json_array();

	for (size_t i = 1; i < EVENT_VALUES; i++)
		json_array_append_new(values, json_integer((json_int_t)(e->value[i] & INT64_MAX)));
	json_object_set_new(event, "reported_by_guest", json_true());
	json_object_set_new(event, "kind", json_integer((json_int_t)(e->value[0] & INT64_MAX)));
	json_object_set_new(event, "values", values);
	push_event(s, event);
}

static void take_link_event(struct supervisor *s, const struct event *e)
{
	switch (e->kind) {
	case EVENT_LINK_ISOLATED:
		note_isolation(s, &s->record.isolation_link, e);
		break;
	case EVENT_AGENT_HELLO:
		s->heard_ms = clock_monotonic_ms();
		break;
	case EVENT_AGENT_READY:
		s->heard_ms = clock_monotonic_ms();
		guest_is_ready(s, e);
		break;
	case EVENT_AGENT_HEALTH:
		take_health(s, e);
		break;
	case EVENT_AGENT_LOST:
		if (s->phase != PHASE_UP)
			break; /* as it was asked to */
		s->live.agent_lost = true;
		push_event(s, event_json("agent-lost"));
		break;
	case EVENT_SESSION_ENDED:
		session_ended(s, e);
		break;
	case EVENT_AGENT_REFUSED:
		guest_refused(s, e);
		break;
	case EVENT_AGENT_AUDIT:
		push_audit(s, e);
		break;
	default:
		break; /* EVENT_LINK_FAILED: its end says more */
	}
}

/* H3: one that never stops talking does not keep us from the clock. What is left wakes the loop again. */
static void drain_events(struct child *c, int most)
{
	struct supervisor *s = c->supervisor;
	uint8_t wire[EVENT_SIZE + 1];
	struct event event;
	ssize_t n = -1;

	for (int i = 0; i < most && c->process->event_fd >= 0; i++) {
		n = recv(c->process->event_fd, wire, sizeof(wire), MSG_DONTWAIT);
		if (n <= 0)
			break;
		if (event_decode(wire, (uint64_t)n, &event) < 0)
			log_ratelimited(LOG_WARN, "%s: a malformed record", c->process->name);
		else if (c == &s->vmm)
			take_vmm_event(s, &event);
		else
			take_link_event(s, &event);
	}
	if (n == 0)
		loop_remove(TAKE_PTR(c->event_source)); /* its end will be reaped */
}

static void take_events(void *data, uint32_t events)
{
	(void)events;
	drain_events(data, EVENT_TURN);
}

static void vmm_ended(struct supervisor *s, int status)
{
	const struct child *c = &s->vmm;

	if (s->phase == PHASE_UP) {
		bool fault = s->end == MACHINE_END_NONE || lifecycle_end_is_fault(s->end);

		if (s->end != MACHINE_END_NONE)
			set_reason(s, "%s", lifecycle_end_reason(s->end));
		else if (WIFSIGNALED(status))
			set_reason(s, "sandbox-vmm was ended by signal %d", WTERMSIG(status));
		else
			set_reason(s, "sandbox-vmm failed: %s",
				*c->tail ? c->tail : "it said nothing");
		s->faulted = fault;
		s->phase = PHASE_ASK; /* the link is what is left */
		change(s, fault ? LIFECYCLE_FAULT : LIFECYCLE_ASKED_TO_STOP);
	}
	loop_timer_set(s->drain_timer, DRAIN_MS);
}

static void link_ended(struct supervisor *s, int status)
{
	const struct child *c = &s->link;

	if (s->phase != PHASE_UP)
		return;
	if (WIFSIGNALED(status))
		set_reason(s, "sandbox-link was ended by signal %d", WTERMSIG(status));
	else
		set_reason(s, "sandbox-link failed: %s", *c->tail ? c->tail : "it said nothing");
	begin_fault(s);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = pid == s->vmm.process->id.pid	   ? &s->vmm
				  : pid == s->link.process->id.pid ? &s->link
								   : NULL;

		if (!c || c->gone)
			continue; /* an orphan that came to us */
		drain_events(c, EVENT_LAST_TURN); /* what it said last comes before its end */
		if (c->log_source)
			take_log(c, EPOLLIN);
		c->gone = true;
		if (c == &s->vmm)
			vmm_ended(s, status);
		else
			link_ended(s, status);
	}
	if (s->phase != PHASE_UP)
		finish_if_gone(s);
}

/* -- signals, timers, the starter -- */

static void take_signal(void *data, uint32_t events)
{
	struct supervisor *s = data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			reap(s);
		} else if (s->phase == PHASE_UP) {
			set_reason(s, "its supervisor was told to end (signal %u)", info.ssi_signo);
			begin_stop(s, LIFECYCLE_ASKED_TO_STOP, GRACE_MS);
		}
	}
}

static void time_is_up(void *data)
{
	struct supervisor *s = data;

	if (s->phase != PHASE_UP)
		return;
	set_reason(s, "timeout: its %llu s of wall time are over",
		(unsigned long long)(s->record.spec.timeout_ms / 1000));
	begin_stop(s, LIFECYCLE_ASKED_TO_STOP, GRACE_MS);
}

static void not_ready_in_time(void *data)
{
	struct supervisor *s = data;

	set_reason(s, "the guest was not ready within %d s", READY_WAIT_MS / 1000);
	begin_fault(s);
}

static void starter_went_away(void *data, uint32_t events)
{
	struct supervisor *s = data;

	(void)events;
	end_progress(s);
	if (s->phase != PHASE_UP)
		return;
	set_reason(s, "whoever started it went away before it was ready");
	begin_stop(s, LIFECYCLE_ASKED_TO_STOP, 0);
}

/* -- requests -- */

static void request_stop(
	struct supervisor *s, struct control_client *client, const struct control_request *request)
{
	control_client_park(client, CONTROL_STOP);
	if (s->phase == PHASE_UP)
		set_reason(s, "%s", *request->reason ? request->reason : "stopped");
	begin_stop(s, LIFECYCLE_ASKED_TO_STOP, request->grace_ms);
}

static int guest_is_lost(const struct supervisor *s, struct err *err)
{
	const char *name = s->record.spec.name;

	err_set(err, -ENOTCONN,
		"sandbox %s: its guest does not answer (health: lost), though its machine runs",
		name);
	err_next_step(err,
		"sandboxctl console %s shows what its kernel said; sandboxctl restart %s", name,
		name);
	return -ENOTCONN;
}

static void request_guest(
	struct supervisor *s, struct control_client *client, const struct control_request *request)
{
	_cleanup_close_ int fd = -1;
	struct err err = {};
	int r = 0;

	if (s->phase != PHASE_UP)
		r = err_set(&err, -ESHUTDOWN, "sandbox %s: it is ending: %s", s->record.spec.name,
			s->record.reason);
	else if (!s->ready)
		r = err_set(&err, -EAGAIN, "sandbox %s: its guest is not ready yet",
			s->record.spec.name);
	else if (s->live.agent_lost)
		r = guest_is_lost(s, &err);
	else if (request->op == CONTROL_ATTACH && !s->record.spec.command[0])
		r = err_set(&err, -ENOENT, "sandbox %s: it has no main command to attach to",
			s->record.spec.name);
	if (r == 0)
		r = operation_send(s->processes.control_fd, ++s->next_id, request, &fd, &err);
	if (r < 0) {
		control_client_fail(client, &err, control_op_name(request->op));
		return;
	}
	if (request->op == CONTROL_ATTACH) {
		s->attached_once = true;
		if (s->session_ended)
			loop_timer_set(s->linger_timer, ATTACHED_LINGER_MS);
	}
	control_client_answer(client, NULL, fd);
}

static void take_request(
	void *data, struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = data;

	switch (request->op) {
	case CONTROL_STATUS:
		control_client_answer(client, status_now(s), -1);
		break;
	case CONTROL_EXEC:
	case CONTROL_ATTACH:
	case CONTROL_COPY_OUT:
	case CONTROL_COPY_IN:
	case CONTROL_FORWARD:
	case CONTROL_VSOCK:
		request_guest(s, client, request);
		break;
	case CONTROL_STOP:
		request_stop(s, client, request);
		break;
	case CONTROL_WAIT:
		control_client_park(client, CONTROL_WAIT);
		break;
	case CONTROL_EVENTS:
		control_client_answer(client, NULL, -1);
		control_client_park(client, CONTROL_EVENTS);
		break;
	}
}

/* -- the beginning -- */

static int watch_child(struct supervisor *s, struct child *c, struct backend_child *process,
	const char *log_name, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(&s->paths, s->record.spec.name, log_name, path, err);

	c->supervisor = s;
	c->process = process;
	c->started = process->id.pid > 0;
	if (r < 0 || !c->started)
		return r;
	c->log_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	capped_log_init(&c->log, c->log_fd, CHILD_LOG_CAP);
	r = loop_add_fd(s->loop, process->event_fd, EPOLLIN, take_events, c, &c->event_source);
	if (r == 0)
		r = loop_add_fd(s->loop, process->stderr_fd, EPOLLIN, take_log, c, &c->log_source);
	return r < 0 ? err_set(err, r, "%s: it cannot be watched: %s", process->name, strerror(-r))
		     : 0;
}

static void remember_processes(void *data)
{
	struct supervisor *s = data;

	s->record.vmm = s->processes.vmm.id;
	s->record.link = s->processes.link.id;
	save(s);
}

static int add_timers(struct supervisor *s)
{
	int r = loop_add_timer(s->loop, not_ready_in_time, s, &s->ready_timer);

	if (r == 0)
		r = loop_add_timer(s->loop, time_is_up, s, &s->timeout_timer);
	if (r == 0)
		r = loop_add_timer(s->loop, next_phase, s, &s->stop_timer);
	if (r == 0)
		r = loop_add_timer(s->loop, stop_after_command, s, &s->linger_timer);
	return r < 0 ? r : loop_add_timer(s->loop, drain_over, s, &s->drain_timer);
}

static int take_signals(struct supervisor *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return -errno;
	return loop_add_fd(s->loop, s->signal_fd, EPOLLIN, take_signal, s, &s->signal_source);
}

static int make_loop(struct supervisor *s, struct err *err)
{
	int r = loop_create(&s->loop);

	if (r == 0)
		r = add_timers(s);
	if (r == 0)
		r = take_signals(s);
	if (r == 0 && s->progress_fd >= 0)
		r = loop_add_fd(
			s->loop, s->progress_fd, 0, starter_went_away, s, &s->progress_source);
	return r < 0 ? err_set(err, r, "supervisor: %s", strerror(-r)) : 0;
}

static int listen_control(struct supervisor *s, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_runtime(&s->paths, s->record.spec.name, "control.sock", path, err);

	return r < 0 ? r : control_server_create(s->loop, path, take_request, s, &s->control, err);
}

/* The record that is there, if any, decides whether we may be it. */
static int take_over_record(struct supervisor *s, struct spec *spec, struct err *err)
{
	struct record old;
	enum lifecycle_state state = LIFECYCLE_STOPPED;
	int r = registry_load(&s->paths, spec->name, &old, err);

	s->is_new = r == -ENOENT;
	if (r == 0) {
		r = registry_check_workspace(&s->paths, &old, &spec->workspace, err);
		state = old.state;
		s->record.created_at = old.created_at;
		registry_remove_exposed(old.instance);
		cgroup_remove(old.cgroup);
		/* Whoever was alive held the lock that we have now. */
		if (lifecycle_is_live(state))
			state = LIFECYCLE_FAILED;
		record_finish(&old);
	}
	if (r < 0 && !s->is_new)
		return r;
	if (lifecycle_next(state, LIFECYCLE_BEGIN, false, &s->record.state) < 0) {
		err_set(err, -EDEADLK, "sandbox %s: it is quarantined: something of it survived",
			spec->name);
		err_next_step(err, "sandboxctl stop %s tries again", spec->name);
		return -EDEADLK;
	}
	return 0;
}

static int fill_record(struct supervisor *s, struct spec *spec, struct err *err)
{
	struct record *record = &s->record;
	int r = host_boot_id(record->boot_id);

	if (r == 0)
		r = process_id_of(getpid(), &record->supervisor);
	if (r < 0)
		return err_set(err, r, "supervisor: /proc: %s", strerror(-r));
	record->pgid = getpgid(0);
	record->started_at = (uint64_t)time(NULL);
	if (!record->created_at)
		record->created_at = record->started_at;
	record->spec = *spec;
	*spec = (struct spec){};
	return registry_save(&s->paths, record, err);
}

/* Under a lock and a saved record everything can be found again, whatever happens to us. */
static int claim(struct supervisor *s, struct spec *spec, const char **ret_stage, struct err *err)
{
	int r;

	*ret_stage = "claim";
	r = paths_load(&s->paths, err);
	if (r == 0)
		r = paths_prepare(&s->paths, err);
	if (r == 0)
		r = registry_lock(&s->paths, spec->name, LOCK_WAIT_MS, &s->lock_fd, err);
	if (r == 0)
		r = take_over_record(s, spec, err);
	return r < 0 ? r : fill_record(s, spec, err);
}

/* Our own lines go to a file of the sandbox from here on. */
static void open_own_log(struct supervisor *s)
{
	char path[PATH_MAX];

	if (paths_of_state(&s->paths, s->record.spec.name, "supervisor.log", path, NULL) < 0)
		return;
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

/* H9: a limit that cannot be kept is an error; a group without one is kept where it is to be had. */
static int make_cgroup(struct supervisor *s, struct err *err)
{
	char path[PATH_MAX];
	uint32_t pids = s->record.spec.pids;
	struct err why = {};
	int r = cgroup_create(s->record.spec.name, s->plan.instance, pids, path, &why);

	if (r == 0) {
		memcpy(s->record.cgroup, path, sizeof(path));
		s->plan.cgroup = s->record.cgroup;
		save(s);
	} else if (pids) {
		err_set(err, -EOPNOTSUPP, "--pids %u cannot be enforced on this host: %.200s", pids,
			why.text);
		return err_next_step(err, "%s", why.next_step);
	}
	return 0;
}

static int launch(struct supervisor *s, const char **ret_stage, struct err *err)
{
	int r;

	boot_plan_init(&s->plan, &s->record.spec, &s->paths);
	r = boot_plan_prepare(
		&s->plan, (const char *const *)environ, tell_stage, s, ret_stage, err);
	if (r < 0)
		return r;
	memcpy(s->record.instance, s->plan.instance, sizeof(s->record.instance));
	snprintf(s->record.kernel, sizeof(s->record.kernel), "%s", s->plan.kernel.name);
	s->record.owner_uid = s->plan.owner.uid;
	s->record.owner_gid = s->plan.owner.gid;
	*ret_stage = "limits";
	r = make_cgroup(s, err);
	*ret_stage = r < 0 ? *ret_stage : "launch";
	if (r == 0)
		r = make_loop(s, err);
	if (r == 0)
		r = listen_control(s, err);
	if (r < 0)
		return r;
	if (s->plan.share_count > s->record.spec.share_count)
		s->workspace_share = s->plan.share_count - s->record.spec.share_count - 1;
	tell_stage(s, "boot", "booting");
	s->spawned = true;
	r = backend_kvm_spawn(
		&s->plan, s->lock_fd, &s->processes, remember_processes, s, ret_stage, err);
	if (watch_child(s, &s->vmm, &s->processes.vmm, "vmm.log", r == 0 ? err : NULL) < 0 ||
		watch_child(s, &s->link, &s->processes.link, "link.log", r == 0 ? err : NULL) < 0)
		r = r < 0 ? r : -ENOMEM;
	boot_plan_finish(&s->plan); /* what the children need, they have */
	return r;
}

static void arm_timers(struct supervisor *s)
{
	loop_timer_set(s->ready_timer, READY_WAIT_MS);
	if (s->record.spec.timeout_ms)
		loop_timer_set(s->timeout_timer, s->record.spec.timeout_ms);
}

static void remove_runtime(struct supervisor *s)
{
	char path[PATH_MAX];

	if (paths_of_runtime(&s->paths, s->record.spec.name, NULL, path, NULL) == 0)
		registry_remove_folder(path, NULL);
	registry_remove_exposed(s->record.instance);
	cgroup_remove(s->record.cgroup);
}

/* A start that came to nothing before anything ran: a sandbox that never was leaves no trace. */
static void forget_failed_start(struct supervisor *s, const struct err *err)
{
	s->faulted = true;
	set_reason(s, "%.255s", err->text);
	s->record.ended_at = (uint64_t)time(NULL);
	if (s->is_new)
		registry_remove(&s->paths, s->record.spec.name, NULL);
	else
		change(s, LIFECYCLE_ALL_GONE);
}

static void finish(struct supervisor *s)
{
	remove_runtime(s);
	control_server_destroy(s->control);
	boot_plan_finish(&s->plan);
	backend_processes_finish(&s->processes);
	loop_remove(TAKE_PTR(s->progress_source));
	loop_destroy(s->loop);
	record_finish(&s->record);
	close_keeping_errno(s->signal_fd);
	close_keeping_errno(s->lock_fd);
	if (s->failure)
		write_progress(s, s->failure);
	json_decref(s->failure);
	close_keeping_errno(s->progress_fd);
	free(s);
}

int supervisor_run(struct spec *spec, int progress_fd)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	const char *stage = "claim";
	struct err err = {};
	int r;

	if (!s)
		return 1;
	s->progress_fd = progress_fd;
	s->lock_fd = s->signal_fd = -1;
	record_init(&s->record);
	backend_processes_init(&s->processes);
	boot_plan_init(&s->plan, &s->record.spec, &s->paths);
	s->vmm.process = &s->processes.vmm;
	s->link.process = &s->processes.link;
	signal(SIGPIPE, SIG_IGN);
	r = claim(s, spec, &stage, &err);
	if (r < 0) {
		if (s->is_new && s->record.spec.name[0])
			registry_remove(&s->paths, s->record.spec.name, NULL);
		tell_failure(s, &err, stage);
		finish(s);
		return 1;
	}
	open_own_log(s);
	r = launch(s, &stage, &err);
	if (r < 0 && !s->spawned) {
		forget_failed_start(s, &err);
		tell_failure(s, &err, stage);
	} else {
		if (r < 0) {
			set_reason(s, "%.255s", err.text);
			tell_failure(s, &err, stage);
			begin_fault(s);
		} else {
			arm_timers(s);
		}
		r = loop_run(s->loop);
	}
	finish(s);
	return r < 0;
}
