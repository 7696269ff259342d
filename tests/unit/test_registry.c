/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/private_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/start.h"
#include "vmm/supervisor/status.h"

static char base[PATH_MAX];
static struct paths paths;

static void make_record(struct record *record, const char *name, const char *folder, uint64_t inode)
{
	record_init(record);
	assert_int_equal(spec_init(&record->spec), 0);
	strcpy(record->spec.name, name);
	assert_int_equal(spec_set_workspace(&record->spec, folder, NULL), 0);
	record->spec.workspace.device = 1;
	record->spec.workspace.inode = inode;
	record->state = LIFECYCLE_RUNNING;
	assert_int_equal(host_boot_id(record->boot_id), 0);
	strcpy(record->instance, "0123456789abcdef");
}

/* A record on disk; its lock is free. */
static void save_record(struct record *record)
{
	int lock;

	assert_int_equal(registry_lock(&paths, record->spec.name, 0, &lock, NULL), 0);
	assert_int_equal(registry_save(&paths, record, NULL), 0);
	close(lock);
}

static void test_a_record_round_trips(void **state)
{
	struct record record, back;
	char *text;
	size_t len;

	(void)state;
	make_record(&record, "api", "/src", 7);
	record.vmm = (struct process_id){ .pid = 12, .start_ticks = 99 };
	record.exit_code = 3;
	strcpy(record.reason, "because");
	assert_int_equal(record_format(&record, &text, &len, NULL), 0);
	assert_int_equal(record_parse(text, len, &back, NULL), 0);
	assert_int_equal(back.vmm.start_ticks, 99);
	assert_int_equal(back.exit_code, 3);
	assert_string_equal(back.reason, "because");
	assert_string_equal(back.spec.workspace.host, "/src");
	record_finish(&back);
	for (size_t cut = 0; cut < len; cut += 7)
		assert_true(record_parse(text, cut, &back, NULL) < 0);
	free(text);
	record_finish(&record);
}

static void test_the_lock_lives_as_long_as_its_holders(void **state)
{
	int lock, second;
	pid_t child;

	(void)state;
	assert_int_equal(registry_is_locked(&paths, "held"), -ENOENT);
	assert_int_equal(registry_lock(&paths, "held", 0, &lock, NULL), 0);
	assert_int_equal(registry_lock(&paths, "held", 0, &second, NULL), -EBUSY);
	assert_int_equal(registry_is_locked(&paths, "held"), 1);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	close(lock);
	assert_int_equal(registry_is_locked(&paths, "held"), 1); /* the child has it still */
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(registry_is_locked(&paths, "held"), 0);
	assert_int_equal(registry_lock(&paths, "held", 0, &second, NULL), 0);
	assert_int_equal(registry_remove(&paths, "held", NULL), 0);
	/* The remover still holds a lock that names nothing: a new one is another. */
	assert_int_equal(registry_lock(&paths, "held", 0, &lock, NULL), 0);
	assert_int_equal(registry_remove(&paths, "held", NULL), 0);
	close(lock);
	close(second);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

/* A file system of four pages of our own; false where this host gives none. */
static bool mount_small(const char *path)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_text("/proc/self/uid_map", map);
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_text("/proc/self/gid_map", map);
	return mount("small", path, "tmpfs", 0, "size=16k,mode=700") == 0;
}

/* H1: a full disk does not keep a sandbox from ending. 0: held, 77: cannot be tried here. */
static int end_on_a_full_disk(void)
{
	struct record record, back;
	char ballast[PATH_MAX + 16];
	static const char page[4096];
	int fd, lock;

	if (mkdir(paths.state, 0700) < 0 && errno != EEXIST)
		return 1;
	if (!mount_small(paths.state))
		return 77;
	snprintf(ballast, sizeof(ballast), "%s/sandboxes", paths.state);
	if (mkdir(ballast, 0700) < 0)
		return 2;
	make_record(&record, "full", "/full", 5);
	if (registry_lock(&paths, "full", 0, &lock, NULL) < 0 ||
		registry_save(&paths, &record, NULL) < 0)
		return 3;
	snprintf(ballast, sizeof(ballast), "%s/ballast", paths.state);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, page, sizeof(page)) > 0)
		;
	record.state = LIFECYCLE_STOPPED;
	if (registry_save(&paths, &record, NULL) < 0)
		return 4;
	if (registry_load(&paths, "full", &back, NULL) < 0 || back.state != LIFECYCLE_STOPPED)
		return 5;
	record.state = LIFECYCLE_FAILED;
	strcpy(record.spec.name, "new");
	if (registry_lock(&paths, "new", 0, &lock, NULL) < 0)
		return 6;
	return registry_save(&paths, &record, NULL) == -ENOSPC ? 0 : 7;
}

