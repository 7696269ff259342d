/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/secrets/secret_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/base/spawn.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/secrets/secret_source.h"
#include "vmm/supervisor/secrets/secret_store.h"
#include "vmm/supervisor/spec.h"

#define PROGRAM "sandbox-secret"
#define WAIT_MS (SECRET_COMMAND_MS + 5000)

static bool is_below(const char *path, const char *folder)
{
	size_t len = folder ? strlen(folder) : 0;

	return len && strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len]);
}

/* S12: what a guest may have written is no secret of the host's, and may be a link to one. */
static int check_shares(const struct spec *spec, const char *path, struct err *err)
{
	bool shared = is_below(path, spec->workspace.host);

	for (size_t i = 0; i < spec->share_count; i++)
		shared = shared || is_below(path, spec->shares[i].host);
	if (!shared)
		return 0;
	err_set(err, -EPERM, "%s lies in a folder that the sandbox has", path);
	return err_next_step(err, "keep it outside of the workspace and of -v folders");
}

int secret_fetch_find(const struct secret_request *request, const char *name,
	struct secret_ref *ret, struct err *err)
{
	int r = secret_store_find(request->paths, name, ret, err);

	if (r < 0)
		return r;
	r = ret->kind == SECRET_FILE ? check_shares(request->spec, ret->text, err) : 0;
	return r < 0 ? err_prefix(err, r, "secret %s", name) : 0;
}

