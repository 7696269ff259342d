/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. One loop, one thread. What moves a sandbox on is: records from sandbox-vmm and sandbox-link
 * (vmm_events.c, link_events.c), the end of one of them (children.c), a request (requests.c), a signal, a timer. Each leads
 * to supervisor_change(), the only place where a state is changed, or to stop_begin() (stop_phases.c), from which the end
 * takes its way. Answers to stop and wait come after that, the runtime folder goes, and the process ends; with it goes the
 * lock.
 *
 * Everything that is judged here is judged by what the host sees; what the guest says is kept apart in `live` (H3).
 * Who may do what in which state and phase: supervisor_state.h.
 */
#include "vmm/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/claim.h"
#include "vmm/supervisor/launch.h"
#include "vmm/supervisor/main_command.h"
#include "vmm/supervisor/requests.h"
#include "vmm/supervisor/starter.h"
#include "vmm/supervisor/stop_phases.h"
#include "vmm/supervisor/supervisor_state.h"

#define READY_WAIT_MS (5 * 60 * 1000) /* from spawn to the agent's ready, on the slowest host */

static void take_signal(void *data, uint32_t events)
{
	struct supervisor *s = data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			children_reap(s);
		} else if (s->phase == PHASE_UP) {
			supervisor_set_reason(
				s, "its supervisor was told to end (signal %u)", info.ssi_signo);
			stop_begin(s, LIFECYCLE_ASKED_TO_STOP, STOP_GRACE_MS);
		}
	}
}

static void time_is_up(void *data)
{
	struct supervisor *s = data;

	if (s->phase != PHASE_UP)
		return;
	supervisor_set_reason(s, "timeout: its %llu s of wall time are over",
		(unsigned long long)(s->record.spec.timeout_ms / 1000));
	stop_begin(s, LIFECYCLE_ASKED_TO_STOP, STOP_GRACE_MS);
}

static void not_ready_in_time(void *data)
{
	struct supervisor *s = data;

	supervisor_set_reason(s, "the guest was not ready within %d s", READY_WAIT_MS / 1000);
	stop_begin_fault(s);
}

static int add_timers(struct supervisor *s)
{
	int r = loop_add_timer(s->loop, not_ready_in_time, s, &s->ready_timer);

	if (r == 0)
		r = loop_add_timer(s->loop, time_is_up, s, &s->timeout_timer);
	if (r == 0)
		r = stop_add_timers(s);
	return r < 0 ? r : main_command_add_timer(s);
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
	if (r == 0)
		r = starter_watch(s);
	return r < 0 ? err_set(err, r, "supervisor: %s", strerror(-r)) : 0;
}

static int listen_control(struct supervisor *s, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_runtime(&s->paths, s->record.spec.name, "control.sock", path, err);

	return r < 0 ? r : control_server_create(s->loop, path, request_take, s, &s->control, err);
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
	supervisor_set_reason(s, "%.255s", err->text);
	s->record.ended_at = (uint64_t)time(NULL);
	if (s->is_new)
		registry_remove(&s->paths, s->record.spec.name, NULL);
	else
		supervisor_change(s, LIFECYCLE_ALL_GONE);
}

static void finish(struct supervisor *s)
{
	remove_runtime(s);
	control_server_destroy(s->control);
	egress_destroy(s->egress);
	audit_log_destroy(s->audit);
	boot_plan_finish(&s->plan);
	backend_processes_finish(&s->processes);
	loop_remove(TAKE_PTR(s->progress_source));
	loop_destroy(s->loop);
	record_finish(&s->record);
	close_keeping_errno(s->signal_fd);
	close_keeping_errno(s->environment_fd);
	close_keeping_errno(s->lock_fd);
	starter_finish(s);
	free(s);
}

static int launch(struct supervisor *s, const char **ret_stage, struct err *err)
{
	int r = launch_prepare(s, ret_stage, err);

	if (r < 0)
		return r;
	*ret_stage = "launch";
	r = make_loop(s, err);
	if (r == 0)
		r = listen_control(s, err);
	return r < 0 ? r : launch_spawn(s, ret_stage, err);
}

static struct supervisor *create(int progress_fd, int environment_fd)
{
	struct supervisor *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->progress_fd = progress_fd;
	s->environment_fd = environment_fd;
	s->lock_fd = s->signal_fd = -1;
	record_init(&s->record);
	backend_processes_init(&s->processes);
	boot_plan_init(&s->plan, &s->record.spec, &s->paths);
	s->vmm.process = &s->processes.vmm;
	s->link.process = &s->processes.link;
	return s;
}

/* A claimed sandbox, to its end. 0: it ran, whatever became of it. */
static int run(struct supervisor *s)
{
	const char *stage = "claim";
	struct err err = {};
	int r;

	open_own_log(s);
	r = launch(s, &stage, &err);
	if (r < 0)
		starter_tell_failure(s, &err, stage);
	if (r < 0 && !s->spawned) {
		forget_failed_start(s, &err);
		return r;
	}
	if (r < 0) {
		supervisor_set_reason(s, "%.255s", err.text);
		stop_begin_fault(s);
	} else {
		arm_timers(s);
	}
	return loop_run(s->loop);
}

int supervisor_run(struct spec *spec, int progress_fd, int environment_fd)
{
	struct supervisor *s = create(progress_fd, environment_fd);
	struct err err = {};
	int r;

	if (!s)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	r = claim_sandbox(s, spec, &err);
	if (r < 0) {
		if (s->is_new && s->record.spec.name[0])
			registry_remove(&s->paths, s->record.spec.name, NULL);
		starter_tell_failure(s, &err, "claim");
	} else {
		r = run(s);
	}
	finish(s);
	return r < 0;
}
