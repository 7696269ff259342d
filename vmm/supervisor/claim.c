/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/claim.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/supervisor/cgroup.h"

#define LOCK_WAIT_MS 1000

static int check_quarantine(
	struct supervisor *s, const char *name, enum lifecycle_state state, struct err *err)
{
	if (lifecycle_next(state, LIFECYCLE_BEGIN, false, &s->record.state) == 0)
		return 0;
	err_set(err, -EDEADLK, "sandbox %s: it is quarantined: something of it survived", name);
	err_next_step(err, "sandboxctl stop %s tries again", name);
	return -EDEADLK;
}

static int take_over_record(struct supervisor *s, struct spec *spec, struct err *err)
{
	struct record old;
	enum lifecycle_state state = LIFECYCLE_STOPPED;
	int r = registry_load(&s->paths, spec->name, &old, err);

	s->is_new = r == -ENOENT;
	if (r == 0) {
		r = registry_check_workspace(&s->paths, &old, &spec->workspace, err);
		state = old.state;
		s->record.created_at = old.created_at;
		registry_remove_exposed(old.instance);
		/* Whoever was alive held the lock that we have now; what lives on in the group is a survivor (H1). */
		if (cgroup_remove(old.cgroup) == -EBUSY)
			state = LIFECYCLE_QUARANTINED;
		else if (lifecycle_is_live(state))
			state = LIFECYCLE_FAILED;
		record_finish(&old);
	}
	if (r < 0 && !s->is_new)
		return r;
	return check_quarantine(s, spec->name, state, err);
}

static int fill_record(struct supervisor *s, struct spec *spec, struct err *err)
{
	struct record *record = &s->record;
	int r = host_boot_id(record->boot_id);

	if (r == 0)
		r = process_id_of(getpid(), &record->supervisor);
	if (r < 0)
		return err_set(err, r, "supervisor: /proc: %s", strerror(-r));
	record->pgid = getpgid(0);
	record->started_at = (uint64_t)time(NULL);
	if (!record->created_at)
		record->created_at = record->started_at;
	record->spec = *spec;
	*spec = (struct spec){};
	return registry_save(&s->paths, record, err);
}

int claim_sandbox(struct supervisor *s, struct spec *spec, struct err *err)
{
	int r = paths_load(&s->paths, err);

	if (r == 0)
		r = paths_prepare(&s->paths, err);
	if (r == 0)
		r = registry_lock(&s->paths, spec->name, LOCK_WAIT_MS, &s->lock_fd, err);
	if (r == 0)
		r = take_over_record(s, spec, err);
	return r < 0 ? r : fill_record(s, spec, err);
}