/* The reference as a file that begins at its beginning. */
static int reference_file(const struct secret_ref *ref, int *ret_fd, struct err *err)
{
	_cleanup_json_ json_t *json = secret_ref_json(ref);
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	_cleanup_close_ int fd = memfd_create("secret", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : text ? fdio_write_full(fd, text, strlen(text)) : -ENOMEM;

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return err_set(err, r, "a secret's reference: %s", strerror(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int enter_cgroup(void *data, pid_t pid, struct err *err)
{
	int r = cgroup_enter(data, pid);

	return r < 0 ? err_set(err, r, "its control group: %s", strerror(-r)) : 0;
}

struct ends {
	int reference, output, stored, words;
};

static int make_ends(const struct secret_request *request, const struct secret_ref *ref,
	struct secret_fetch *fetch, struct ends *ends, struct err *err)
{
	int value[2], words[2], r = reference_file(ref, &ends->reference, err);

	if (r == 0 && ref->kind == SECRET_STORED)
		r = secret_store_open_value(request->paths, fetch->name, &ends->stored, err);
	if (r < 0)
		return r;
	if (pipe2(value, O_CLOEXEC) < 0)
		return err_set(err, -errno, "a pipe: %m");
	fetch->value_fd = value[0];
	ends->output = value[1];
	if (!request->wait)
		return 0;
	if (pipe2(words, O_CLOEXEC) < 0)
		return err_set(err, -errno, "a pipe: %m");
	fetch->words_fd = words[0];
	ends->words = words[1];
	return 0;
}

static int spawn_helper(const struct secret_request *request, const struct ends *ends,
	struct secret_fetch *fetch, struct err *err)
{
	static const char *const argv[] = { PROGRAM, NULL };
	struct spawn_fd fds[5] = {
		{ ends->reference, 0 },
		{ ends->words >= 0 ? ends->words : STDERR_FILENO, STDERR_FILENO },
		{ ends->output, 3 },
	};
	struct spawn_spec spec = { .argv = argv, .fds = fds, .fd_count = 3 };
	char path[PATH_MAX];
	int r = paths_find_program(PROGRAM, path, err);

	if (r < 0)
		return r;
	spec.path = path;
	if (request->environment_fd >= 0)
		fds[spec.fd_count++] = (struct spawn_fd){ request->environment_fd, 4 };
	if (ends->stored >= 0)
		fds[spec.fd_count++] = (struct spawn_fd){ ends->stored, 5 };
	if (request->cgroup && *request->cgroup) {
		spec.before_exec = enter_cgroup;
		spec.data = (void *)(size_t)request->cgroup;
	}
	return spawn(&spec, &fetch->pid, &fetch->pidfd, err);
}

int secret_fetch_start(const struct secret_request *request, const char *name,
	struct secret_fetch *ret, struct err *err)
{
	struct ends ends = { -1, -1, -1, -1 };
	struct secret_ref ref;
	int r;

	*ret = (struct secret_fetch){ .pidfd = -1, .value_fd = -1, .words_fd = -1 };
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	r = secret_fetch_find(request, name, &ref, err);
	if (r < 0)
		return r;
	r = make_ends(request, &ref, ret, &ends, err);
	if (r == 0)
		r = spawn_helper(request, &ends, ret, err);
	close_keeping_errno(ends.reference);
	close_keeping_errno(ends.output);
	close_keeping_errno(ends.stored);
	close_keeping_errno(ends.words);
	ret->refresh_s = ref.refresh_s;
	if (r < 0) {
		secret_fetch_finish(ret);
		return err_prefix(err, r, "secret %s", name);
	}
	return 0;
}

/* One line, printable: a command's name may be in it, never what it printed. */
static void read_words(int fd, char *words, size_t size)
{
	ssize_t n = fd < 0 ? 0 : read(fd, words, size - 1);

	words[n > 0 ? n : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	for (char *p = words; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

/* Before the loop reaps children. -ENOKEY with its words. */
static int wait_for(struct secret_fetch *fetch, uint64_t end_ms, struct err *err)
{
	struct pollfd p = { .fd = fetch->pidfd, .events = POLLIN };
	char words[512];
	int status = 0, r;

	do {
		uint64_t now_ms = clock_monotonic_ms();

		r = poll(&p, 1, now_ms < end_ms ? (int)(end_ms - now_ms) : 0);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		kill(fetch->pid, SIGKILL);
	if (waitpid(fetch->pid, &status, 0) == fetch->pid)
		fetch->pid = 0;
	if (r > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_words(fetch->words_fd, words, sizeof(words));
	err_set(err, -ENOKEY, "secret %s: %s", fetch->name,
		r == 0	 ? "it could not be fetched in time"
		: *words ? words
			 : "it could not be fetched");
	return err_next_step(err, "sandboxctl secret set %s", fetch->name);
}

/* The first one's way out stays, the others are named behind it. */
static int join(struct err *all, int r, const struct err *one)
{
	char text[ERR_TEXT_MAX], next_step[ERR_TEXT_MAX];

	if (!all)
		return r;
	if (!all->code) {
		*all = *one;
		return r;
	}
	memcpy(text, all->text, sizeof(text));
	memcpy(next_step, all->next_step, sizeof(next_step));
	err_set(all, all->code, "%s; %s", text, one->text);
	return err_next_step(all, "%s", next_step);
}

int secret_fetch_all(const struct secret_request *request, const char *const *names, size_t count,
	struct secret_fetch *rets, struct err *err)
{
	struct err all = {};
	uint64_t end_ms;
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		struct err one = {};
		int begun = secret_fetch_start(request, names[i], &rets[i], &one);

		if (begun < 0)
			r = join(&all, begun, &one);
	}
	end_ms = clock_monotonic_ms() + WAIT_MS;
	for (size_t i = 0; i < count; i++) {
		struct err one = {};
		int got = rets[i].pid > 0 ? wait_for(&rets[i], end_ms, &one) : 0;

		if (got < 0)
			r = join(&all, got, &one);
	}
	if (r == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		secret_fetch_finish(&rets[i]);
	if (err)
		*err = all;
	return all.code;
}

void secret_fetch_finish(struct secret_fetch *fetch)
{
	close_keeping_errno(TAKE_FD(fetch->pidfd));
	close_keeping_errno(TAKE_FD(fetch->value_fd));
	close_keeping_errno(TAKE_FD(fetch->words_fd));
}
