/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes what nothing uses any more: sandboxes that have ended (their flags, logs and keys; never a workspace), what a
 * killed supervisor left behind, and with --cache what can be made again. Asks on a terminal; without one --yes is needed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/parse.h"
#include "vmm/sandboxctl/target.h"
#include "vmm/supervisor/start.h"

#define CACHE_AGE_MS (30ull * 24 * 3600 * 1000)
#define WALK_FDS     16

static const struct option_def options[] = {
	{ "dry-run", 0, NULL, "say what would go, and remove nothing" },
	{ "yes", 'y', NULL, "do not ask" },
	{ "older-than", 0, "TIME", "only what ended longer ago (default: all; caches: 30d)" },
	{ "cache", 0, NULL, "also unpacked kernels and initramfs files that can be made again" },
	OPTION_JSON,
	OPTIONS_COMMON,
};

struct prune {
	const struct invocation *in;
	struct paths paths;
	uint64_t age_ms;
	bool age_given;
	struct document *sandboxes, *files; /* what goes */
};

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

/* What was quarantined too: nothing holds its lock any more, and sandbox_remove() verifies it. */
static bool record_is_prunable(const struct prune *p, const char *name)
{
	struct record record;
	bool prunable = true;

	record_init(&record);
	if (registry_load(&p->paths, name, &record, NULL) == 0)
		prunable = record.ended_at + p->age_ms / 1000 <= now_s();
	record_finish(&record);
	return prunable;
}

static int find_sandboxes(struct prune *p, struct err *err)
{
	char **names;
	int r = registry_list(&p->paths, &names, err);

	if (r < 0)
		return r;
	for (char **name = names; *name; name++)
		if (registry_is_locked(&p->paths, *name) == 0 && record_is_prunable(p, *name))
			document_append_text(p->sandboxes, *name);
	json_free_texts(names);
	return 0;
}

static bool old_enough(const struct prune *p, const struct stat *s)
{
	uint64_t age_s = (p->age_given ? p->age_ms : CACHE_AGE_MS) / 1000;

	return (uint64_t)s->st_mtim.tv_sec + age_s <= now_s();
}

/* Entries of one folder of the cache. */
static void find_cache_files(struct prune *p, const char *folder)
{
	char path[PATH_MAX], file[PATH_MAX];
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	struct stat s;

	if (snprintf(path, sizeof(path), "%s/%s", p->paths.cache, folder) >= (int)sizeof(path))
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
			fstatat(dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0 ||
			!old_enough(p, &s))
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < (int)sizeof(file))
			document_append_text(p->files, file);
	}
}

static void find_caches(struct prune *p)
{
	static const char *const folders[] = { "vmlinux", "initramfs" };

	if (options_flag(&p->in->options, "cache"))
		for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
			find_cache_files(p, folders[i]);
}

static void print_list(const char *verb, const struct document *list)
{
	char text[PATH_MAX];

	for (size_t i = 0; i < document_count(list); i++)
		printf("%s %s\n", verb,
			document_show(document_at(list, i), NULL, text, sizeof(text)));
}

static int remove_file(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s;
	(void)kind;
	(void)where;
	return remove(path) < 0 ? -errno : 0;
}

static int remove_all(struct prune *p)
{
	char text[PATH_MAX];
	struct err err = {};
	int code = EXIT_OK;

	for (size_t i = 0; i < document_count(p->sandboxes); i++) {
		const char *name =
			document_show(document_at(p->sandboxes, i), NULL, text, sizeof(text));

		if (sandbox_remove(&p->paths, name, START_GRACE_MS, &err) < 0)
			code = report_general(p->in, "remove", &err);
	}
	for (size_t i = 0; i < document_count(p->files); i++)
		(void)nftw(document_show(document_at(p->files, i), NULL, text, sizeof(text)),
			remove_file, WALK_FDS, FTW_DEPTH | FTW_PHYS);
	return code;
}

static int report(const struct prune *p, bool removed)
{
	struct document *d;

	if (!p->in->json)
		return EXIT_OK;
	d = document_object();
	document_set_bool(d, "removed", removed);
	document_set_child(d, "sandboxes", document_copy(p->sandboxes));
	document_set_child(d, "files", document_copy(p->files));
	return report_document("Pruned", d);
}

static int act(struct prune *p)
{
	bool dry_run = options_flag(&p->in->options, "dry-run");
	struct err err = {};
	int code;

	if (!p->in->json) {
		print_list("sandbox", p->sandboxes);
		print_list("cache", p->files);
	}
	if (!(document_count(p->sandboxes) + document_count(p->files))) {
		if (!p->in->json)
			fputs("nothing to remove\n", stderr);
		return report(p, false);
	}
	if (dry_run)
		return report(p, false);
	if (!report_confirmed(p->in, "remove these?", "nothing was removed",
		    "sandboxctl prune --yes removes, --dry-run shows", &err))
		return report_failure(
			p->in, (struct failure){ EXIT_GENERAL, "not-confirmed", "confirm" }, &err);
	code = remove_all(p);
	return code ? code : report(p, true);
}

static int clean_and_find(struct prune *p)
{
	struct err err = {};

	if (find_sandboxes(p, &err) < 0)
		return report_general(p->in, "lookup", &err);
	find_caches(p);
	return act(p);
}

static int run(struct invocation *in)
{
	const char *age = options_value(&in->options, "older-than");
	struct prune p = { .in = in, .age_given = age != NULL };
	struct err err = {};
	int code;

	if (age && !parse_duration_ms(age, &p.age_ms)) {
		err_set(&err, -EINVAL, "--older-than %.40s: not a time (12h, 7d)", age);
		return report_usage(in, &err);
	}
	code = target_paths(in, &p.paths);
	if (code)
		return code;
	p.sandboxes = document_list();
	p.files = document_list();
	code = clean_and_find(&p);
	document_destroy(p.sandboxes);
	document_destroy(p.files);
	return code;
}

const struct command command_prune = {
	.name = "prune",
	.summary = "Remove sandboxes that have ended, and with --cache what can be made again",
	.details =
		"Workspaces are never touched. Says what goes and asks; without a terminal --yes is needed.",
	.options = options,
	.run = run,
};
