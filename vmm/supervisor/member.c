/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/member.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/stop_phases.h"

#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS	 10000
#define RESTART_CALM_MS	 60000 /* without an end: the next one waits RESTART_FIRST_MS again */

void member_init(struct member *m, struct supervisor *s, void *owner, const char *name)
{
	*m = (struct member){ .supervisor = s, .owner = owner, .control_fd = -1 };
	jailed_child_init(&m->process, name);
}

void member_finish(struct member *m)
{
	if (m->watched)
		child_forget(&m->child);
	m->watched = false;
	jailed_child_finish(&m->process);
	close_keeping_errno(TAKE_FD(m->control_fd));
}

bool member_alive(const struct member *m)
{
	return m->watched && child_is_alive(&m->child);
}

struct member *member_of(struct child *c)
{
	return c->data;
}

int member_begin(struct member *m, struct child_command *c, struct err *err)
{
	struct supervisor *s = m->supervisor;
	int theirs = -1, r;

	member_finish(m);
	member_init(m, s, m->owner, m->process.name);
	r = socket_pair(SOCK_SEQPACKET, &m->control_fd, &theirs, err);
	if (r < 0)
		return r;
	child_command_add(c, "%s", m->process.name);
	child_command_add(c, "--name");
	child_command_add(c, "%s", s->record.spec.name);
	child_command_add_fd(c, "--lifeline-fd", s->processes.lifeline_end_fd);
	child_command_add_fd(c, "--lock-fd", s->lock_fd);
	child_command_add_fd(c, "--control-fd", theirs);
	return theirs;
}

int member_spawn(struct member *m, struct child_command *c, int theirs,
	const struct child_place *place, const struct child_kind *kind, const char *log_name,
	struct err *err)
{
	int r = jailed_child_spawn(&m->process, c, place, err), watched;

	close_keeping_errno(theirs);
	if (m->process.id.pid <= 0)
		return r;
	m->child = (struct child){ .data = m };
	watched = child_watch(
		m->supervisor, &m->child, &m->process, kind, log_name, r == 0 ? err : NULL);
	m->watched = true;
	return r < 0 ? r : watched;
}

void member_note_isolation(struct member *m, const struct event *e)
{
	if (!m->layers)
		m->layers = e->value[0] & 0xffffff;
}

bool member_ended(struct member *m, int status)
{
	if (m->supervisor->phase != PHASE_UP)
		return false;
	/* What runs is not ended for a replacement that fails: it is tried again. */
	if (!m->layers && !m->supervisor->ready) {
		child_explain_end(&m->child, status);
		stop_begin_fault(m->supervisor);
		return false;
	}
	log_warn("%s ended (%s %d): it is replaced", m->process.name,
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return true;
}

uint64_t backoff_next(struct backoff *b)
{
	uint64_t now = clock_monotonic_ms();

	if (now - b->ended_ms > RESTART_CALM_MS)
		b->wait_ms = 0;
	b->ended_ms = now;
	b->wait_ms = b->wait_ms ? MIN(b->wait_ms * 2, (uint64_t)RESTART_MAX_MS) : RESTART_FIRST_MS;
	return b->wait_ms;
}
