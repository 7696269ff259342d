/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/secret_use.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/audit/audit_open.h"
#include "vmm/supervisor/audit/reader.h"
#include "vmm/supervisor/policy_sources.h"
#include "vmm/supervisor/registry.h"
#include "vmm/supervisor/secrets/secret_ref.h"

#define TIME_LEN 20 /* to the second */

/* One row for each (policy, binding), and one for each secret that a log names. */
struct row {
	char secret[SECRET_NAME_MAX + 1];
	char binding[SANDBOX_NAME_MAX + POLICY_ID_MAX + 8]; /* "": a row of a log */
	char time[TIME_LEN + 1];
};

struct secret_use {
	struct row *rows;
	size_t count, room;
};

static struct row *add_row(struct secret_use *use, const char *secret, size_t len)
{
	struct row *row;

	if (len > SECRET_NAME_MAX)
		return NULL;
	if (use->count == use->room) {
		size_t room = use->room ? use->room * 2 : 32;
		struct row *rows = reallocarray(use->rows, room, sizeof(*rows));

		if (!rows)
			return NULL;
		use->rows = rows;
		use->room = room;
	}
	row = &use->rows[use->count++];
	*row = (struct row){};
	memcpy(row->secret, secret, len);
	return row;
}

/* Policies. */

static void take_policy(struct secret_use *use, const struct paths *paths, const char *sandbox,
	const struct spec *spec)
{
	struct policy_inputs in = { .paths = paths,
		.sandbox = sandbox,
		.workspace = spec ? spec->workspace.host : NULL,
		.command = spec ? spec->policy : NULL };
	struct policy_sources sources = {};
	struct policy *policy = NULL;
	int r = policy_sources_load(&in, &sources, NULL);

	if (r == 0)
		r = policy_create(sources.list, sources.count, POLICY_TIER_ADMIN, &policy, NULL);
	for (size_t i = 0; r == 0 && i < policy->binding_count; i++) {
		const struct policy_binding *b = &policy->bindings[i];
		struct row *row;

		if (sandbox && b->layer != POLICY_LAYER_COMMAND)
			continue; /* all sandboxes have it: told once, as the user's */
		row = add_row(use, b->secret, strlen(b->secret));
		if (row)
			snprintf(row->binding, sizeof(row->binding), "%s%s%s",
				sandbox ? sandbox : "", sandbox ? ": " : "", b->id);
	}
	policy_destroy(policy);
	policy_sources_finish(&sources);
}

static int take_policies(struct secret_use *use, const struct paths *paths, struct err *err)
{
	char **names = NULL;
	int r = registry_list(paths, &names, err);

	if (r < 0)
		return r;
	take_policy(use, paths, NULL, NULL);
	for (char **name = names; *name; name++) {
		struct record record;

		record_init(&record);
		if (registry_load(paths, *name, &record, NULL) == 0)
			take_policy(use, paths, *name, &record.spec);
		record_finish(&record);
	}
	json_free_texts(names);
	return 0;
}

/* Logs. */

static const char *field(const char *line, const char *key, size_t *ret_len)
{
	const char *at = strstr(line, key);

	if (!at)
		return NULL;
	at += strlen(key);
	*ret_len = strcspn(at, "\"");
	return at;
}

static void take_line(struct secret_use *use, const char *line)
{
	size_t name_len, time_len;
	const char *name = field(line, ",\"secret\":\"", &name_len);
	const char *time = name ? field(line, ",\"time\":\"", &time_len) : NULL;
	struct row *row = NULL;

	if (!time || time_len < TIME_LEN)
		return;
	for (size_t i = 0; i < use->count && !row; i++)
		if (!*use->rows[i].binding && strlen(use->rows[i].secret) == name_len &&
			strncmp(use->rows[i].secret, name, name_len) == 0)
			row = &use->rows[i];
	if (!row)
		row = add_row(use, name, name_len);
	if (row && strncmp(row->time, time, TIME_LEN - 1) < 0) {
		memcpy(row->time, time, TIME_LEN - 1);
		strcpy(row->time + TIME_LEN - 1, "Z");
	}
}

static void take_log(struct secret_use *use, int audit_fd, const char *name)
{
	int fd = openat(audit_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct reader *reader = NULL;
	const char *line;
	size_t len;

	if (fd < 0)
		return;
	if (reader_create(fd, 0, &reader) == 0)
		while (reader_next(reader, &line, &len) > 0)
			take_line(use, line);
	reader_destroy(reader);
	close(fd);
}

static void take_logs(struct secret_use *use, const struct paths *paths)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;
	char folder[PATH_MAX];

	if (audit_folder_path(paths, NULL, folder, NULL) < 0)
		return;
	dir = opendir(folder);
	while (dir && (entry = readdir(dir)) != NULL)
		if (sandbox_name_valid(entry->d_name))
			take_log(use, dirfd(dir), entry->d_name);
}

int secret_use_find(const struct paths *paths, struct secret_use **ret, struct err *err)
{
	struct secret_use *use = calloc(1, sizeof(*use));
	int r;

	if (!use)
		return err_set(err, -ENOMEM, "no memory");
	r = take_policies(use, paths, err);
	if (r < 0) {
		secret_use_destroy(use);
		return r;
	}
	take_logs(use, paths);
	*ret = use;
	return 0;
}

void secret_use_destroy(struct secret_use *use)
{
	if (!use)
		return;
	free(use->rows);
	free(use);
}

const char *secret_use_last(const struct secret_use *use, const char *name)
{
	for (size_t i = 0; i < use->count; i++)
		if (!*use->rows[i].binding && strcmp(use->rows[i].secret, name) == 0)
			return use->rows[i].time;
	return NULL;
}

void secret_use_bindings(const struct secret_use *use, const char *name, struct document *list)
{
	for (size_t i = 0; i < use->count; i++)
		if (*use->rows[i].binding && strcmp(use->rows[i].secret, name) == 0)
			document_append_text(list, use->rows[i].binding);
}
