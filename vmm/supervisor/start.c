/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/base/spawn.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/ports.h"
#include "vmm/supervisor/secrets/secret_environment.h"
#include "vmm/supervisor/progress.h"

#define ENVIRONMENT_MAX 16

/* S12: all that the supervisor and what it starts get of the caller's environment. */
static const char *const passed_variables[] = {
	"HOME", /* where the XDG folders are when the next five are unset */
	"XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"SUDO_UID",
	"SUDO_GID", /* whose the jailed processes are when root's folder is the workspace */
};

struct environment {
	char *words[ENVIRONMENT_MAX + 1];
	size_t count;
};

static int add_variable(struct environment *e, const char *key, const char *value)
{
	if (e->count == ENVIRONMENT_MAX || asprintf(&e->words[e->count], "%s=%s", key, value) < 0) {
		e->words[e->count] = NULL;
		return -ENOMEM;
	}
	e->count++;
	return 0;
}

static int fill_environment(struct environment *e)
{
	int r = add_variable(
		e, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

	if (r == 0)
		r = add_variable(e, "LANG", "C.UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(passed_variables) && r == 0; i++) {
		const char *value = getenv(passed_variables[i]);

		if (value)
			r = add_variable(e, passed_variables[i], value);
	}
	return r;
}

static void finish_environment(struct environment *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->words[i]);
}

/* The spec in memory, read from its start by the supervisor. */
static int write_spec(const struct spec *spec, int *ret_fd, struct err *err)
{
	_cleanup_json_ json_t *json = spec_encode(spec);
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!text)
		return err_set(err, -EINVAL,
			"sandbox %s: what it is told cannot be written as JSON", spec->name);
	if (strlen(text) > SPEC_TEXT_MAX)
		return err_set(err, -E2BIG,
			"sandbox %s: command and environment are longer than %d bytes", spec->name,
			SPEC_TEXT_MAX);
	fd = memfd_create("spec", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(
			err, -errno, "sandbox %s: memfd_create: %s", spec->name, strerror(errno));
	r = fdio_write_full(fd, text, strlen(text));
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, r < 0 ? r : -errno, "sandbox %s: its spec cannot be handed on",
			spec->name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int spawn_supervisor(
	const char *word, int spec_fd, int progress_fd, int environment_fd, struct err *err)
{
	const struct spawn_fd fds[] = {
		{ .source = spec_fd, .target = PROGRESS_SPEC_FD },
		{ .source = progress_fd, .target = PROGRESS_FD },
		{ .source = environment_fd, .target = PROGRESS_ENVIRONMENT_FD },
	};
	const char *const argv[] = { "sandbox-supervisor", word, NULL };
	_cleanup_close_ int pidfd = -1;
	struct environment environment = {};
	char path[PATH_MAX];
	pid_t pid;
	int r = paths_find_program("sandbox-supervisor", path, err);

	if (r < 0)
		return r;
	r = fill_environment(&environment);
	if (r == 0)
		r = spawn(&(struct spawn_spec){ .path = path,
				  .argv = argv,
				  .environment = (const char *const *)environment.words,
				  .fds = fds,
				  .fd_count = ARRAY_SIZE(fds) },
			&pid, &pidfd, err);
	else
		err_set(err, r, "sandbox-supervisor: out of memory");
	finish_environment(&environment);
	return r;
}

struct start_watch {
	start_progress_fn *progress;
	void *data;
	char *stage;
	json_t **ret_status;
};

/* One line of the supervisor's; 1 when it runs, 0 to go on, negative when it has failed. */
static int take_line(struct start_watch *watch, json_t *line, struct err *err)
{
	const char *stage = json_string_value(json_object_get(line, "stage"));
	const char *text = json_string_value(json_object_get(line, "text"));
	json_t *ok = json_object_get(line, "ok");

	if (stage)
		snprintf(watch->stage, START_STAGE_MAX, "%s", stage);
	if (json_is_false(ok))
		return control_error_from_json(line, err);
	if (json_is_true(ok)) {
		if (watch->ret_status)
			*watch->ret_status = json_incref(json_object_get(line, "data"));
		return 1;
	}
	if (stage && text && watch->progress)
		watch->progress(watch->data, stage, text);
	return 0;
}

static int follow(FILE *pipe, const struct spec *spec, struct start_watch *watch, struct err *err)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((errno = 0, n = getline(&line, &size, pipe)) > 0) {
		_cleanup_json_ json_t *json = NULL;
		int r = json_parse_object(
			line, (size_t)n, CONTROL_MESSAGE_MAX, "progress", &json, err);

		if (r == 0)
			r = take_line(watch, json, err);
		if (r)
			return r < 0 ? r : 0;
	}
	if (errno == EINTR)
		return err_set(err, -EINTR, "sandbox %s: its start was interrupted", spec->name);
	err_set(err, -EPIPE, "sandbox %s: its supervisor ended without a word", spec->name);
	err_next_step(err, "see supervisor.log in the state folder of the sandbox");
	return -EPIPE;
}

