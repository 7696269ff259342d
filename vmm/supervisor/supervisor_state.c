/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/supervisor_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "vmm/base/log.h"
#include "vmm/supervisor/audit_forward.h"
#include "vmm/supervisor/audit_log.h"

void supervisor_save(struct supervisor *s)
{
	struct err err = {};

	if (registry_save(&s->paths, &s->record, &err) < 0)
		log_warn("%s", err.text);
}

json_t *supervisor_status(struct supervisor *s)
{
	const struct audit_forward *forward = audit_log_forward(s->audit);

	if (forward) {
		s->live.forward = audit_forward_word(forward);
		s->live.forward_error = forward->error;
		s->live.not_forwarded = forward->lost_before + forward->lost;
	}
	s->live.heartbeat_age_ms = s->heard_ms ? clock_monotonic_ms() - s->heard_ms : 0;
	if (s->egress) {
		s->live.egress_state = egress_state_word(s->egress);
		s->live.audit_error = audit_log_error(s->audit);
		s->live.policy_digest = egress_plan_of(s->egress)->policy.digest;
		s->live.project = &egress_plan_of(s->egress)->policy.project;
		s->live.egress_layers = egress_layers(s->egress);
	}
	return status_data(&s->record, &s->live, true);
}

json_t *supervisor_event_json(const char *name)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:s, s:I}", "event", name, "time_ns",
		(json_int_t)now.tv_sec * 1000000000 + (json_int_t)now.tv_nsec);
}

void supervisor_push(struct supervisor *s, json_t *event)
{
	if (s->control)
		control_server_push(s->control, event);
	else
		json_decref(event);
}

static void push_state(struct supervisor *s)
{
	json_t *event = supervisor_event_json("state");

	json_object_set_new(event, "state", json_string(lifecycle_name(s->record.state)));
	json_object_set_new(event, "reason", json_string(s->record.reason));
	supervisor_push(s, event);
}

bool supervisor_change(struct supervisor *s, enum lifecycle_event event)
{
	enum lifecycle_state next;

	if (lifecycle_next(s->record.state, event, s->faulted, &next) < 0) {
		log_error("event %d in state %s: ignored", (int)event,
			lifecycle_name(s->record.state));
		return false;
	}
	s->record.state = next;
	supervisor_save(s);
	push_state(s);
	audit_log_state(s->audit);
	return true;
}

void supervisor_set_reason(struct supervisor *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->record.reason, sizeof(s->record.reason), format, args);
	va_end(args);
}

void supervisor_note_isolation(struct supervisor *s, uint64_t *layers, const struct event *e)
{
	if (*layers)
		return;
	*layers = e->value[0] & 0xffffff;
	supervisor_save(s);
}
