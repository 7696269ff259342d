/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/registry.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

#define LOCK_POLL_MS	 20
#define REMOVE_DEPTH_MAX 32

int registry_load(const struct paths *paths, const char *name, struct record *ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;
	int r = paths_of_state(paths, name, "record.json", path, err);

	if (r < 0)
		return r;
	r = fdio_read_file(AT_FDCWD, path, REGISTRY_RECORD_MAX, &text, &len);
	if (r == -ENOENT)
		return err_set(err, -ENOENT, "sandbox %s: there is no such sandbox", name);
	if (r < 0)
		return err_set(err, r, "record %s: %s", path, strerror(-r));
	r = record_parse(text, len, ret, err);
	if (r < 0) {
		err_prefix(err, r, "sandbox %s", name);
		err_next_step(err, "sandboxctl rm %s", name);
		return r;
	}
	if (strcmp(ret->spec.name, name) != 0) {
		record_finish(ret);
		return err_set(err, -EINVAL, "record %s: is of another name", path);
	}
	return 0;
}

static bool disk_is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/*
 * On a full disk, which must not keep a sandbox from ending (H1): the old record's own blocks take the new one. Not whole
 * for a reader at just this moment, nor after a crash at it: such a record is unreadable, which `rm` copes with.
 */
static int overwrite(const char *path, const char *text, size_t len)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat s;
	int r;

	if (fd < 0 || fstat(fd, &s) < 0)
		return -errno;
	if (!S_ISREG(s.st_mode) || (uint64_t)s.st_blocks * 512 < len)
		return -ENOSPC;
	r = fdio_write_full(fd, text, len);
	if (r == 0 && (ftruncate(fd, (off_t)len) < 0 || fsync(fd) < 0))
		r = -errno;
	return r;
}

