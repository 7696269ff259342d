/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/protocol/messages.h"

#include <string.h>

/* -- text: u16 length with the NUL, the bytes, NUL -- */

static const char *get_text(struct bytes_reader *r, size_t max)
{
	size_t len;
	const uint8_t *p = bytes_get_u16_blob(r, max + 1, &len);

	if (!p || !len || memchr(p, '\0', len) != p + len - 1) {
		r->failed = true;
		return "";
	}
	return (const char *)p;
}

static void put_text(struct bytes_writer *w, const char *text, size_t max)
{
	size_t len = text ? strnlen(text, max + 1) : 0;

	if (!text || len > max) {
		w->failed = true;
		return;
	}
	bytes_put_u16_blob(w, text, len + 1);
}

/* K=V with a K. */
static bool variable_valid(const char *text)
{
	const char *equals = strchr(text, '=');

	return equals && equals != text;
}

/* list has room for PROTOCOL_WORDS_MAX words and the NULL. */
static uint16_t get_words(struct bytes_reader *r, const char **list, bool variables)
{
	uint16_t count = bytes_get_u16(r);

	if (count > PROTOCOL_WORDS_MAX)
		r->failed = true;
	for (uint16_t i = 0; i < count && !r->failed; i++) {
		list[i] = get_text(r, PROTOCOL_WORD_MAX);
		if (variables && !variable_valid(list[i]))
			r->failed = true;
	}
	if (r->failed)
		count = 0;
	list[count] = NULL;
	return count;
}

static void put_words(
	struct bytes_writer *w, const char *const *list, uint16_t count, bool variables)
{
	if (count > PROTOCOL_WORDS_MAX)
		w->failed = true;
	bytes_put_u16(w, count);
	for (uint16_t i = 0; i < count && !w->failed; i++) {
		put_text(w, list[i], PROTOCOL_WORD_MAX);
		if (!w->failed && variables && !variable_valid(list[i]))
			w->failed = true;
	}
}

