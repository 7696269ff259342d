/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/link_events.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "guest-agent/protocol/messages.h"
#include "guest-agent/protocol/stream.h"
#include "vmm/base/array.h"
#include "vmm/link/control.h"
#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/main_command.h"
#include "vmm/supervisor/starter.h"
#include "vmm/supervisor/stop_phases.h"

#define CLOCK_STEP_NS                                                                              \
	500000000 /* a wall clock that moved this far from the monotonic one was set, or slept */

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

/* H4: each has said what is in force before the guest could run; it may still wait to be read. */
static bool check_isolation(struct supervisor *s)
{
	child_drain_events(&s->vmm, CHILD_TURN);
	if (s->phase != PHASE_UP)
		return false;
	if (!(status_isolation_asked() & ~(s->record.isolation_vmm & s->record.isolation_link)))
		return true;
	supervisor_set_reason(s,
		"isolation is incomplete: layers %#llx of sandbox-vmm, %#llx of sandbox-link",
		(unsigned long long)s->record.isolation_vmm,
		(unsigned long long)s->record.isolation_link);
	stop_begin_fault(s);
	return false;
}

static void guest_is_ready(struct supervisor *s, const struct event *e)
{
	if (s->ready || s->phase != PHASE_UP || !check_isolation(s))
		return;
	s->ready = s->live.agent_ready = true;
	s->live.degraded_bits = e->value[1];
	s->record.ready_at = (uint64_t)time(NULL);
	loop_timer_set(s->ready_timer, 0);
	if (!supervisor_change(s, LIFECYCLE_AGENT_READY))
		return;
	tell_time(s, true); /* WELCOME's is as old as the boot took */
	if (main_command_start(s))
		starter_tell_ready(s);
}

static void guest_refused(struct supervisor *s, const struct event *e)
{
	int code = e->value[0] > 0 && e->value[0] < 4096 ? (int)e->value[0] : EIO;

	supervisor_set_reason(s, "the guest could not be set up: %s: %s",
		protocol_stage_text((uint32_t)e->value[1]), strerror(code));
	stop_begin_fault(s);
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

static const char *guest_word(uint64_t kind)
{
	static const char *const words[] = {
		[PROTOCOL_AUDIT_OOM_KILL] = "oom-kill",
		[PROTOCOL_AUDIT_OPERATION_STARTED] = "operation-started",
		[PROTOCOL_AUDIT_OPERATION_ENDED] = "operation-ended",
		[PROTOCOL_AUDIT_OPERATION_REFUSED] = "operation-refused",
		[PROTOCOL_AUDIT_TIME_SET] = "time-set",
		[PROTOCOL_AUDIT_SHUTDOWN] = "shutdown",
		[PROTOCOL_AUDIT_ROOT_EXEC] = "root-exec",
	};

	return kind < ARRAY_SIZE(words) && words[kind] ? words[kind] : "unknown";
}

/* The guest's word, passed on as such. */
static void push_audit(struct supervisor *s, const struct event *e)
{
	json_t *event = supervisor_event_json("guest-audit"), *values = json_array();

	for (size_t i = 1; i < EVENT_VALUES; i++)
		json_array_append_new(values, json_integer((json_int_t)(e->value[i] & INT64_MAX)));
	json_object_set_new(event, "reported_by_guest", json_true());
	json_object_set_new(event, "kind", json_integer((json_int_t)(e->value[0] & INT64_MAX)));
	json_object_set_new(event, "values", values);
	supervisor_push(s, event);
	audit_log_guest(s->audit, guest_word(e->value[0]),
		"%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, e->value[1],
		e->value[2], e->value[3], e->value[4], e->value[5]);
}

void link_event_take(struct supervisor *s, const struct event *e)
{
	switch (e->kind) {
	case EVENT_LINK_ISOLATED:
		supervisor_note_isolation(s, &s->record.isolation_link, e);
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
		supervisor_push(s, supervisor_event_json("agent-lost"));
		audit_log_host(s->audit, AUDIT_AGENT, AUDIT_DECISION_NONE, "lost",
			"the guest's agent does not answer");
		break;
	case EVENT_SESSION_ENDED:
		main_command_ended(s, e);
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
