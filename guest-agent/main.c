/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-agent: PID 1 of a guest.
 *
 * Theory of operation. Set-up runs straight through, and what it cannot do without ends the machine (REFUSED, a line in
 * the kernel's log, power off). Then one loop: the host's control messages, new operation streams (each forked into
 * a worker at once, workers.h), the dead (all of them: PID 1 inherits every orphan), the workers' audit records, the
 * kernel's log, a heartbeat; a process for what the workload wants to reach (outward.h). PID 1 parses the control stream only and never waits for anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/console.h"
#include "guest-agent/control.h"
#include "guest-agent/health.h"
#include "guest-agent/modules.h"
#include "guest-agent/mounts.h"
#include "guest-agent/outward.h"
#include "guest-agent/root.h"
#include "guest-agent/shutdown.h"
#include "guest-agent/system.h"
#include "guest-agent/workers.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"

#ifndef AGENT_BUILD
#define AGENT_BUILD "unknown"
#endif

#define KMSG_RECORDS_MAX 64 /* taken in one go */

struct agent {
	struct control control;
	struct protocol_welcome welcome;
	uint8_t *welcome_bytes;
	uint64_t started_ns;
	uint32_t degraded;
	int modules_fd;
	int signal_fd, kmsg_fd, audit_fd;
	struct workers workers;
	struct loop *loop;
	struct loop_source *control_source;
	struct loop_source *heartbeat;
	struct outward outward;
};

static struct agent the_agent = {
	.control = { .fd = -1 },
	.modules_fd = -1,
	.signal_fd = -1,
	.kmsg_fd = -1,
	.audit_fd = -1,
	.workers = { .listen_fd = -1, .audit_fd = -1, .welcome = &the_agent.welcome },
};

/* -- words to the host -- */

static void send_ready(struct agent *a)
{
	struct protocol_ready ready = { clock_monotonic_ns() - a->started_ns, a->degraded };
	uint8_t body[64];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	protocol_put_ready(&w, &ready);
	control_send(&a->control, PROTOCOL_READY, &w);
}

static void send_health(struct agent *a)
{
	struct protocol_health health;
	uint8_t body[128];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	health_measure(&health, a->degraded);
	health.operations = a->workers.count;
	protocol_put_health(&w, &health);
	control_send(&a->control, PROTOCOL_HEALTH, &w);
}

static void send_audit(struct agent *a, const struct protocol_audit *audit)
{
	uint8_t body[64];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	protocol_put_audit(&w, audit);
	control_send(&a->control, PROTOCOL_AUDIT, &w);
}

/* -- the ways to end -- */

static void end_guest(struct agent *a, enum protocol_shutdown_kind kind, bool own_wish)
{
	send_audit(a, &(struct protocol_audit){ PROTOCOL_AUDIT_SHUTDOWN, { kind, own_wish } });
	shutdown_now(kind, &a->welcome);
}

/* Set-up failed: say it wherever somebody may hear it. */
static void refuse(struct agent *a, int code, enum protocol_stage stage, const struct err *err)
{
	struct protocol_refused refused = { (uint32_t)-code, stage };
	uint8_t body[64];
	struct bytes_writer w = bytes_writer(body, sizeof(body));

	log_error("%s: %s", protocol_stage_text(stage), err->text);
	protocol_put_refused(&w, &refused);
	control_send(&a->control, PROTOCOL_REFUSED, &w);
	shutdown_now(PROTOCOL_SHUTDOWN_POWEROFF, NULL);
}

/* -- operations and signals -- */

static void on_listen(void *data, uint32_t events)
{
	struct agent *a = data;

	(void)events;
	workers_accept(&a->workers);
}

static void on_signal(void *data, uint32_t events)
{
	struct agent *a = data;
	struct signalfd_siginfo info;
	pid_t pid;

	(void)events;
	if (read(a->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			if (!outward_note_dead(&a->outward, pid))
				workers_note_dead(&a->workers, pid);
		return;
	case SIGINT: /* ctrl-alt-del */
		end_guest(a, PROTOCOL_SHUTDOWN_REBOOT, true);
		return;
	case SIGTERM:
	case SIGPWR:
	case SIGUSR1:
	case SIGUSR2:
		end_guest(a, PROTOCOL_SHUTDOWN_POWEROFF, true);
		return;
	}
}

/* -- what workers and the kernel have to say -- */

static void on_audit(void *data, uint32_t events)
{
	struct agent *a = data;
	struct protocol_audit audit;
	uint8_t record[64];
	ssize_t n = recv(a->audit_fd, record, sizeof(record), MSG_DONTWAIT);

	(void)events;
	if (n > 0 && protocol_get_audit(record, (size_t)n, &audit))
		send_audit(a, &audit);
}

static void on_kmsg(void *data, uint32_t events)
{
	struct agent *a = data;
	char record[2048];
	uint64_t pid;

	(void)events;
	for (int i = 0; i < KMSG_RECORDS_MAX; i++) {
		ssize_t n = read(a->kmsg_fd, record, sizeof(record) - 1);

		if (n < 0 && errno == EPIPE)
			continue; /* records were lost: go on with the next */
		if (n <= 0)
			return;
		record[n] = '\0';
		if (health_oom_kill(record, &pid))
			send_audit(a, &(struct protocol_audit){ PROTOCOL_AUDIT_OOM_KILL, { pid } });
	}
}

/* -- the host's words -- */

static void set_time(struct agent *a, uint64_t time_ns)
{
	int64_t step = 0;

	if (system_set_time(time_ns, &step) < 0) {
		a->degraded |= PROTOCOL_DEGRADED_CLOCK;
		return;
	}
	a->degraded &= ~(uint32_t)PROTOCOL_DEGRADED_CLOCK;
	send_audit(a, &(struct protocol_audit){ PROTOCOL_AUDIT_TIME_SET,
			      { step < 0 ? -(uint64_t)step : (uint64_t)step, step < 0 } });
}

static void take_message(void *data, const struct protocol_head *head, const uint8_t *payload)
{
	struct agent *a = data;
	enum protocol_shutdown_kind kind;
	uint64_t time_ns;

	if (head->type == PROTOCOL_SHUTDOWN && protocol_get_shutdown(payload, head->len, &kind))
		end_guest(a, kind, false);
	else if (head->type == PROTOCOL_TIME_SET &&
		 protocol_get_time_set(payload, head->len, &time_ns))
		set_time(a, time_ns);
	else if (head->type == PROTOCOL_HEALTH_REQUEST)
		send_health(a);
}

static void watch_control(struct agent *a)
{
	(void)loop_modify(
		a->control_source, control_wants_out(&a->control) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void on_control(void *data, uint32_t events)
{
	struct agent *a = data;
	int r = control_flush(&a->control);

	if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = control_read(&a->control, take_message, a);
	if (r < 0) {
		/* Without its host a guest serves nobody. */
		log_error("control stream: %s", strerror(-r));
		shutdown_now(PROTOCOL_SHUTDOWN_POWEROFF, &a->welcome);
	}
	watch_control(a);
}

static void on_heartbeat(void *data)
{
	struct agent *a = data;

	send_health(a);
	watch_control(a);
	(void)loop_timer_set(a->heartbeat, PROTOCOL_HEARTBEAT_MS);
}

/* -- set-up -- */

static void set_signals(struct agent *a)
{
	static const int taken[] = { SIGCHLD, SIGINT, SIGTERM, SIGPWR, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	(void)reboot(RB_DISABLE_CAD); /* ctrl-alt-del comes as SIGINT */
}

static int early(struct agent *a, struct err *err)
{
	int r;

	(void)setsid();
	umask(022);
	r = mounts_early(err);
	console_open();
	set_signals(a);
	if (r < 0)
		return r;
	a->modules_fd = open(MODULES_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->modules_fd >= 0 && modules_load(a->modules_fd, "order"))
		a->degraded |= PROTOCOL_DEGRADED_MODULES;
	if (!mounts_cgroup())
		a->degraded |= PROTOCOL_DEGRADED_CGROUP;
	return 0;
}

static void apply_welcome(struct agent *a)
{
	const struct protocol_welcome *w = &a->welcome;
	int64_t step;

	if (w->time_ns && system_set_time(w->time_ns, &step) < 0)
		a->degraded |= PROTOCOL_DEGRADED_CLOCK;
	if (w->seed_len && system_add_entropy(w->seed, w->seed_len) < 0)
		a->degraded |= PROTOCOL_DEGRADED_ENTROPY;
	if (system_set_hostname(w->hostname) < 0)
		a->degraded |= PROTOCOL_DEGRADED_HOSTNAME;
	if (system_raise_loopback() < 0)
		a->degraded |= PROTOCOL_DEGRADED_LOOPBACK;
}

static int open_audit(struct agent *a, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_set(err, -errno, "audit: %s", strerror(errno));
	a->audit_fd = ends[0];
	a->workers.audit_fd = ends[1];
	a->kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (a->kmsg_fd >= 0)
		(void)lseek(a->kmsg_fd, 0, SEEK_END);
	return 0;
}

static int make_loop(struct agent *a, struct err *err)
{
	struct loop_source *source;
	int r = loop_create(&a->loop);

	if (r == 0)
		r = loop_add_fd(a->loop, a->signal_fd, EPOLLIN, on_signal, a, &source);
	if (r == 0)
		r = loop_add_fd(a->loop, a->control.fd, EPOLLIN, on_control, a, &a->control_source);
	if (r == 0)
		r = loop_add_fd(a->loop, a->workers.listen_fd, EPOLLIN, on_listen, a, &source);
	if (r == 0)
		r = loop_add_fd(a->loop, a->audit_fd, EPOLLIN, on_audit, a, &source);
	if (r == 0 && a->kmsg_fd >= 0)
		r = loop_add_fd(a->loop, a->kmsg_fd, EPOLLIN, on_kmsg, a, &source);
	if (r == 0)
		r = loop_add_timer(a->loop, on_heartbeat, a, &a->heartbeat);
	if (r < 0)
		return err_set(err, r, "the loop: %s", strerror(-r));
	return loop_timer_set(a->heartbeat, PROTOCOL_HEARTBEAT_MS);
}

/* What a workload may need a moment later: nobody waits for it. Devices that appear are opened to the user. */
static void load_later_modules(struct agent *a)
{
	pid_t pid;

	if (a->modules_fd < 0)
		return;
	pid = fork();
	if (pid == 0) {
		if (!a->outward.offered)
			(void)modules_load(a->modules_fd, MODULES_EGRESS);
		(void)modules_load(a->modules_fd, "later");
		(void)chmod("/dev/fuse", 0666);
		(void)chmod("/dev/net/tun", 0666);
		_exit(0);
	}
	close(TAKE_FD(a->modules_fd));
}

static int set_up(struct agent *a, enum protocol_stage *stage, struct err *err)
{
	int r;

	*stage = PROTOCOL_STAGE_EARLY;
	r = early(a, err);
	if (r < 0)
		return r;
	*stage = PROTOCOL_STAGE_WELCOME;
	r = control_connect(&a->control, err);
	if (r == 0)
		r = control_greet(&a->control, AGENT_BUILD, &a->welcome, &a->welcome_bytes, err);
	if (r < 0)
		return r;
	apply_welcome(a);
	r = root_build(&a->welcome, &a->degraded, stage, err);
	if (r < 0)
		return r;
	a->degraded |= outward_set_up(&a->outward, &a->welcome, a->modules_fd);
	*stage = PROTOCOL_STAGE_LISTEN;
	r = workers_listen(&a->workers, err);
	if (r == 0)
		r = open_audit(a, err);
	if (r == 0)
		r = make_loop(a, err);
	return r < 0 ? r : outward_start(&a->outward, a->loop);
}

int main(void)
{
	struct agent *a = &the_agent;
	enum protocol_stage stage = PROTOCOL_STAGE_NONE;
	struct err err = {};
	int r;

	if (getpid() != 1) {
		(void)!write(STDERR_FILENO, "sandbox-agent: runs as a guest's PID 1 only\n", 44);
		return 2;
	}
	a->started_ns = clock_monotonic_ns();
	r = set_up(a, &stage, &err);
	if (r < 0)
		refuse(a, r, stage, &err);
	send_ready(a);
	load_later_modules(a);
	r = loop_run(a->loop);
	log_error("the loop ended: %s", strerror(-r));
	shutdown_now(PROTOCOL_SHUTDOWN_POWEROFF, &a->welcome);
}
