/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/jail/jail.h"
#include "vmm/supervisor/audit/store.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/mounts.h"

#define STATUS_WAIT_MS	  1000
#define HEARTBEAT_LATE_MS 20000

static const struct {
	uint32_t bit;
	const char *name;
} layers[] = {
	{ JAIL_USER_NS, "user-namespace" },
	{ JAIL_PID_NS, "pid-namespace" },
	{ JAIL_MOUNT_NS, "mount-namespace" },
	{ JAIL_NET_NS, "net-namespace" },
	{ JAIL_IPC_UTS_NS, "ipc-uts-namespaces" },
	{ JAIL_EMPTY_ROOT, "empty-root" },
	{ JAIL_NO_CAPS, "no-capabilities" },
	{ JAIL_UNDUMPABLE, "undumpable" },
	{ JAIL_LANDLOCK, "landlock" },
	{ JAIL_SECCOMP, "seccomp" },
};

uint64_t status_isolation_asked(void)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		bits |= layers[i].bit;
	return bits;
}

static json_t *layer_names(uint64_t bits)
{
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		if (bits & layers[i].bit)
			json_array_append_new(array, json_string(layers[i].name));
	return array;
}

static json_t *isolation_of(uint64_t bits)
{
	return json_pack("{s:o, s:o, s:o}", "asked", layer_names(status_isolation_asked()),
		"in_force", layer_names(bits), "missing",
		layer_names(status_isolation_asked() & ~bits));
}

static const char *core_scheduling(const struct record *record)
{
	static const char *const names[] = {
		[CORE_SCHEDULING_UNKNOWN] = "unknown",
		[CORE_SCHEDULING_IN_FORCE] = "in-force",
		[CORE_SCHEDULING_NOT_NEEDED] = "not-needed",
		[CORE_SCHEDULING_UNAVAILABLE] = "unavailable",
	};

	return names[record->core_scheduling];
}

static json_t *isolation(const struct record *record)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "kind", "kvm", "core_scheduling",
		core_scheduling(record), "vmm", isolation_of(record->isolation_vmm), "link",
		isolation_of(record->isolation_link));
}

static json_t *share(const struct spec_share *share)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:o}", "host", share->host, "guest", share->guest,
		"readonly", share->readonly, "trust_hardlinks", share->trust_hardlinks,
		"not_entered", mounts_below(share->host));
}

static json_t *shares(const struct spec *spec)
{
	json_t *array = json_array();

	for (size_t i = 0; i < spec->share_count; i++)
		json_array_append_new(array, share(&spec->shares[i]));
	return array;
}

static json_t *ports(const struct spec *spec)
{
	json_t *array = json_array();

	for (size_t i = 0; i < spec->port_count; i++) {
		const struct spec_port *port = &spec->ports[i];

		json_array_append_new(
			array, json_pack("{s:s, s:i, s:i, s:o}", "address", port->address, "host",
				       port->host_port, "guest", port->guest_port, "url",
				       json_sprintf("http://%s.localhost:%u", spec->name,
					       port->host_port)));
	}
	return array;
}

static json_t *refused_files(const struct status_refused *refused)
{
	json_t *array = json_array();

	for (size_t i = 0; i < refused->file_count; i++)
		json_array_append_new(array,
			json_pack("{s:I, s:I}", "device", (json_int_t)refused->files[i].device,
				"inode", (json_int_t)refused->files[i].inode));
	return array;
}

/* S4, as numbers: names are looked up by whoever shows them (sandboxctl/linked_names.h). */
static json_t *linked_outside(const struct spec *spec, const struct status_live *live)
{
	json_t *array = json_array();

	for (size_t i = 0; live && i < ARRAY_SIZE(live->refused); i++) {
		const struct spec_share *of = i ? &spec->shares[i - 1] : &spec->workspace;

		if (live->refused[i].count && of->host)
			json_array_append_new(array,
				json_pack("{s:s, s:s, s:I, s:o}", "host", of->host, "guest",
					of->guest, "refusals", (json_int_t)live->refused[i].count,
					"files", refused_files(&live->refused[i])));
	}
	return array;
}

/* H3: judged by what the host saw, not by what the guest says of itself. */
static const char *health(const struct record *record, const struct status_live *live, bool alive)
{
	if (!alive)
		return "none";
	if (!live)
		return "unresponsive";
	if (record->state == LIFECYCLE_STARTING)
		return "starting";
	if (record->state == LIFECYCLE_STOPPING)
		return "stopping";
	return live->agent_lost || live->heartbeat_age_ms > HEARTBEAT_LATE_MS ? "lost" : "healthy";
}

