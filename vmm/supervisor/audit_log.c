/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit_log.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/audit/audit_open.h"
#include "vmm/supervisor/audit/audit_sender.h"
#include "vmm/supervisor/audit/store.h"
#include "vmm/supervisor/audit_forward.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/member.h"

#define DETAIL_MAX 512
#define SOCKET_BYTES                                                                               \
	16384 /* the kernel doubles it: a few dozen records, the others wait at their sender, who knows then */

struct audit_log {
	struct supervisor *supervisor;
	struct member writer;
	char folder[PATH_MAX];
	int key_fd;
	struct audit_forward forward;
	int sender_fds[AUDIT_LOG_SENDERS], writer_fds[AUDIT_LOG_SENDERS];
	struct audit_sender *host, *guest; /* our own two */
	struct loop_source *timer;
	struct backoff backoff;
	int error; /* what the writer said it cannot write for */
	bool ending;
};

static void writer_event(struct child *c, const struct event *e)
{
	struct audit_log *log = member_of(c)->owner;

	switch (e->kind) {
	case EVENT_AUDIT_ISOLATED:
		member_note_isolation(&log->writer, e);
		break;
	case EVENT_AUDIT_STALLED:
		log->error = e->value[0] > 0 && e->value[0] < 4096 ? (int)e->value[0] : EIO;
		log_error("the audit log cannot be written (%s): egress stops",
			store_error_words(log->error));
		break;
	case EVENT_AUDIT_RESUMED:
		log->error = 0;
		log_warn("the audit log is written again");
		break;
	case EVENT_AUDIT_FORWARD:
		audit_forward_told(
			&log->forward, (int)MIN(e->value[0], UINT64_C(4095)), e->value[1]);
		break;
	default:
		break; /* EVENT_AUDIT_FAILED: its last line says more */
	}
}

static void writer_ended(struct child *c, int status)
{
	struct member *m = member_of(c);
	struct audit_log *log = m->owner;

	if (!log->ending && member_ended(m, status)) {
		log->error = EPIPE;
		loop_timer_set(log->timer, backoff_next(&log->backoff));
	}
}

static const struct child_kind writer_kind = { .event = writer_event, .ended = writer_ended };

static int spawn_writer(struct audit_log *log, struct err *err)
{
	static const char *const sources[] = {
		[AUDIT_LOG_SUPERVISOR] = "host",
		[AUDIT_LOG_GUEST] = "guest",
		[AUDIT_LOG_PROXY] = "host",
		[AUDIT_LOG_INJECTORS] = "host",
	};
	struct supervisor *s = log->supervisor;
	struct child_place place = { geteuid(), getegid(), s->plan.cgroup };
	struct child_command c = {};
	int theirs = member_begin(&log->writer, &c, err);

	if (theirs < 0)
		return theirs;
	audit_forward_begin(&log->forward);
	child_command_add(&c, "--sandbox");
	child_command_add(&c, "%s", s->record.spec.name);
	child_command_add(&c, "--instance");
	child_command_add(&c, "%s", s->record.instance);
	child_command_add(&c, "--folder");
	child_command_add(&c, "%s", log->folder);
	child_command_add_fd(&c, "--key-fd", log->key_fd);
	if (log->forward.fd >= 0) {
		child_command_add(&c, "--forward");
		child_command_add(
			&c, "%s", s->config.forward == FORWARD_JOURNALD ? "journald" : "syslog");
		child_command_add_fd(&c, "--forward-fd", log->forward.fd);
	}
	for (size_t i = 0; i < AUDIT_LOG_SENDERS; i++) {
		child_command_add(&c, "--source");
		child_command_add(
			&c, "%d:%s", child_command_give(&c, log->writer_fds[i]), sources[i]);
	}
	return member_spawn(&log->writer, &c, theirs, &place, &writer_kind, "audit.log", err);
}

static void restart(void *data)
{
	struct audit_log *log = data;
	struct err err = {};

	if (log->ending || log->supervisor->phase != PHASE_UP)
		return;
	if (spawn_writer(log, &err) < 0) {
		log_error("audit: %s", err.text);
		loop_timer_set(log->timer, backoff_next(&log->backoff));
		return;
	}
	log->error = 0;
}

