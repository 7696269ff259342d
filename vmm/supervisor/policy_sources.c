/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/policy_sources.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/json.h"

#define DEFAULT_DOCUMENT "{\"version\":1,\"presets\":[\"" POLICY_DEFAULT_PRESET "\"]}"
#define PARENTS_MAX	 128

/* Both are the list's from then on; NULL stands for memory that could not be had. */
static int add(struct policy_sources *s, enum policy_layer layer, char *name, char *json,
	size_t len, struct err *err)
{
	if (!name || !json || s->count == POLICY_SOURCES_MAX) {
		free(name);
		free(json);
		return err_set(err, -ENOMEM, "policy: no memory");
	}
	s->texts[s->text_count++] = name;
	s->texts[s->text_count++] = json;
	s->list[s->count++] =
		(struct policy_source){ .layer = layer, .name = name, .json = json, .len = len };
	return 0;
}

/* Ours or root's, and nobody else may write it. */
static int check_owner(const struct stat *st, const char *path, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", path);
	if ((st->st_uid == geteuid() || st->st_uid == 0) && !(st->st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	err_set(err, -EPERM, "%s: others than its reader may write it (owner %u, mode %04o)", path,
		(unsigned int)st->st_uid, (unsigned int)(st->st_mode & 07777));
	return err_next_step(err, "chmod go-w %s, and make it your own", path);
}

/* The whole text of an open file. */
static int read_text(int fd, const char *path, char **ret, size_t *ret_len, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", path);
	if (st.st_size > (off_t)POLICY_DOCUMENT_MAX)
		return err_set(err, -EFBIG, "%s: more than %u bytes", path, POLICY_DOCUMENT_MAX);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return err_set(err, -ENOMEM, "%s: no memory", path);
	r = fdio_pread_full(fd, text, (size_t)st.st_size, 0);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	*ret = TAKE_PTR(text);
	*ret_len = (size_t)st.st_size;
	return 0;
}

/* A file of the host's own people; one that is not there is none. */
static int add_file(
	struct policy_sources *s, enum policy_layer layer, const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t len = 0;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", path);
	r = check_owner(&st, path, err);
	if (r == 0)
		r = read_text(fd, path, &text, &len, err);
	return r < 0 ? r : add(s, layer, strdup(path), text, len, err);
}

/* Its member `policy`; the rest of the file is for others. */
static int take_project(
	struct project_policy *ret, const char *path, const char *text, size_t len, struct err *err)
{
	_cleanup_json_ json_t *project = NULL;
	char *json, *name;
	json_t *policy;
	int r = json_parse_object(text, len, POLICY_DOCUMENT_MAX, path, &project, err);

	if (r < 0)
		return r;
	policy = json_object_get(project, "policy");
	if (!policy)
		return 0;
	if (!json_is_object(policy))
		return err_set(err, -EINVAL, "%s: policy: not an object", path);
	json = json_dumps(policy, JSON_COMPACT | JSON_SORT_KEYS);
	name = strdup(path);
	if (!json || !name) {
		free(json);
		free(name);
		return err_set(err, -ENOMEM, "%s: no memory", path);
	}
	r = project_policy_set(ret, name, json);
	return r < 0 ? err_set(err, r, "%s: no digest can be made", path) : 0;
}

/* 1: there is one in this folder, and it was taken. */
static int look_for_project(
	struct project_policy *ret, int folder_fd, const char *folder, struct err *err)
{
	_cleanup_close_ int fd =
		openat(folder_fd, POLICY_PROJECT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX + sizeof(POLICY_PROJECT) + 1];
	struct stat st;
	size_t len;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", strcmp(folder, "/") ? folder : "", POLICY_PROJECT);
	if (fd < 0 && errno == ELOOP)
		return err_set(err, -ELOOP, "%s: a link; it is not followed", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: not a regular file", path);
	r = read_text(fd, path, &text, &len, err);
	if (r == 0)
		r = take_project(ret, path, text, len, err);
	return r < 0 ? r : 1;
}

static bool is_git_root(int folder_fd)
{
	struct stat st;

	return fstatat(folder_fd, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int find_project(const char *workspace, struct project_policy *ret, struct err *err)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", workspace);
	for (int i = 0; i < PARENTS_MAX; i++) {
		_cleanup_close_ int fd =
			open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		char *slash = strrchr(folder, '/');
		int r;

		if (fd < 0)
			return err_set(err, -errno, "%s: %m", folder);
		r = look_for_project(ret, fd, folder, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (is_git_root(fd) || !slash || !folder[1])
			return 0;
		slash[slash == folder] = '\0';
	}
	return 0;
}

static int look(const struct policy_inputs *in, struct policy_project *ret, struct err *err)
{
	int r;

	ret->looked = true;
	if (project_policy_set(&ret->approved, NULL, NULL) < 0 ||
		project_policy_set(&ret->present, NULL, NULL) < 0)
		return err_set(err, -EIO, "policy: no digest can be made");
	r = find_project(in->workspace, &ret->present, err);
	ret->found = r == 0;
	if (r == 0)
		r = project_approval_load(
			in->paths, in->workspace, &ret->approved, &ret->exact, err);
	ret->known = r > 0;
	return r < 0 ? r : 0;
}

static int add_one(
	struct policy_sources *s, const struct project_policy *policy, bool old, struct err *err)
{
	char *name = NULL;

	if (!policy->json)
		return 0;
	if (asprintf(&name, "%s%s", policy->name, old ? ", as it was approved" : "") < 0)
		name = NULL;
	return add(s, POLICY_LAYER_PROJECT, name, strdup(policy->json), strlen(policy->json), err);
}

bool policy_project_changed(const struct policy_project *project)
{
	return project->known && strcmp(project->approved.digest, project->present.digest) != 0;
}

/* H5: each of them may only narrow, so with both of them nothing is wider than what was approved. */
static int add_project(struct policy_sources *s, const struct policy_inputs *in, struct err *err)
{
	int r = project_policy_set(&s->project.approved, NULL, NULL);

	if (r == 0)
		r = project_policy_set(&s->project.present, NULL, NULL);
	if (r == 0 && in->project)
		r = policy_project_copy(in->project, &s->project);
	else if (r == 0 && in->workspace)
		r = look(in, &s->project, err);
	if (r < 0)
		return r == -ENOMEM ? err_set(err, r, "policy: no memory") : r;
	if (policy_project_changed(&s->project))
		r = add_one(s, &s->project.approved, true, err);
	return r < 0 ? r : add_one(s, &s->project.present, false, err);
}

/* Whether somebody has said anything: then the default does not speak. */
static bool says_something(const struct policy_source *source)
{
	_cleanup_json_ json_t *document = NULL;

	if (json_parse_object(source->json, source->len, POLICY_DOCUMENT_MAX, source->name,
		    &document, NULL) < 0)
		return true; /* policy_create() will say what is wrong with it */
	return json_object_get(document, "presets") ||
	       (json_object_get(document, "rules") && source->layer != POLICY_LAYER_COMMAND);
}

static int add_default(struct policy_sources *s, struct err *err)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].layer != POLICY_LAYER_PROJECT && says_something(&s->list[i]))
			return 0;
	return add(s, POLICY_LAYER_USER, strdup("the default policy"), strdup(DEFAULT_DOCUMENT),
		strlen(DEFAULT_DOCUMENT), err);
}

static int add_own(struct policy_sources *s, const struct policy_inputs *in, struct err *err)
{
	char path[PATH_MAX];
	int r;

	if (!in->sandbox)
		return 0;
	r = paths_of_state(in->paths, in->sandbox, POLICY_FILE, path, err);
	return r < 0 ? r : add_file(s, POLICY_LAYER_COMMAND, path, err);
}

int policy_sources_load(const struct policy_inputs *in, struct policy_sources *ret, struct err *err)
{
	struct policy_sources s = {};
	char path[PATH_MAX];
	int r = add_file(&s, POLICY_LAYER_SYSTEM,
		in->system_file ? in->system_file : POLICY_SYSTEM_FILE, err);

	if (snprintf(path, sizeof(path), "%s/%s", in->paths->config, POLICY_FILE) >=
		(int)sizeof(path))
		r = err_set(err, -ENAMETOOLONG, "%s: too long a path", in->paths->config);
	if (r == 0)
		r = add_file(&s, POLICY_LAYER_USER, path, err);
	if (r == 0 && in->command)
		r = add(&s, POLICY_LAYER_COMMAND, strdup("the command line"), strdup(in->command),
			strlen(in->command), err);
	if (r == 0)
		r = add_own(&s, in, err);
	if (r == 0)
		r = add_project(&s, in, err);
	if (r == 0)
		r = add_default(&s, err);
	if (r < 0)
		policy_sources_finish(&s);
	else
		*ret = s;
	return r;
}

int policy_sources_load_project(
	const struct policy_inputs *in, struct policy_sources *ret, struct err *err)
{
	struct policy_sources s = {};
	int r = look(in, &s.project, err);

	if (r < 0 && s.project.found)
		r = 0;
	if (r == 0)
		r = add_one(&s, &s.project.present, false, err);
	if (r < 0)
		policy_sources_finish(&s);
	else
		*ret = s;
	return r;
}

void policy_sources_finish(struct policy_sources *s)
{
	for (size_t i = 0; i < s->text_count; i++)
		free(s->texts[i]);
	policy_project_finish(&s->project);
	*s = (struct policy_sources){};
}

int policy_project_settle(const struct paths *paths, const char *workspace,
	const struct policy_project *project, struct err *err)
{
	if (!project->looked || (project->known && project->exact))
		return 0;
	return project_approval_store(
		paths, workspace, project->known ? &project->approved : &project->present, err);
}

int policy_project_save(const struct paths *paths, const char *sandbox,
	const struct policy_project *project, struct err *err)
{
	json_t *approved = project_policy_encode(&project->approved),
	       *present = project_policy_encode(&project->present);
	_cleanup_json_ json_t *object = json_pack("{s:b, s:b, s:o, s:o}", "looked", project->looked,
		"known", project->known, "approved", approved, "present", present);
	_cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	char path[PATH_MAX];
	int r = paths_of_state(paths, sandbox, POLICY_PROJECT_KEPT, path, err);

	if (r == 0 && !text)
		r = err_set(err, -EINVAL, "%s: cannot be written as JSON", path);
	if (r < 0)
		return r;
	r = fdio_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600);
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

int policy_project_saved(
	const struct paths *paths, const char *sandbox, struct policy_project *ret, struct err *err)
{
	struct policy_project project = { .exact = true };
	_cleanup_json_ json_t *object = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_reader reader;
	json_t *approved, *present;
	char path[PATH_MAX];
	size_t len;
	int r = paths_of_state(paths, sandbox, POLICY_PROJECT_KEPT, path, err);

	if (r < 0)
		return r;
	r = fdio_read_file(AT_FDCWD, path, 3 * POLICY_DOCUMENT_MAX, &text, &len);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	r = json_parse_object(text, len, 3 * POLICY_DOCUMENT_MAX, path, &object, err);
	if (r < 0)
		return r;
	reader = json_reader(object, path, err);
	project.looked = json_get_bool(&reader, "looked");
	project.known = json_get_bool(&reader, "known");
	approved = json_get_object(&reader, "approved");
	present = json_get_object(&reader, "present");
	r = json_reader_done(&reader);
	if (r == 0)
		r = project_policy_decode(approved, &project.approved, err);
	if (r == 0)
		r = project_policy_decode(present, &project.present, err);
	if (r < 0)
		policy_project_finish(&project);
	else
		*ret = project;
	return r;
}

int policy_project_copy(const struct policy_project *from, struct policy_project *ret)
{
	struct policy_project copy = {
		.looked = from->looked, .known = from->known, .exact = from->exact
	};
	int r = project_policy_copy(&from->approved, &copy.approved);

	if (r == 0)
		r = project_policy_copy(&from->present, &copy.present);
	if (r < 0)
		policy_project_finish(&copy);
	else
		*ret = copy;
	return r;
}

void policy_project_finish(struct policy_project *project)
{
	project_policy_finish(&project->approved);
	project_policy_finish(&project->present);
	*project = (struct policy_project){};
}
