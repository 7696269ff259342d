/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/vmm_events.h"

#include <inttypes.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/audit_log.h"

/* S4 */
static void note_refusal(struct supervisor *s, const struct event *e)
{
	struct status_refused *refused;
	uint64_t share = e->value[0];

	if (share < s->workspace_share || share - s->workspace_share >= ARRAY_SIZE(s->live.refused))
		return;
	refused = &s->live.refused[share - s->workspace_share];
	audit_log_host(s->audit, AUDIT_SHARE_REFUSED, AUDIT_DENIED, "S4",
		"share %" PRIu64 ", device %" PRIu64 ", inode %" PRIu64, share, e->value[2],
		e->value[3]);
	refused->count = MAX(refused->count, e->value[1] & INT64_MAX);
	if (!e->value[3] || refused->file_count == STATUS_REFUSED_MAX)
		return;
	refused->files[refused->file_count].device = e->value[2] & INT64_MAX;
	refused->files[refused->file_count++].inode = e->value[3] & INT64_MAX;
}

/* As supervisor_note_isolation(), which saves it. */
static void note_core_scheduling(struct supervisor *s, const struct event *e)
{
	if (s->record.isolation_vmm)
		return;
	s->record.core_scheduling = e->value[1] == 1	? CORE_SCHEDULING_IN_FORCE
				    : host_smt_active() ? CORE_SCHEDULING_UNAVAILABLE
							: CORE_SCHEDULING_NOT_NEEDED;
}

void vmm_event_take(struct supervisor *s, const struct event *e)
{
	switch (e->kind) {
	case EVENT_VMM_ISOLATED:
		note_core_scheduling(s, e);
		supervisor_note_isolation(s, &s->record.isolation_vmm, e);
		break;
	case EVENT_VMM_ENDED:
		s->end = (enum machine_end)e->value[0];
		break;
	case EVENT_VMM_DEVICE_FAULT:
		audit_log_host(s->audit, AUDIT_DEVICE_FAULT, AUDIT_DENIED, "device-fault",
			"device %" PRIu64 ", %" PRIu64 " so far", e->value[0], e->value[1]);
		s->live.device_faults = MAX(s->live.device_faults, e->value[1] & INT64_MAX);
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