/* The host's own findings; the guest's are under `guest`. */
static json_t *degraded(const struct record *record, const struct status_live *live)
{
	json_t *array = json_array();

	if (live && live->shares_memory_only)
		json_array_append_new(array, json_string("share-attributes-in-memory"));
	if (live && live->device_faults)
		json_array_append_new(array, json_string("device-faults"));
	if (live && live->degraded_bits)
		json_array_append_new(array, json_string("guest"));
	if (live && (live->degraded_bits & PROTOCOL_DEGRADED_EGRESS))
		json_array_append_new(array, json_string("egress-variables-only"));
	if (live && record->state == LIFECYCLE_RUNNING &&
		status_isolation_asked() & ~record->isolation_vmm)
		json_array_append_new(array, json_string("isolation"));
	if (live && record->core_scheduling == CORE_SCHEDULING_UNAVAILABLE)
		json_array_append_new(array, json_string("core-scheduling"));
	return array;
}

static json_t *guest_word(const struct status_live *live)
{
	return json_pack("{s:b, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "reported_by_guest", 1,
		"load1", (double)live->load1_percent / 100.0, "memory_total_kib",
		(json_int_t)live->memory_total_kib, "memory_free_kib",
		(json_int_t)live->memory_free_kib, "disk_free_kib", (json_int_t)live->disk_free_kib,
		"processes", (json_int_t)live->processes, "degraded_bits",
		(json_int_t)live->degraded_bits, "heartbeat_age_ms",
		(json_int_t)live->heartbeat_age_ms);
}

static json_t *number_or_null(uint64_t number)
{
	return number ? json_integer((json_int_t)number) : json_null();
}

/* started_at is text in UTC, as scripts and people read it; null before a first start. */
static json_t *time_or_null(uint64_t unix_s)
{
	time_t t = (time_t)unix_s;
	char text[32];
	struct tm tm;

	if (!unix_s || !gmtime_r(&t, &tm) ||
		!strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

static uint64_t uptime(const struct record *record, bool alive)
{
	long ticks = sysconf(_SC_CLK_TCK);
	struct timespec now;
	uint64_t began;

	/* By the supervisor's own start since this boot: a wall clock that was set says nothing about age. */
	if (!alive || ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) < 0)
		return 0;
	began = record->supervisor.start_ticks / (uint64_t)ticks;
	return record->supervisor.pid && (uint64_t)now.tv_sec > began ? (uint64_t)now.tv_sec - began
								      : 0;
}

static void add_session(json_t *data, const struct record *record, const struct status_live *live)
{
	json_object_set_new(data, "command", json_from_texts(record->spec.command));
	json_object_set_new(data, "exit_code",
		record->exit_code >= 0 ? json_integer(record->exit_code) : json_null());
	json_object_set_new(data, "session_running", json_boolean(live && live->session_running));
	if (live && live->heartbeats)
		json_object_set_new(data, "guest", guest_word(live));
}

/* H5: what was approved for this project, and what was found when the sandbox was started. null: neither. */
json_t *status_project(const struct policy_project *project)
{
	const char *approved = project->known ? project->approved.digest : NULL;

	if (!project->looked || (!project->present.json && !policy_project_changed(project)))
		return json_null();
	return json_pack("{s:s?, s:s, s:b}", "approved", approved, "present",
		project->present.digest, "changed", policy_project_changed(project));
}

/* Where the audit log goes besides its folder; null: nowhere. */
static json_t *forward(const struct status_live *live)
{
	if (!live->forward)
		return json_null();
	return json_pack("{s:s, s:s?, s:I}", "to", live->forward, "cut",
		live->forward_error ? strerror(live->forward_error) : NULL, "not_forwarded",
		(json_int_t)live->not_forwarded);
}

/* null where nothing runs. The injectors keep the host's network namespace: it is what they are for. */
static json_t *egress(const struct status_live *live)
{
	if (!live || !live->egress_state)
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o}", "state", live->egress_state, "why",
		live->audit_error ? json_sprintf("the audit log cannot be written: %s",
					    store_error_words(live->audit_error))
				  : json_null(),
		"policy", live->policy_digest, "in_force", layer_names(live->egress_layers),
		"project", live->project ? status_project(live->project) : json_null(), "forward",
		forward(live));
}