bool protocol_path_valid(const char *path)
{
	size_t len = strnlen(path, PROTOCOL_PATH_MAX + 1);
	const char *at = path;

	if (len < 2 || len > PROTOCOL_PATH_MAX || *at != '/')
		return false;
	while (*at) {
		size_t part = strcspn(++at, "/");

		if (!part || (part == 1 && at[0] == '.') ||
			(part == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += part;
	}
	return true;
}

/* -- control stream, from the agent -- */

void protocol_put_hello(struct bytes_writer *w, const struct protocol_hello *m)
{
	bytes_put_u16(w, m->version);
	bytes_put_u16(w, 0);
	bytes_put_u32(w, m->payload_max);
	put_text(w, m->build, PROTOCOL_NAME_MAX);
}

bool protocol_get_hello(const void *data, size_t len, struct protocol_hello *ret)
{
	struct bytes_reader r = bytes_reader(data, len);
	uint16_t zero;

	ret->version = bytes_get_u16(&r);
	zero = bytes_get_u16(&r);
	ret->payload_max = bytes_get_u32(&r);
	ret->build = get_text(&r, PROTOCOL_NAME_MAX);
	return bytes_done(&r) && !zero;
}

void protocol_put_ready(struct bytes_writer *w, const struct protocol_ready *m)
{
	bytes_put_u64(w, m->elapsed_ns);
	bytes_put_u32(w, m->degraded);
}

bool protocol_get_ready(const void *data, size_t len, struct protocol_ready *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->elapsed_ns = bytes_get_u64(&r);
	ret->degraded = bytes_get_u32(&r);
	return bytes_done(&r);
}

void protocol_put_refused(struct bytes_writer *w, const struct protocol_refused *m)
{
	bytes_put_u32(w, m->code);
	bytes_put_u32(w, m->stage);
}

bool protocol_get_refused(const void *data, size_t len, struct protocol_refused *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->code = bytes_get_u32(&r);
	ret->stage = bytes_get_u32(&r);
	return bytes_done(&r) && ret->code >= 1 && ret->code <= 4095;
}

void protocol_put_health(struct bytes_writer *w, const struct protocol_health *m)
{
	bytes_put_u64(w, m->uptime_ns);
	bytes_put_u64(w, m->memory_total_kib);
	bytes_put_u64(w, m->memory_available_kib);
	bytes_put_u64(w, m->disk_total_kib);
	bytes_put_u64(w, m->disk_free_kib);
	bytes_put_u32(w, m->load1_x100);
	bytes_put_u32(w, m->processes);
	bytes_put_u32(w, m->operations);
	bytes_put_u32(w, m->degraded);
}

bool protocol_get_health(const void *data, size_t len, struct protocol_health *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->uptime_ns = bytes_get_u64(&r);
	ret->memory_total_kib = bytes_get_u64(&r);
	ret->memory_available_kib = bytes_get_u64(&r);
	ret->disk_total_kib = bytes_get_u64(&r);
	ret->disk_free_kib = bytes_get_u64(&r);
	ret->load1_x100 = bytes_get_u32(&r);
	ret->processes = bytes_get_u32(&r);
	ret->operations = bytes_get_u32(&r);
	ret->degraded = bytes_get_u32(&r);
	return bytes_done(&r);
}

void protocol_put_audit(struct bytes_writer *w, const struct protocol_audit *m)
{
	bytes_put_u32(w, m->kind);
	for (int i = 0; i < PROTOCOL_AUDIT_VALUES; i++)
		bytes_put_u64(w, m->value[i]);
}

bool protocol_get_audit(const void *data, size_t len, struct protocol_audit *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->kind = bytes_get_u32(&r);
	for (int i = 0; i < PROTOCOL_AUDIT_VALUES; i++)
		ret->value[i] = bytes_get_u64(&r);
	return bytes_done(&r);
}

/* -- control stream, from the host -- */

static bool mount_valid(const struct protocol_mount *m)
{
	const uint8_t flags = PROTOCOL_MOUNT_READONLY | PROTOCOL_MOUNT_OPTIONAL;

	if (m->kind < PROTOCOL_MOUNT_P9 || m->kind > PROTOCOL_MOUNT_BLOCK)
		return false;
	if (m->role < PROTOCOL_ROLE_PLAIN || m->role > PROTOCOL_ROLE_TOOLS)
		return false;
	if (m->cache > PROTOCOL_CACHE_LOOSE || (m->flags & ~flags))
		return false;
	if (m->msize && (m->msize < 4096 || m->msize > (1u << 20)))
		return false;
	/* Tags go into mount options, or after /dev/disk/...: one plain word. */
	if (!m->tag[0] || m->tag[strcspn(m->tag, ",/ \n")])
		return false;
	return m->role == PROTOCOL_ROLE_PLAIN ? protocol_path_valid(m->target) : !m->target[0];
}

static void get_mount(struct bytes_reader *r, struct protocol_mount *ret)
{
	ret->kind = bytes_get_u8(r);
	ret->role = bytes_get_u8(r);
	ret->cache = bytes_get_u8(r);
	ret->flags = bytes_get_u8(r);
	ret->msize = bytes_get_u32(r);
	ret->tag = get_text(r, PROTOCOL_NAME_MAX);
	ret->target = get_text(r, PROTOCOL_PATH_MAX);
	if (!r->failed && !mount_valid(ret))
		r->failed = true;
}

static void put_mount(struct bytes_writer *w, const struct protocol_mount *m)
{
	bytes_put_u8(w, m->kind);
	bytes_put_u8(w, m->role);
	bytes_put_u8(w, m->cache);
	bytes_put_u8(w, m->flags);
	bytes_put_u32(w, m->msize);
	put_text(w, m->tag, PROTOCOL_NAME_MAX);
	put_text(w, m->target, PROTOCOL_PATH_MAX);
	if (!w->failed && !mount_valid(m))
		w->failed = true;
}

static void get_file(struct bytes_reader *r, struct protocol_file *ret)
{
	size_t len;

	ret->path = get_text(r, PROTOCOL_PATH_MAX);
	ret->mode = bytes_get_u32(r);
	ret->uid = bytes_get_u32(r);
	ret->gid = bytes_get_u32(r);
	ret->content = bytes_get_u32_blob(r, PROTOCOL_CONTENT_MAX, &len);
	ret->content_len = (uint32_t)len;
	if (!r->failed && (!protocol_path_valid(ret->path) || (ret->mode & ~07777u)))
		r->failed = true;
}

static void put_file(struct bytes_writer *w, const struct protocol_file *m)
{
	put_text(w, m->path, PROTOCOL_PATH_MAX);
	bytes_put_u32(w, m->mode);
	bytes_put_u32(w, m->uid);
	bytes_put_u32(w, m->gid);
	bytes_put_u32_blob(w, m->content, m->content_len);
	if (!w->failed && (!protocol_path_valid(m->path) || (m->mode & ~07777u) ||
				  m->content_len > PROTOCOL_CONTENT_MAX))
		w->failed = true;
}

/* A word for /etc/passwd or a host name: letters, digits, - _ and inner dots; not empty, no sign in front. */
static bool name_valid(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	return name[0] && name[0] != '-' && name[0] != '.' && !name[strspn(name, plain)];
}

static bool welcome_valid(const struct protocol_welcome *m)
{
	if (!m->uid || !m->gid || m->uid == UINT32_MAX || m->gid == UINT32_MAX)
		return false;
	if ((m->flags & ~(uint32_t)(PROTOCOL_WELCOME_SUDO | PROTOCOL_WELCOME_EGRESS)) ||
		m->root > PROTOCOL_ROOT_HOST)
		return false;
	if (m->folder[0] && strcmp(m->folder, "/") != 0 && !protocol_path_valid(m->folder))
		return false;
	return name_valid(m->instance) && name_valid(m->hostname) && name_valid(m->user);
}

static void put_lists(struct bytes_writer *w, const struct protocol_welcome *m)
{
	if (m->mount_count > PROTOCOL_MOUNTS_MAX || m->file_count > PROTOCOL_FILES_MAX)
		w->failed = true;
	bytes_put_u16(w, m->mount_count);
	for (uint16_t i = 0; i < m->mount_count && !w->failed; i++)
		put_mount(w, &m->mount[i]);
	bytes_put_u16(w, m->file_count);
	for (uint16_t i = 0; i < m->file_count && !w->failed; i++)
		put_file(w, &m->file[i]);
	put_words(w, m->env, m->env_count, true);
}

static void get_lists(struct bytes_reader *r, struct protocol_welcome *ret)
{
	ret->mount_count = bytes_get_u16(r);
	if (ret->mount_count > PROTOCOL_MOUNTS_MAX)
		r->failed = true;
	for (uint16_t i = 0; i < ret->mount_count && !r->failed; i++)
		get_mount(r, &ret->mount[i]);
	ret->file_count = bytes_get_u16(r);
	if (ret->file_count > PROTOCOL_FILES_MAX)
		r->failed = true;
	for (uint16_t i = 0; i < ret->file_count && !r->failed; i++)
		get_file(r, &ret->file[i]);
	ret->env_count = get_words(r, ret->env, true);
}

void protocol_put_welcome(struct bytes_writer *w, const struct protocol_welcome *m)
{
	size_t start = w->offset;

	bytes_put_u64(w, m->time_ns);
	bytes_put_u32(w, m->uid);
	bytes_put_u32(w, m->gid);
	bytes_put_u32(w, m->flags);
	bytes_put_u8(w, m->root);
	put_text(w, m->instance, PROTOCOL_NAME_MAX);
	put_text(w, m->hostname, PROTOCOL_NAME_MAX);
	put_text(w, m->user, PROTOCOL_NAME_MAX);
	put_text(w, m->folder, PROTOCOL_PATH_MAX);
	if (m->seed_len > PROTOCOL_SEED_MAX)
		w->failed = true;
	bytes_put_u16_blob(w, m->seed, m->seed_len);
	put_lists(w, m);
	if (!w->failed && (!welcome_valid(m) || w->offset - start > PROTOCOL_WELCOME_MAX))
		w->failed = true;
}

bool protocol_get_welcome(const void *data, size_t len, struct protocol_welcome *ret)
{
	struct bytes_reader r = bytes_reader(data, len);
	size_t seed_len;

	if (len > PROTOCOL_WELCOME_MAX)
		return false;
	ret->time_ns = bytes_get_u64(&r);
	ret->uid = bytes_get_u32(&r);
	ret->gid = bytes_get_u32(&r);
	ret->flags = bytes_get_u32(&r);
	ret->root = bytes_get_u8(&r);
	ret->instance = get_text(&r, PROTOCOL_NAME_MAX);
	ret->hostname = get_text(&r, PROTOCOL_NAME_MAX);
	ret->user = get_text(&r, PROTOCOL_NAME_MAX);
	ret->folder = get_text(&r, PROTOCOL_PATH_MAX);
	ret->seed = bytes_get_u16_blob(&r, PROTOCOL_SEED_MAX, &seed_len);
	ret->seed_len = (uint32_t)seed_len;
	get_lists(&r, ret);
	return bytes_done(&r) && welcome_valid(ret);
}

void protocol_put_shutdown(struct bytes_writer *w, enum protocol_shutdown_kind kind)
{
	bytes_put_u32(w, kind);
}

bool protocol_get_shutdown(const void *data, size_t len, enum protocol_shutdown_kind *ret)
{
	struct bytes_reader r = bytes_reader(data, len);
	uint32_t kind = bytes_get_u32(&r);

	if (!bytes_done(&r) || kind > PROTOCOL_SHUTDOWN_REBOOT)
		return false;
	*ret = (enum protocol_shutdown_kind)kind;
	return true;
}

void protocol_put_time_set(struct bytes_writer *w, uint64_t time_ns)
{
	bytes_put_u64(w, time_ns);
}

bool protocol_get_time_set(const void *data, size_t len, uint64_t *ret_ns)
{
	struct bytes_reader r = bytes_reader(data, len);
	uint64_t time_ns = bytes_get_u64(&r);

	if (!bytes_done(&r))
		return false;
	*ret_ns = time_ns;
	return true;
}

/* -- requests -- */

static bool exec_valid(const struct protocol_exec *m)
{
	const uint32_t flags = PROTOCOL_EXEC_TTY | PROTOCOL_EXEC_CLEAN_ENV | PROTOCOL_EXEC_LOGIN |
			       PROTOCOL_EXEC_SHELL;

	if ((m->flags & ~flags) || (m->user[0] && !name_valid(m->user)))
		return false;
	if (m->folder[0] && m->folder[0] != '/')
		return false;
	return !m->argc == !!(m->flags & PROTOCOL_EXEC_SHELL);
}

void protocol_put_exec(struct bytes_writer *w, const struct protocol_exec *m)
{
	size_t start = w->offset;

	bytes_put_u32(w, m->flags);
	bytes_put_u16(w, m->rows);
	bytes_put_u16(w, m->cols);
	put_text(w, m->user, PROTOCOL_NAME_MAX);
	put_text(w, m->folder, PROTOCOL_PATH_MAX);
	put_words(w, m->argv, m->argc, false);
	put_words(w, m->env, m->env_count, true);
	if (!w->failed && (!exec_valid(m) || w->offset - start > PROTOCOL_EXEC_MAX))
		w->failed = true;
}

bool protocol_get_exec(const void *data, size_t len, struct protocol_exec *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	if (len > PROTOCOL_EXEC_MAX)
		return false;
	ret->flags = bytes_get_u32(&r);
	ret->rows = bytes_get_u16(&r);
	ret->cols = bytes_get_u16(&r);
	ret->user = get_text(&r, PROTOCOL_NAME_MAX);
	ret->folder = get_text(&r, PROTOCOL_PATH_MAX);
	ret->argc = get_words(&r, ret->argv, false);
	ret->env_count = get_words(&r, ret->env, true);
	return bytes_done(&r) && exec_valid(ret);
}

static bool copy_valid(const struct protocol_copy *m)
{
	const uint32_t flags = PROTOCOL_COPY_FOLDER | PROTOCOL_COPY_FOLLOW;

	return !(m->flags & ~flags) && m->path[0] && (!m->user[0] || name_valid(m->user));
}

void protocol_put_copy(struct bytes_writer *w, const struct protocol_copy *m)
{
	bytes_put_u32(w, m->flags);
	put_text(w, m->path, PROTOCOL_PATH_MAX);
	put_text(w, m->user, PROTOCOL_NAME_MAX);
	if (!w->failed && !copy_valid(m))
		w->failed = true;
}

bool protocol_get_copy(const void *data, size_t len, struct protocol_copy *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->flags = bytes_get_u32(&r);
	ret->path = get_text(&r, PROTOCOL_PATH_MAX);
	ret->user = get_text(&r, PROTOCOL_NAME_MAX);
	return bytes_done(&r) && copy_valid(ret);
}

void protocol_put_forward(struct bytes_writer *w, const struct protocol_forward *m)
{
	bytes_put_u16(w, m->port);
	if (!m->port)
		w->failed = true;
}

bool protocol_get_forward(const void *data, size_t len, struct protocol_forward *ret)
{
	struct bytes_reader r = bytes_reader(data, len);

	ret->port = bytes_get_u16(&r);
	return bytes_done(&r) && ret->port;
}
