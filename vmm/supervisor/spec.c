/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/spec.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

#define DEFAULT_MEMORY_MIB 2048
#define DEFAULT_CPUS_MAX   4

uint64_t spec_default_memory_mib(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
	uint64_t quarter;

	if (pages <= 0 || page_size <= 0)
		return DEFAULT_MEMORY_MIB;
	quarter = (uint64_t)pages * (uint64_t)page_size / 4 >> 20;
	return MAX(MIN(quarter, (uint64_t)DEFAULT_MEMORY_MIB), (uint64_t)SPEC_MEMORY_MIB_MIN);
}

uint32_t spec_default_cpus(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return (uint32_t)MAX(1, MIN(count, DEFAULT_CPUS_MAX));
}

int spec_init(struct spec *spec)
{
	*spec = (struct spec){
		.image = strdup("host"),
		.cpus = spec_default_cpus(),
		.memory_mib = spec_default_memory_mib(),
		.environment = calloc(1, sizeof(char *)),
		.command = calloc(1, sizeof(char *)),
	};
	if (!spec->image || !spec->environment || !spec->command) {
		spec_finish(spec);
		return -ENOMEM;
	}
	return 0;
}

static void finish_share(struct spec_share *share)
{
	free(share->host);
	free(share->guest);
}

void spec_finish(struct spec *spec)
{
	finish_share(&spec->workspace);
	for (size_t i = 0; i < spec->share_count; i++)
		finish_share(&spec->shares[i]);
	free(spec->image);
	free(spec->kernel);
	free(spec->policy);
	free(spec->tier);
	json_free_texts(spec->environment);
	json_free_texts(spec->command);
	*spec = (struct spec){};
}

int spec_copy(const struct spec *from, struct spec *ret)
{
	_cleanup_json_ json_t *json = spec_encode(from);

	return json ? spec_decode(json, ret, NULL) : -EINVAL;
}

static json_t *encode_share(const struct spec_share *share)
{
	if (!share->host)
		return json_null();
	return json_pack("{s:s, s:s, s:b, s:b, s:I, s:I}", "host", share->host, "guest",
		share->guest, "readonly", share->readonly, "trust_hardlinks",
		share->trust_hardlinks, "device", (json_int_t)share->device, "inode",
		(json_int_t)share->inode);
}

static json_t *encode_shares(const struct spec *spec)
{
	json_t *array = json_array();

	for (size_t i = 0; i < spec->share_count; i++)
		json_array_append_new(array, encode_share(&spec->shares[i]));
	return array;
}

static json_t *encode_ports(const struct spec *spec)
{
	json_t *array = json_array();

	for (size_t i = 0; i < spec->port_count; i++)
		json_array_append_new(array,
			json_pack("{s:s, s:i, s:i}", "address", spec->ports[i].address, "host",
				spec->ports[i].host_port, "guest", spec->ports[i].guest_port));
	return array;
}