json_t *status_data(const struct record *record, const struct status_live *live, bool alive)
{
	const struct spec *spec = &record->spec;
	bool died = !alive && lifecycle_is_live(record->state);
	/* Of what is quarantined something lives, but no machine runs and no supervisor answers. */
	bool up = alive && record->state != LIFECYCLE_QUARANTINED;
	json_t *data = json_object();

	json_object_set_new(data, "name", json_string(spec->name));
	json_object_set_new(
		data, "state", json_string(died ? "failed" : lifecycle_name(record->state)));
	json_object_set_new(data, "reason",
		json_string(died ? "its supervisor ended without a word" : record->reason));
	json_object_set_new(data, "backend", json_string("kvm"));
	json_object_set_new(data, "instance", json_string(record->instance));
	json_object_set_new(data, "image", json_string(spec->image));
	json_object_set_new(data, "kernel", json_string(record->kernel));
	json_object_set_new(data, "tier", json_string(spec->tier ? spec->tier : "builder"));
	json_object_set_new(data, "cpus", json_integer(spec->cpus));
	json_object_set_new(data, "memory_mib", json_integer((json_int_t)spec->memory_mib));
	json_object_set_new(data, "pids", number_or_null(spec->pids));
	json_object_set_new(data, "cgroup",
		alive && *record->cgroup ? json_string(record->cgroup) : json_null());
	json_object_set_new(
		data, "workspace", spec->workspace.host ? share(&spec->workspace) : json_null());
	json_object_set_new(data, "shares", shares(spec));
	json_object_set_new(data, "linked_outside", linked_outside(spec, live));
	json_object_set_new(data, "ports", ports(spec));
	json_object_set_new(data, "started_at", time_or_null(record->started_at));
	json_object_set_new(data, "ended_at", up ? json_null() : time_or_null(record->ended_at));
	json_object_set_new(data, "uptime_s", json_integer((json_int_t)uptime(record, up)));
	json_object_set_new(
		data, "supervisor_pid", number_or_null(up ? (uint64_t)record->supervisor.pid : 0));
	json_object_set_new(data, "vmm_pid", number_or_null(alive ? (uint64_t)record->vmm.pid : 0));
	json_object_set_new(
		data, "link_pid", number_or_null(alive ? (uint64_t)record->link.pid : 0));
	json_object_set_new(data, "pgid", number_or_null(alive ? (uint64_t)record->pgid : 0));
	json_object_set_new(data, "health", json_string(health(record, live, up)));
	json_object_set_new(data, "degraded", degraded(record, live));
	json_object_set_new(data, "isolation", isolation(record));
	json_object_set_new(data, "egress", egress(live));
	add_session(data, record, live);
	return data;
}

/* What a live supervisor says of itself within a second. */
static int ask_status(const struct paths *paths, const char *name, json_t **ret_data)
{
	_cleanup_json_ json_t *request = json_pack("{s:s}", "op", "status");
	_cleanup_close_ int fd = -1;
	int r = control_connect(paths, name, &fd, NULL);

	return r < 0 ? r : control_call(fd, request, STATUS_WAIT_MS, ret_data, NULL, NULL);
}

/*
 * H1: its supervisor was killed, and what hangs in the kernel goes on holding the lock. Nobody could write that down: the
 * record is the lock holder's.
 */
static void see_quarantine(struct record *record)
{
	if (!lifecycle_is_live(record->state) || !record->supervisor.pid ||
		process_id_alive(&record->supervisor) || !process_id_alive(&record->vmm) ||
		!process_hangs(record->vmm.pid))
		return;
	record->state = LIFECYCLE_QUARANTINED;
	snprintf(record->reason, sizeof(record->reason),
		"its supervisor ended without a word; %d sandbox-vmm (uninterruptible) is left",
		(int)record->vmm.pid);
}

int status_of(const struct paths *paths, const char *name, json_t **ret_data, struct err *err)
{
	bool alive = registry_is_locked(paths, name) == 1;
	struct record record;
	int r;

	if (alive && ask_status(paths, name, ret_data) == 0)
		return 0;
	r = registry_load(paths, name, &record, err);
	if (r < 0)
		return r;
	if (alive)
		see_quarantine(&record);
	*ret_data = status_data(&record, NULL, alive);
	record_finish(&record);
	return 0;
}

static json_t *unreadable(const char *name, const struct err *err)
{
	struct record record;
	json_t *data;

	record_init(&record);
	record.state = LIFECYCLE_FAILED;
	if (spec_init(&record.spec) < 0)
		return NULL;
	snprintf(record.spec.name, sizeof(record.spec.name), "%s", name);
	snprintf(record.reason, sizeof(record.reason), "%.*s", (int)sizeof(record.reason) - 1,
		err->text);
	data = status_data(&record, NULL, false);
	record_finish(&record);
	return data;
}

int status_of_all(const struct paths *paths, json_t **ret_list, struct err *err)
{
	char **names = NULL;
	json_t *list;
	int r = registry_list(paths, &names, err);

	if (r < 0)
		return r;
	list = json_array();
	for (char **p = names; *p; p++) {
		struct err why = {};
		json_t *data = NULL;

		/* A folder with a lock and no record is a start that is just beginning, or was refused. */
		r = status_of(paths, *p, &data, &why);
		if (r < 0 && r != -ENOENT)
			data = unreadable(*p, &why);
		if (data)
			json_array_append_new(list, data);
	}
	json_free_texts(names);
	*ret_list = list;
	return 0;
}
