/* SPDX-License-Identifier: Apache-2.0 */
/* The record as text. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/supervisor/registry.h"

#define RECORD_VERSION 1
#define ISOLATION_MAX  0xffffff

void record_init(struct record *record)
{
	*record = (struct record){ .state = LIFECYCLE_STOPPED, .exit_code = -1 };
}

void record_finish(struct record *record)
{
	spec_finish(&record->spec);
	record_init(record);
}

static json_t *encode_process(const struct process_id *id)
{
	return json_pack(
		"{s:i, s:I}", "pid", (int)id->pid, "start_ticks", (json_int_t)id->start_ticks);
}

static void decode_process(struct json_reader *outer, const char *key, struct process_id *ret)
{
	json_t *json = json_get_object(outer, key);
	struct json_reader r;

	if (!json)
		return;
	r = json_reader(json, key, outer->err);
	ret->pid = (pid_t)json_get_u64(&r, "pid", 0, INT32_MAX);
	ret->start_ticks = json_get_u64(&r, "start_ticks", 0, INT64_MAX);
	if (json_reader_done(&r) < 0)
		outer->failed = true;
}

/* size counts the NUL. */
static void decode_text(struct json_reader *r, const char *key, char *out, size_t size)
{
	const char *text = json_get_text(r, key, size - 1);

	if (text)
		memcpy(out, text, strlen(text) + 1);
}

static void decode_state(struct json_reader *r, struct record *record)
{
	const char *name = json_get_text(r, "state", 32);

	if (name && !lifecycle_from_name(name, &record->state))
		json_reader_fail(r, "field state is not a state");
}

static void decode_spec(struct json_reader *r, struct record *record)
{
	json_t *json = json_get_object(r, "spec");

	if (json && spec_decode(json, &record->spec, r->err) < 0)
		r->failed = true;
}

static void decode_fields(struct json_reader *r, struct record *record)
{
	json_get_u64(r, "version", RECORD_VERSION, RECORD_VERSION);
	decode_state(r, record);
	decode_text(r, "reason", record->reason, sizeof(record->reason));
	decode_text(r, "instance", record->instance, sizeof(record->instance));
	decode_text(r, "boot_id", record->boot_id, sizeof(record->boot_id));
	decode_text(r, "kernel", record->kernel, sizeof(record->kernel));
	decode_process(r, "supervisor", &record->supervisor);
	decode_process(r, "vmm", &record->vmm);
	decode_process(r, "link", &record->link);
	record->pgid = (pid_t)json_get_u64(r, "pgid", 0, INT32_MAX);
	record->created_at = json_get_u64(r, "created_at", 0, INT64_MAX);
	record->started_at = json_get_u64(r, "started_at", 0, INT64_MAX);
	record->ready_at = json_get_u64(r, "ready_at", 0, INT64_MAX);
	record->ended_at = json_get_u64(r, "ended_at", 0, INT64_MAX);
	record->exit_code = -1;
	if (json_has(r, "exit_code"))
		record->exit_code = (int32_t)json_get_u64(r, "exit_code", 0, 255);
	record->isolation_vmm = json_get_u64(r, "isolation_vmm", 0, ISOLATION_MAX);
	record->isolation_link = json_get_u64(r, "isolation_link", 0, ISOLATION_MAX);
	if (json_has(r, "core_scheduling"))
		record->core_scheduling = (enum core_scheduling)json_get_u64(
			r, "core_scheduling", 0, CORE_SCHEDULING_UNAVAILABLE);
	if (json_has(r, "cgroup"))
		decode_text(r, "cgroup", record->cgroup, sizeof(record->cgroup));
	record->owner_uid = (uint32_t)json_get_u64(r, "owner_uid", 0, UINT32_MAX);
	record->owner_gid = (uint32_t)json_get_u64(r, "owner_gid", 0, UINT32_MAX);
	decode_spec(r, record);
}

int record_parse(const char *text, size_t len, struct record *ret, struct err *err)
{
	_cleanup_json_ json_t *json = NULL;
	struct record record;
	struct json_reader r;
	int code = json_parse_object(text, len, REGISTRY_RECORD_MAX, "record", &json, err);

	if (code < 0)
		return code;
	record_init(&record);
	r = json_reader(json, "record", err);
	decode_fields(&r, &record);
	if (json_reader_done(&r) < 0) {
		record_finish(&record);
		return -EINVAL;
	}
	*ret = record;
	return 0;
}

static json_t *encode(const struct record *record)
{
	json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i}", "version", RECORD_VERSION,
		"state", lifecycle_name(record->state), "reason", record->reason, "instance",
		record->instance, "boot_id", record->boot_id, "kernel", record->kernel, "pgid",
		(int)record->pgid);
	int r = 0;

	if (!json)
		return NULL;
	r |= json_object_set_new(json, "supervisor", encode_process(&record->supervisor));
	r |= json_object_set_new(json, "vmm", encode_process(&record->vmm));
	r |= json_object_set_new(json, "link", encode_process(&record->link));
	r |= json_object_set_new(json, "created_at", json_integer((json_int_t)record->created_at));
	r |= json_object_set_new(json, "started_at", json_integer((json_int_t)record->started_at));
	r |= json_object_set_new(json, "ready_at", json_integer((json_int_t)record->ready_at));
	r |= json_object_set_new(json, "ended_at", json_integer((json_int_t)record->ended_at));
	if (record->exit_code >= 0)
		r |= json_object_set_new(json, "exit_code", json_integer(record->exit_code));
	r |= json_object_set_new(
		json, "isolation_vmm", json_integer((json_int_t)record->isolation_vmm));
	r |= json_object_set_new(
		json, "isolation_link", json_integer((json_int_t)record->isolation_link));
	r |= json_object_set_new(
		json, "core_scheduling", json_integer((json_int_t)record->core_scheduling));
	if (*record->cgroup)
		r |= json_object_set_new(json, "cgroup", json_string(record->cgroup));
	r |= json_object_set_new(json, "owner_uid", json_integer(record->owner_uid));
	r |= json_object_set_new(json, "owner_gid", json_integer(record->owner_gid));
	r |= json_object_set_new(json, "spec", spec_encode(&record->spec));
	if (r) {
		json_decref(json);
		return NULL;
	}
	return json;
}

int record_format(const struct record *record, char **ret_text, size_t *ret_len, struct err *err)
{
	_cleanup_json_ json_t *json = encode(record);
	char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;

	if (!text)
		return err_set(err, -EINVAL, "record of %s: holds what cannot be written as JSON",
			record->spec.name);
	*ret_text = text;
	*ret_len = strlen(text);
	return 0;
}

bool record_is_of_this_boot(const struct record *record)
{
	char boot_id[PROCESS_BOOT_ID_LEN + 1];

	return host_boot_id(boot_id) == 0 && strcmp(boot_id, record->boot_id) == 0;
}