static void test_a_record_on_a_full_disk(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(end_on_a_full_disk());
	waitpid(child, &status, 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_two_folders_of_one_name(void **state)
{
	struct spec_share other = { .host = (char *)"/b/api", .device = 1, .inode = 8 };
	struct spec_share moved = { .host = (char *)"/c/api", .device = 1, .inode = 7 };
	struct record record;
	struct err err = {};

	(void)state;
	make_record(&record, "api", "/a/api", 7);
	save_record(&record);
	assert_int_equal(registry_check_workspace(&paths, &record, &other, &err), -EEXIST);
	assert_non_null(strstr(err.text, "/a/api"));
	assert_non_null(strstr(err.text, "/b/api"));
	assert_non_null(strstr(err.next_step, "api-2"));
	assert_int_equal(registry_check_workspace(&paths, &record, &moved, &err), 0);
	record_finish(&record);
	assert_int_equal(sandbox_remove(&paths, "api", 0, NULL), 0);
}

static void test_names_from_folders(void **state)
{
	static const char *const cases[][2] = {
		{ "api", "api" },
		{ "My Project!", "my-project" },
		{ "--x--", "x" },
		{ "\xc3\xa9t\xc3\xa9", "t" },
		{ "", "sandbox" },
		{ "___", "sandbox" },
		{ "an-extremely-long-folder-name-that-goes-on-and-on",
			"an-extremely-long-folder-name-that-goes-o" },
	};
	char name[SANDBOX_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		registry_name_from(cases[i][0], name);
		assert_string_equal(name, cases[i][1]);
		assert_true(sandbox_name_valid(name));
	}
}

static void test_the_sandbox_of_a_folder(void **state)
{
	struct record old, new;
	char name[SANDBOX_NAME_MAX + 1];

	(void)state;
	make_record(&old, "old", "/w", 70);
	make_record(&new, "newer", "/w", 70);
	old.started_at = 100;
	new.started_at = 200;
	save_record(&old);
	save_record(&new);
	assert_int_equal(registry_find_workspace(&paths, 1, 70, name), 0);
	assert_string_equal(name, "newer");
	assert_int_equal(registry_find_workspace(&paths, 2, 70, name), -ENOENT);
	assert_int_equal(sandbox_remove(&paths, "old", 0, NULL), 0);
	assert_int_equal(sandbox_remove(&paths, "newer", 0, NULL), 0);
	record_finish(&old);
	record_finish(&new);
}

/* H2: the record names living processes of other people; none may be signalled, and it must not block. */
static void test_a_stale_record_signals_nobody(void **state)
{
	struct record record;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		setsid();
		pause();
		_exit(0);
	}
	make_record(&record, "stale", "/w", 9);
	assert_int_equal(process_id_of(child, &record.supervisor), 0);
	while (getpgid(child) != child)
		usleep(1000);
	record.pgid = child;
	record.supervisor.start_ticks += 5; /* a reused pid */
	save_record(&record);
	assert_int_equal(sandbox_stop(&paths, "stale", 0, "test", NULL), 0);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	/* The same process, but the record is of another boot. */
	record.supervisor.start_ticks -= 5;
	record.boot_id[0] = record.boot_id[0] == '0' ? '1' : '0';
	save_record(&record);
	assert_int_equal(sandbox_stop(&paths, "stale", 0, "test", NULL), 0);
	assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
	record_finish(&record);
	assert_int_equal(registry_load(&paths, "stale", &record, NULL), 0);
	assert_int_equal(record.state, LIFECYCLE_FAILED);
	record_finish(&record);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(sandbox_remove(&paths, "stale", 0, NULL), 0);
}

static void test_what_is_provably_ours_is_ended(void **state)
{
	struct record record;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		signal(SIGTERM, SIG_IGN);
		setsid();
		pause();
		_exit(0);
	}
	while (getpgid(child) != child)
		usleep(1000);
	kill(child, SIGSTOP);
	make_record(&record, "hung", "/w", 10);
	assert_int_equal(process_id_of(child, &record.supervisor), 0);
	record.pgid = child;
	save_record(&record);
	/* waitpid must not be needed for the verdict: a zombie is gone. */
	assert_int_equal(sandbox_stop(&paths, "hung", 0, "test", NULL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	record_finish(&record);
	assert_int_equal(sandbox_remove(&paths, "hung", 0, NULL), 0);
	assert_int_equal(sandbox_remove(&paths, "hung", 0, NULL), -ENOENT);
}

static void test_status_of_the_dead_and_the_broken(void **state)
{
	char path[PATH_MAX];
	struct record record;
	json_t *list, *data;

	(void)state;
	make_record(&record, "dead", "/w", 11);
	save_record(&record);
	record_finish(&record);
	make_record(&record, "broken", "/w", 12);
	save_record(&record);
	record_finish(&record);
	assert_int_equal(paths_of_state(&paths, "broken", "record.json", path, NULL), 0);
	assert_int_equal(fdio_write_file_atomic(AT_FDCWD, path, "{\"version\"", 10, 0600), 0);
	assert_int_equal(status_of_all(&paths, &list, NULL), 0);
	assert_int_equal(json_array_size(list), 2);
	data = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(data, "name")), "dead");
	assert_string_equal(json_string_value(json_object_get(data, "state")), "failed");
	assert_true(json_is_null(json_object_get(data, "supervisor_pid")));
	json_decref(list);
	assert_int_equal(sandbox_remove(&paths, "dead", 0, NULL), 0);
	assert_int_equal(sandbox_remove(&paths, "broken", 0, NULL), 0);
}

static int make_base(void **state)
{
	(void)state;
	if (!private_folder_make(base))
		return -1;
	setenv("XDG_STATE_HOME", base, 1);
	setenv("XDG_RUNTIME_DIR", base, 1);
	setenv("HOME", base, 1);
	return paths_load(&paths, NULL) || paths_prepare(&paths, NULL);
}

static int remove_base(void **state)
{
	(void)state;
	return registry_remove_folder(base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_round_trips),
		cmocka_unit_test(test_the_lock_lives_as_long_as_its_holders),
		cmocka_unit_test(test_a_record_on_a_full_disk),
		cmocka_unit_test(test_two_folders_of_one_name),
		cmocka_unit_test(test_names_from_folders),
		cmocka_unit_test(test_the_sandbox_of_a_folder),
		cmocka_unit_test(test_a_stale_record_signals_nobody),
		cmocka_unit_test(test_what_is_provably_ours_is_ended),
		cmocka_unit_test(test_status_of_the_dead_and_the_broken),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