/* sandbox-supervisor with this spec, told `word` where that is not NULL; followed to its last line. */
static int run_supervisor(const struct paths *paths, const struct spec *spec, const char *word,
	struct start_watch *watch, struct err *err)
{
	_cleanup_close_ int spec_fd = -1, read_fd = -1, write_fd = -1, environment_fd = -1;
	_cleanup_fclose_ FILE *pipe = NULL;
	int fds[2], r;

	strcpy(watch->stage, "prepare");
	r = paths_prepare(paths, err);
	if (r == 0)
		r = write_spec(spec, &spec_fd, err);
	if (r == 0)
		r = secret_environment_write(paths, &environment_fd, err);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "sandbox %s: cannot make a pipe: %s", spec->name,
			strerror(errno));
	read_fd = fds[0];
	write_fd = fds[1];
	r = spawn_supervisor(word, spec_fd, write_fd, environment_fd, err);
	if (r < 0)
		return r;
	close(TAKE_FD(write_fd));
	pipe = fdopen(read_fd, "r");
	if (!pipe)
		return err_set(err, -errno, "sandbox %s: out of memory", spec->name);
	TAKE_FD(read_fd);
	return follow(pipe, spec, watch, err);
}

int sandbox_check_start(const struct paths *paths, const struct spec *spec,
	start_progress_fn *progress, void *data, char ret_stage[static START_STAGE_MAX],
	struct err *err)
{
	struct start_watch watch = { progress, data, ret_stage, NULL };
	int r = run_supervisor(paths, spec, PROGRESS_CHECK, &watch, err);

	if (r < 0)
		return r;
	strcpy(ret_stage, "ports");
	return ports_check_replace(paths, spec, err);
}

int sandbox_start(const struct paths *paths, const struct spec *spec, start_progress_fn *progress,
	void *data, char ret_stage[static START_STAGE_MAX], json_t **ret_status, struct err *err)
{
	struct start_watch watch = { progress, data, ret_stage, ret_status };

	return run_supervisor(paths, spec, NULL, &watch, err);
}

/* Until nobody holds the lock; then the record says how it ended. */
static int wait_unlocked(
	const struct paths *paths, const char *name, uint64_t end_ms, struct err *err)
{
	struct timespec pause = { .tv_nsec = 50 * 1000000 };

	while (registry_is_locked(paths, name) == 1) {
		if (end_ms && clock_monotonic_ms() >= end_ms)
			return err_set(err, -ETIME, "sandbox %s: it has not ended in time", name);
		nanosleep(&pause, NULL);
	}
	return 0;
}

int sandbox_wait(const struct paths *paths, const char *name, uint64_t timeout_ms,
	struct record *ret_record, struct err *err)
{
	_cleanup_json_ json_t *request = json_pack("{s:s}", "op", "wait");
	uint64_t end_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
	_cleanup_close_ int fd = -1;
	struct record record;
	int r = registry_load(paths, name, &record, err);

	if (r < 0)
		return r;
	record_finish(&record);
	if (control_connect(paths, name, &fd, NULL) == 0) {
		r = control_call(fd, request, timeout_ms, NULL, NULL, err);
		if (r == -ETIME)
			return err_set(err, r, "sandbox %s: it has not ended in time", name);
	}
	r = wait_unlocked(paths, name, end_ms, err);
	if (r == 0)
		r = sandbox_clean_stale(paths, name, err);
	return r < 0 ? r : registry_load(paths, name, ret_record, err);
}
