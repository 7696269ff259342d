/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/children.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/link_events.h"
#include "vmm/supervisor/stop_phases.h"
#include "vmm/supervisor/vmm_events.h"

#define LAST_TURN 4096 /* records of one that has ended: more than a socket holds */

bool child_is_alive(const struct child *c)
{
	return c->started && !c->gone;
}

void child_signal(struct child *c, int signal)
{
	if (child_is_alive(c))
		process_id_signal(&c->process->id, signal);
}

bool children_any_alive(const struct supervisor *s)
{
	for (const struct child *c = s->children; c; c = c->next)
		if (child_is_alive(c))
			return true;
	return false;
}

static void take_log(void *data, uint32_t events)
{
	struct child *c = data;
	char buffer[4096];
	ssize_t n = read(c->process->stderr_fd, buffer, sizeof(buffer));

	(void)events;
	if (n > 0)
		child_log_take(&c->log, buffer, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		loop_remove(TAKE_PTR(c->log_source));
}

void child_drain_events(struct child *c, int most)
{
	uint8_t wire[EVENT_SIZE + 1];
	struct event event;
	ssize_t n = -1;

	for (int i = 0; i < most && c->process->event_fd >= 0; i++) {
		n = recv(c->process->event_fd, wire, sizeof(wire), MSG_DONTWAIT);
		if (n <= 0)
			break;
		if (event_decode(wire, (uint64_t)n, &event) < 0)
			log_ratelimited(LOG_WARN, "%s: a malformed record", c->process->name);
		else
			c->kind->event(c, &event);
	}
	if (n == 0)
		loop_remove(TAKE_PTR(c->event_source)); /* its end will be reaped */
}

static void take_events(void *data, uint32_t events)
{
	(void)events;
	child_drain_events(data, CHILD_TURN);
}

int child_watch(struct supervisor *s, struct child *c, struct jailed_child *process,
	const struct child_kind *kind, const char *log_name, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(&s->paths, s->record.spec.name, log_name, path, err);

	c->supervisor = s;
	c->process = process;
	c->kind = kind;
	c->next = s->children;
	s->children = c;
	c->started = process->id.pid > 0;
	if (r < 0 || !c->started)
		return r;
	child_log_init(
		&c->log, open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
	r = loop_add_fd(s->loop, process->event_fd, EPOLLIN, take_events, c, &c->event_source);
	if (r == 0)
		r = loop_add_fd(s->loop, process->stderr_fd, EPOLLIN, take_log, c, &c->log_source);
	return r < 0 ? err_set(err, r, "%s: it cannot be watched: %s", process->name, strerror(-r))
		     : 0;
}

void child_forget(struct child *c)
{
	struct child **at = &c->supervisor->children;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	loop_remove(TAKE_PTR(c->event_source));
	loop_remove(TAKE_PTR(c->log_source));
	close_keeping_errno(c->log.file.fd);
	c->log.file.fd = -1;
}

void child_explain_end(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	const char *name = c->process->name;

	if (WIFSIGNALED(status))
		supervisor_set_reason(s, "%s was ended by signal %d", name, WTERMSIG(status));
	else
		supervisor_set_reason(
			s, "%s failed: %s", name, *c->log.tail ? c->log.tail : "it said nothing");
}

static void vmm_event(struct child *c, const struct event *e)
{
	vmm_event_take(c->supervisor, e);
}

static void vmm_ended(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	bool known;

	if (s->end == MACHINE_END_NONE && WIFEXITED(status)) /* its record was lost */
		s->end = machine_end_of_exit(WEXITSTATUS(status));
	known = s->end != MACHINE_END_NONE;
	if (s->phase == PHASE_UP && known)
		supervisor_set_reason(s, "%s", lifecycle_end_reason(s->end));
	else if (s->phase == PHASE_UP)
		child_explain_end(c, status);
	stop_after_vmm(s, !known || lifecycle_end_is_fault(s->end));
}

static void link_event(struct child *c, const struct event *e)
{
	link_event_take(c->supervisor, e);
}

static void link_ended(struct child *c, int status)
{
	if (c->supervisor->phase != PHASE_UP)
		return;
	child_explain_end(c, status);
	stop_begin_fault(c->supervisor);
}

const struct child_kind child_kind_vmm = { .event = vmm_event, .ended = vmm_ended };
const struct child_kind child_kind_link = { .event = link_event, .ended = link_ended };

static void child_ended(struct child *c, int status)
{
	child_drain_events(c, LAST_TURN); /* what it said last comes before its end */
	if (c->log_source)
		take_log(c, EPOLLIN);
	c->gone = true;
	c->kind->ended(c, status);
}

static struct child *find_child(const struct supervisor *s, pid_t pid)
{
	for (struct child *c = s->children; c; c = c->next)
		if (child_is_alive(c) && c->process->id.pid == pid)
			return c;
	return NULL; /* an orphan that came to us */
}

void children_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = find_child(s, pid);

		if (c)
			child_ended(c, status);
	}
	if (s->phase != PHASE_UP)
		stop_finish_if_gone(s);
}