int registry_save(const struct paths *paths, const struct record *record, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;
	int r = paths_of_state(paths, record->spec.name, "record.json", path, err);

	if (r == 0)
		r = record_format(record, &text, &len, err);
	if (r < 0)
		return r;
	r = fdio_write_file_atomic(AT_FDCWD, path, text, len, 0600);
	if (disk_is_full(r) && overwrite(path, text, len) == 0)
		r = 0;
	return r < 0 ? err_set(err, r, "record %s: cannot write it: %s", path, strerror(-r)) : 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect_names(DIR *folder, char **names, size_t *count)
{
	struct dirent *entry;

	while ((entry = readdir(folder)) && *count < REGISTRY_SANDBOXES_MAX) {
		if (!sandbox_name_valid(entry->d_name))
			continue;
		names[*count] = strdup(entry->d_name);
		if (!names[*count])
			return -ENOMEM;
		(*count)++;
	}
	return 0;
}

int registry_list(const struct paths *paths, char ***ret_names, struct err *err)
{
	char path[PATH_MAX];
	size_t count = 0;
	char **names;
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s/sandboxes", paths->state) >= sizeof(path))
		return err_set(err, -ENAMETOOLONG, "state folder: its path is too long");
	_cleanup_closedir_ DIR *folder = opendir(path);

	if (!folder && errno != ENOENT)
		return err_set(err, -errno, "folder %s: %s", path, strerror(errno));
	names = calloc(REGISTRY_SANDBOXES_MAX + 1, sizeof(*names));
	r = !names ? -ENOMEM : folder ? collect_names(folder, names, &count) : 0;
	if (r < 0) {
		json_free_texts(names);
		return err_set(err, r, "folder %s: out of memory", path);
	}
	qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	return 0;
}

/* Whether path still names the file that fd holds: a remover may have been faster. */
static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int open_lock(const char *folder, const char *path, bool make)
{
	int fd;

	if (make && mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0600);
	return fd < 0 ? -errno : fd;
}

/* One try: 0 and *ret_fd, -EBUSY, or -EAGAIN where the folder was removed meanwhile. */
static int try_lock(const char *folder, const char *path, bool make, int *ret_fd)
{
	_cleanup_close_ int fd = open_lock(folder, path, make);

	if (fd == -ENOENT && make)
		return -EAGAIN;
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!is_same_file(fd, path))
		return -EAGAIN;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int lock_paths(const struct paths *paths, const char *name, char folder[static PATH_MAX],
	char path[static PATH_MAX], struct err *err)
{
	int r = paths_of_state(paths, name, NULL, folder, err);

	return r < 0 ? r : paths_of_state(paths, name, "lock", path, err);
}

int registry_lock(
	const struct paths *paths, const char *name, uint64_t wait_ms, int *ret_fd, struct err *err)
{
	uint64_t end = clock_monotonic_ms() + wait_ms;
	char folder[PATH_MAX], path[PATH_MAX];
	int r = lock_paths(paths, name, folder, path, err);

	if (r < 0)
		return r;
	for (;;) {
		r = try_lock(folder, path, true, ret_fd);
		if (r == 0)
			return 0;
		if (r == -EAGAIN)
			continue;
		if (r != -EBUSY)
			return err_set(err, r, "lock %s: %s", path, strerror(-r));
		if (clock_monotonic_ms() >= end) {
			err_set(err, -EBUSY, "sandbox %s: it is running, or somebody works on it",
				name);
			err_next_step(err, "sandboxctl status %s says which", name);
			return -EBUSY;
		}
		sleep_ms(LOCK_POLL_MS);
	}
}

int registry_is_locked(const struct paths *paths, const char *name)
{
	char folder[PATH_MAX], path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int r = lock_paths(paths, name, folder, path, NULL);

	if (r < 0)
		return r;
	fd = open_lock(folder, path, false);
	if (fd < 0)
		return fd;
	/* A shared lock: two askers must not be each other's sandbox. */
	return flock(fd, LOCK_SH | LOCK_NB) < 0 ? errno == EWOULDBLOCK ? 1 : -errno : 0;
}

/* rm -r of what is ours, below an fd, following nothing. */
static int remove_tree(int parent_fd, const char *name, unsigned int depth)
{
	struct dirent *entry;
	DIR *folder;
	int fd, r = 0;

	if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth == 0)
		return -ELOOP;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	folder = fd < 0 ? NULL : fdopendir(fd);
	if (!folder) {
		r = -errno;
		close_keeping_errno(fd);
		return r;
	}
	/* Snapshots hold folders without w for us. */
	if (fchmod(fd, 0700) < 0)
		r = -errno;
	while (r == 0 && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = remove_tree(fd, entry->d_name, depth - 1);
	closedir(folder);
	if (r == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int registry_remove_folder(const char *path, struct err *err)
{
	int r = remove_tree(AT_FDCWD, path, REMOVE_DEPTH_MAX);

	return r < 0 ? err_set(err, r, "folder %s: cannot remove it: %s", path, strerror(-r)) : 0;
}

int registry_remove_exposed(const char *instance)
{
	char path[PATH_MAX];

	if (geteuid() != 0 || strlen(instance) != REGISTRY_INSTANCE_LEN ||
		strspn(instance, "0123456789abcdef") != REGISTRY_INSTANCE_LEN)
		return 0;
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s", instance);
	return registry_remove_folder(path, NULL);
}

int registry_remove(const struct paths *paths, const char *name, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_runtime(paths, name, NULL, path, err);

	if (r == 0)
		r = registry_remove_folder(path, err);
	if (r == 0)
		r = paths_of_state(paths, name, NULL, path, err);
	return r < 0 ? r : registry_remove_folder(path, err);
}

void registry_name_from(const char *base, char ret_name[static SANDBOX_NAME_MAX + 1])
{
	size_t n = 0;

	for (const char *p = base; *p && n < SANDBOX_NAME_MAX; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x80 && isalnum(c))
			ret_name[n++] = (char)tolower(c);
		else if (n && ret_name[n - 1] != '-')
			ret_name[n++] = '-';
	}
	while (n && ret_name[n - 1] == '-')
		n--;
	ret_name[n] = '\0';
	if (n == 0)
		strcpy(ret_name, "sandbox");
}

static bool name_is_free(const struct paths *paths, const char *name)
{
	char path[PATH_MAX];

	return paths_of_state(paths, name, NULL, path, NULL) == 0 && access(path, F_OK) < 0;
}

int registry_free_name(
	const struct paths *paths, const char *base, char ret_name[static SANDBOX_NAME_MAX + 1])
{
	char stem[SANDBOX_NAME_MAX + 1], name[SANDBOX_NAME_MAX + 8];

	registry_name_from(base, stem);
	if (name_is_free(paths, stem)) {
		strcpy(ret_name, stem);
		return 0;
	}
	stem[SANDBOX_NAME_MAX - 5] = '\0'; /* room for -NNNN */
	for (unsigned int i = 2; i <= REGISTRY_SANDBOXES_MAX + 2; i++) {
		snprintf(name, sizeof(name), "%s-%u", stem, i);
		if (name_is_free(paths, name)) {
			strcpy(ret_name, name);
			return 0;
		}
	}
	return -ENOSPC;
}

int registry_check_workspace(const struct paths *paths, const struct record *record,
	const struct spec_share *workspace, struct err *err)
{
	const struct spec_share *known = &record->spec.workspace;
	char free_name[SANDBOX_NAME_MAX + 1];

	if (!known->host && !workspace->host)
		return 0;
	if (known->host && workspace->host && known->device == workspace->device &&
		known->inode == workspace->inode)
		return 0;
	err_set(err, -EEXIST, "sandbox %s: it belongs to the folder %s, not to %s",
		record->spec.name, known->host ? known->host : "(none)",
		workspace->host ? workspace->host : "(none)");
	if (registry_free_name(paths, record->spec.name, free_name) == 0)
		err_next_step(err, "use another name: sandboxctl start %s", free_name);
	return -EEXIST;
}

/* Whether a is the better answer for a folder than b: alive first, then the later start. */
static bool is_better(bool a_lives, uint64_t a_started, bool b_lives, uint64_t b_started)
{
	return a_lives != b_lives ? a_lives : a_started > b_started;
}

int registry_find_workspace(const struct paths *paths, uint64_t device, uint64_t inode,
	char ret_name[static SANDBOX_NAME_MAX + 1])
{
	char **names = NULL;
	bool found = false, best_lives = false;
	uint64_t best_started = 0;
	int r = registry_list(paths, &names, NULL);

	for (char **p = names; r == 0 && p && *p; p++) {
		struct record record;
		bool lives;

		if (registry_load(paths, *p, &record, NULL) < 0)
			continue;
		lives = registry_is_locked(paths, *p) == 1;
		if (record.spec.workspace.host && record.spec.workspace.device == device &&
			record.spec.workspace.inode == inode &&
			(!found || is_better(lives, record.started_at, best_lives, best_started))) {
			found = true;
			best_lives = lives;
			best_started = record.started_at;
			strcpy(ret_name, *p);
		}
		record_finish(&record);
	}
	json_free_texts(names);
	return r < 0 ? r : found ? 0 : -ENOENT;
}