json_t *spec_encode(const struct spec *spec)
{
	json_t *json = json_pack("{s:s, s:s, s:i, s:I, s:I, s:b, s:i, s:i, s:b, s:b}", "name",
		spec->name, "image", spec->image, "cpus", (int)spec->cpus, "memory_mib",
		(json_int_t)spec->memory_mib, "timeout_ms", (json_int_t)spec->timeout_ms,
		"command_tty", spec->command_tty, "rows", (int)spec->rows, "cols", (int)spec->cols,
		"await_attach", spec->await_attach, "nested", spec->nested);
	int r = 0;

	if (!json)
		return NULL;
	if (spec->workspace.host)
		r |= json_object_set_new(json, "workspace", encode_share(&spec->workspace));
	r |= json_object_set_new(json, "shares", encode_shares(spec));
	r |= json_object_set_new(json, "ports", encode_ports(spec));
	if (spec->pids)
		r |= json_object_set_new(json, "pids", json_integer(spec->pids));
	if (spec->kernel)
		r |= json_object_set_new(json, "kernel", json_string(spec->kernel));
	if (spec->policy)
		r |= json_object_set_new(json, "policy", json_string(spec->policy));
	if (spec->tier)
		r |= json_object_set_new(json, "tier", json_string(spec->tier));
	r |= json_object_set_new(json, "environment", json_from_texts(spec->environment));
	r |= json_object_set_new(json, "command", json_from_texts(spec->command));
	if (r) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static char *copy_text(struct json_reader *r, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		json_reader_fail(r, "out of memory");
	return copy;
}

static void decode_share(
	json_t *json, struct spec_share *share, struct err *err, struct json_reader *outer)
{
	struct json_reader r = json_reader(json, "spec: share", err);

	share->host = copy_text(&r, json_get_text(&r, "host", SPEC_PATH_LEN_MAX));
	share->guest = copy_text(&r, json_get_text(&r, "guest", SPEC_PATH_LEN_MAX));
	share->readonly = json_get_bool(&r, "readonly");
	share->trust_hardlinks = json_get_bool(&r, "trust_hardlinks");
	share->device = json_get_u64(&r, "device", 0, INT64_MAX);
	share->inode = json_get_u64(&r, "inode", 0, INT64_MAX);
	if (json_reader_done(&r) < 0)
		outer->failed = true;
}

static void decode_shares(struct json_reader *r, struct spec *spec)
{
	json_t *array = json_get_array(r, "shares", SPEC_SHARES_MAX);

	for (size_t i = 0; i < json_array_size(array) && !r->failed; i++)
		decode_share(
			json_array_get(array, i), &spec->shares[spec->share_count++], r->err, r);
}

static void decode_port(json_t *json, struct spec_port *port, struct json_reader *outer)
{
	struct json_reader r = json_reader(json, "spec: port", outer->err);
	const char *address = json_get_text(&r, "address", sizeof(port->address) - 1);

	port->host_port = (uint16_t)json_get_u64(&r, "host", 1, 65535);
	port->guest_port = (uint16_t)json_get_u64(&r, "guest", 1, 65535);
	if (json_reader_done(&r) < 0)
		outer->failed = true;
	else
		strcpy(port->address, address); /* measured above */
}

static void decode_ports(struct json_reader *r, struct spec *spec)
{
	json_t *array = json_get_array(r, "ports", SPEC_PORTS_MAX);

	for (size_t i = 0; i < json_array_size(array) && !r->failed; i++)
		decode_port(json_array_get(array, i), &spec->ports[spec->port_count++], r);
}

static void decode_fields(struct json_reader *r, struct spec *spec)
{
	json_t *workspace = json_get_object_or_null(r, "workspace");
	const char *name = json_get_text(r, "name", SANDBOX_NAME_MAX);

	if (name && !sandbox_name_valid(name))
		json_reader_fail(r, "the name is not of the form [a-z0-9][a-z0-9-]{0,40}");
	else if (name)
		strcpy(spec->name, name); /* measured by json_get_text() */
	if (workspace)
		decode_share(workspace, &spec->workspace, r->err, r);
	decode_shares(r, spec);
	decode_ports(r, spec);
	spec->image = copy_text(r, json_get_text(r, "image", SPEC_PATH_LEN_MAX));
	spec->kernel = copy_text(r, json_get_text_or(r, "kernel", SPEC_PATH_LEN_MAX, NULL));
	spec->cpus = (uint32_t)json_get_u64(r, "cpus", 1, SPEC_CPUS_MAX);
	spec->memory_mib = json_get_u64(r, "memory_mib", SPEC_MEMORY_MIB_MIN, SPEC_MEMORY_MIB_MAX);
	if (json_has(r, "pids"))
		spec->pids = (uint32_t)json_get_u64(r, "pids", SPEC_PIDS_MIN, SPEC_PIDS_MAX);
	spec->timeout_ms = json_get_u64(r, "timeout_ms", 0, SPEC_TIMEOUT_MS_MAX);
	spec->environment = json_get_texts(r, "environment", SPEC_WORDS_MAX, SPEC_WORD_LEN_MAX);
	spec->command = json_get_texts(r, "command", SPEC_WORDS_MAX, SPEC_WORD_LEN_MAX);
	spec->command_tty = json_get_bool(r, "command_tty");
	spec->rows = (uint16_t)json_get_u64(r, "rows", 0, 65535);
	spec->cols = (uint16_t)json_get_u64(r, "cols", 0, 65535);
	spec->await_attach = json_get_bool(r, "await_attach");
	spec->nested = json_get_bool(r, "nested");
	spec->policy = copy_text(r, json_get_text_or(r, "policy", SPEC_POLICY_MAX, NULL));
	spec->tier = copy_text(r, json_get_text_or(r, "tier", SPEC_TIER_MAX, NULL));
}

int spec_decode(json_t *json, struct spec *ret, struct err *err)
{
	struct json_reader r = json_reader(json, "spec", err);
	struct spec spec = {};

	if (!r.failed)
		decode_fields(&r, &spec);
	if (json_reader_done(&r) < 0 || spec_check(&spec, err) < 0) {
		spec_finish(&spec);
		return -EINVAL;
	}
	*ret = spec;
	return 0;
}