static int make_socket(struct audit_log *log, size_t sender, struct err *err)
{
	const int size = SOCKET_BYTES;
	int *fd = &log->sender_fds[sender];
	int r = socket_pair(SOCK_SEQPACKET, fd, &log->writer_fds[sender], err);

	if (r == 0 && setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		r = err_set(err, -errno, "audit: %m");
	return r;
}

int audit_log_create(struct supervisor *s, struct audit_log **ret, struct err *err)
{
	struct audit_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return err_set(err, -ENOMEM, "audit: no memory");
	*ret = log;
	log->supervisor = s;
	log->key_fd = -1;
	audit_forward_init(&log->forward);
	member_init(&log->writer, s, log, "sandbox-audit");
	for (size_t i = 0; i < AUDIT_LOG_SENDERS; i++)
		log->sender_fds[i] = log->writer_fds[i] = -1;
	r = audit_open(&s->paths, s->record.spec.name, &log->key_fd, log->folder, err);
	if (r == 0)
		r = audit_forward_open(&log->forward, s->config.forward, NULL, err);
	for (size_t i = 0; r == 0 && i < AUDIT_LOG_SENDERS; i++)
		r = make_socket(log, i, err);
	return r;
}

void audit_log_destroy(struct audit_log *log)
{
	if (!log)
		return;
	audit_sender_destroy(log->host);
	audit_sender_destroy(log->guest);
	loop_remove(log->timer);
	member_finish(&log->writer);
	for (size_t i = 0; i < AUDIT_LOG_SENDERS; i++) {
		close_keeping_errno(log->sender_fds[i]);
		close_keeping_errno(log->writer_fds[i]);
	}
	close_keeping_errno(log->key_fd);
	audit_forward_finish(&log->forward);
	free(log);
}

int audit_log_start(struct audit_log *log, struct err *err)
{
	struct loop *loop = log->supervisor->loop;
	int r = loop_add_timer(loop, restart, log, &log->timer);

	if (r == 0)
		r = audit_forward_watch(&log->forward, loop);
	if (r == 0)
		r = audit_sender_create(loop, log->sender_fds[AUDIT_LOG_SUPERVISOR], &log->host);
	if (r == 0)
		r = audit_sender_create(loop, log->sender_fds[AUDIT_LOG_GUEST], &log->guest);
	if (r < 0)
		return err_set(err, r, "audit: %s", strerror(-r));
	audit_log_state(log);
	return spawn_writer(log, err);
}

int audit_log_fd(const struct audit_log *log, enum audit_log_sender sender)
{
	return log ? log->sender_fds[sender] : -1;
}

static uint64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct audit_bytes bytes_of(const char *text)
{
	return (struct audit_bytes){ (const uint8_t *)text, strlen(text) };
}

static void record(struct audit_sender *sender, enum audit_kind kind, enum audit_decision decision,
	const char *rule, const char *detail)
{
	struct audit_event event = { .kind = (uint8_t)kind,
		.decision = (uint8_t)decision,
		.count = 1,
		.time_ns = wall_clock_ns() };

	event.text[AUDIT_RULE] = bytes_of(rule);
	event.text[AUDIT_DETAIL] = bytes_of(detail);
	if (sender && audit_sender_send(sender, &event) < 0)
		log_ratelimited(LOG_ERROR, "the audit log takes nothing: lost: %s", detail);
}

void audit_log_host(struct audit_log *log, enum audit_kind kind, enum audit_decision decision,
	const char *rule, const char *format, ...)
{
	char detail[DETAIL_MAX];
	va_list args;

	if (!log)
		return;
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	record(log->host, kind, decision, rule, detail);
}

void audit_log_guest(struct audit_log *log, const char *what, const char *format, ...)
{
	char detail[DETAIL_MAX];
	va_list args;

	if (!log)
		return;
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	record(log->guest, AUDIT_AGENT, AUDIT_DECISION_NONE, what, detail);
}

void audit_log_state(struct audit_log *log)
{
	const struct record *record = log ? &log->supervisor->record : NULL;

	if (log)
		audit_log_host(log, AUDIT_LIFECYCLE, AUDIT_DECISION_NONE, "", "%s%s%s",
			lifecycle_name(record->state), *record->reason ? ": " : "", record->reason);
}

const struct child *audit_log_writer(const struct audit_log *log)
{
	return log && member_alive(&log->writer) ? &log->writer.child : NULL;
}

void audit_log_end(struct audit_log *log)
{
	const struct supervisor *s = log ? log->supervisor : NULL;

	if (!log || log->ending || !member_alive(&log->writer))
		return;
	for (const struct child *c = s->children; c; c = c->next)
		if (c != &log->writer.child && child_is_alive(c))
			return;
	log->ending = true;
	audit_log_host(log, AUDIT_LIFECYCLE, AUDIT_DECISION_NONE, "", "ended: %s, exit code %d",
		s->record.reason, s->record.exit_code);
	audit_sender_destroy(TAKE_PTR(log->host));
	audit_sender_destroy(TAKE_PTR(log->guest));
	child_signal(&log->writer.child, SIGTERM);
}

int audit_log_error(const struct audit_log *log)
{
	return log ? log->error : 0;
}

const struct audit_forward *audit_log_forward(const struct audit_log *log)
{
	return log && log->forward.fd >= 0 ? &log->forward : NULL;
}

uint64_t audit_log_layers(const struct audit_log *log)
{
	return log ? log->writer.layers : 0;
}
