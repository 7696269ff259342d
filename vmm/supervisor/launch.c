/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/supervisor/audit_log.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/children.h"
#include "vmm/supervisor/starter.h"

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
		supervisor_save(s);
	} else if (pids) {
		err_set(err, -EOPNOTSUPP, "--pids %u cannot be enforced on this host: %.200s", pids,
			why.text);
		return err_next_step(err, "%s", why.next_step);
	}
	return 0;
}

/* What the plan found out, where status looks for it. */
static void note_plan(struct supervisor *s)
{
	struct record *record = &s->record;

	memcpy(record->instance, s->plan.instance, sizeof(record->instance));
	snprintf(record->kernel, sizeof(record->kernel), "%s", s->plan.kernel.name);
	record->owner_uid = s->plan.owner.uid;
	record->owner_gid = s->plan.owner.gid;
	if (s->plan.share_count > record->spec.share_count)
		s->workspace_share = s->plan.share_count - record->spec.share_count - 1;
}

int launch_prepare(struct supervisor *s, const char **ret_stage, struct err *err)
{
	int r;

	boot_plan_init(&s->plan, &s->record.spec, &s->paths);
	*ret_stage = "config";
	r = config_load(&s->paths, NULL, &s->config, err);
	if (r < 0)
		return r;
	*ret_stage = "policy";
	r = egress_create(s, &s->egress, err);
	if (r < 0)
		return r;
	s->plan.certificate = egress_plan_of(s->egress)->certificate;
	s->plan.certificate_name = egress_plan_of(s->egress)->certificate_name;
	s->plan.egress_fd = egress_plan_of(s->egress)->link_fd;
	r = boot_plan_prepare(
		&s->plan, (const char *const *)environ, starter_tell_stage, s, ret_stage, err);
	if (r < 0)
		return r;
	note_plan(s);
	*ret_stage = "limits";
	r = make_cgroup(s, err);
	if (r < 0)
		return r;
	*ret_stage = "audit";
	return audit_log_create(s, &s->audit, err);
}

static void remember_processes(void *data)
{
	struct supervisor *s = data;

	s->record.vmm = s->processes.vmm.id;
	s->record.link = s->processes.link.id;
	supervisor_save(s);
}

int launch_spawn(struct supervisor *s, const char **ret_stage, struct err *err)
{
	struct err *first;
	int r;

	starter_tell_stage(s, "boot", "booting");
	s->spawned = true;
	r = backend_make_lifeline(&s->processes, err);
	if (r == 0)
		r = audit_log_start(s->audit, err);
	if (r == 0)
		r = egress_start(s->egress, err);
	if (r == 0)
		r = backend_kvm_spawn(
			&s->plan, s->lock_fd, &s->processes, remember_processes, s, ret_stage, err);
	first = r == 0 ? err : NULL;
	if (child_watch(s, &s->vmm, &s->processes.vmm, &child_kind_vmm, "vmm.log", first) < 0 ||
		child_watch(s, &s->link, &s->processes.link, &child_kind_link, "link.log", first) <
			0)
		r = r < 0 ? r : -ENOMEM;
	boot_plan_finish(&s->plan); /* what the children need, they have */
	return r;
}
