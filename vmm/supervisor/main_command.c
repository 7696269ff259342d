/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/main_command.h"

#include "vmm/link/control.h"
#include "vmm/supervisor/operations.h"
#include "vmm/supervisor/stop_phases.h"

#define LATE_ATTACH_MS	   5000 /* a command that ended before its starter could attach */
#define ATTACHED_LINGER_MS 500

static void stop_after_command(void *data)
{
	struct supervisor *s = data;

	supervisor_set_reason(s, "its command ended with exit code %d", (int)s->record.exit_code);
	stop_begin(s, LIFECYCLE_ASKED_TO_STOP, STOP_GRACE_MS);
}

int main_command_add_timer(struct supervisor *s)
{
	return loop_add_timer(s->loop, stop_after_command, s, &s->linger_timer);
}

bool main_command_start(struct supervisor *s)
{
	struct err err = {};

	if (!s->record.spec.command[0])
		return true;
	if (operation_start_session(s->processes.control_fd, &s->record.spec, &err) < 0) {
		supervisor_set_reason(s, "the command could not be started: %.180s", err.text);
		stop_begin_fault(s);
		return false;
	}
	s->live.session_running = true;
	return true;
}

void main_command_attached(struct supervisor *s)
{
	s->attached_once = true;
	if (s->session_ended)
		loop_timer_set(s->linger_timer, ATTACHED_LINGER_MS);
}

void main_command_ended(struct supervisor *s, const struct event *e)
{
	bool wait = s->record.spec.await_attach && !s->attached_once;
	json_t *event = supervisor_event_json("command-ended");

	s->live.session_running = false;
	s->session_ended = true;
	/* Lost with a machine that is ending, it has no code of its own. */
	if (s->phase == PHASE_UP || (e->value[0] & 0xff) != LINK_SESSION_FAILED)
		s->record.exit_code = (int32_t)(e->value[0] & 0xff);
	json_object_set_new(event, "exit_code", json_integer(s->record.exit_code));
	supervisor_push(s, event);
	supervisor_save(s);
	if (s->phase == PHASE_UP) /* else what ends it already is the reason */
		loop_timer_set(s->linger_timer, wait ? LATE_ATTACH_MS : ATTACHED_LINGER_MS);
}
