/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole lives of sandboxes under the real supervisor, with a VMM and a link that are fakes (tests/lib/fake_vmm.c, fake_link.c):
 * H1, H2, H13 and the ends that a sandbox may come to. The programs are looked up beside the running one, so this
 * test copies itself and them into a folder of its own and goes on from there.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest-agent/protocol/stream.h"
#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/supervisor/cgroup.h"
#include "vmm/supervisor/control.h"
#include "vmm/supervisor/start.h"
#include "vmm/supervisor/status.h"

#define SKIPPED 77

static struct paths paths;

static void make_spec(struct spec *spec, const char *name, const char *folder)
{
	struct err err = {};

	assert_int_equal(spec_init(spec), 0);
	strcpy(spec->name, name);
	spec->cpus = 1;
	spec->memory_mib = 64;
	assert_int_equal(spec_set_workspace(spec, at(folder), NULL), 0);
	if (spec_resolve(spec, &err) < 0)
		fail_msg("%s", err.text);
}

static int start(const struct spec *spec, struct err *err)
{
	char stage[START_STAGE_MAX];
	json_t *status = NULL;
	int r = sandbox_start(&paths, spec, NULL, NULL, stage, &status, err);

	json_decref(status);
	return r;
}

static void start_named(const char *name)
{
	struct err err = {};
	struct spec spec;

	make_spec(&spec, name, "ws");
	if (start(&spec, &err) < 0)
		fail_msg("%s", err.text);
	spec_finish(&spec);
}

static void load(const char *name, struct record *record)
{
	struct err err = {};

	if (registry_load(&paths, name, record, &err) < 0)
		fail_msg("%s", err.text);
}

/* Nothing lives, holds or lies about; the record is in this state. */
static void assert_ended(const char *name, enum lifecycle_state state, const char *reason)
{
	struct process_stat member;
	struct record record;
	char path[PATH_MAX];

	assert_int_equal(registry_is_locked(&paths, name), 0);
	load(name, &record);
	assert_int_equal(record.state, state);
	if (!strstr(record.reason, reason))
		fail_msg("reason: %s", record.reason);
	/* The lock goes a moment before the supervisor itself. */
	for (int i = 0; i < 200 && process_group_members(record.pgid, &member, 1) > 0; i++)
		usleep(10000);
	assert_int_equal(process_group_members(record.pgid, &member, 1), 0);
	assert_int_equal(paths_of_runtime(&paths, name, NULL, path, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s", record.instance);
	assert_int_equal(access(path, F_OK), -1);
	record_finish(&record);
	assert_int_equal(sandbox_remove(&paths, name, 0, NULL), 0);
}

static void stop(const char *name, uint64_t grace_ms)
{
	struct err err = {};

	if (sandbox_stop(&paths, name, grace_ms, "stopped by the test", &err) < 0)
		fail_msg("%s", err.text);
}

/* Until nobody holds its lock. */
static void wait_gone(const char *name)
{
	for (int i = 0; i < 1000 && registry_is_locked(&paths, name) == 1; i++)
		usleep(10000);
	assert_true(registry_is_locked(&paths, name) <= 0);
}

static json_t *call(const char *name, json_t *request, int *ret_fd)
{
	json_t *data = NULL;
	struct err err = {};
	int fd;

	assert_int_equal(control_connect(&paths, name, &fd, &err), 0);
	if (control_call(fd, request, 5000, &data, ret_fd, &err) < 0)
		fail_msg("%s", err.text);
	close(fd);
	json_decref(request);
	return data;
}

static void test_a_life(void **state)
{
	uint8_t frames[12 + 16];
	struct record record;
	json_t *data;
	int fd = -1;

	(void)state;
	start_named("life");
	data = call("life", json_pack("{s:s}", "op", "status"), NULL);
	assert_string_equal(json_string_value(json_object_get(data, "state")), "running");
	assert_string_equal(json_string_value(json_object_get(data, "health")), "healthy");
	load("life", &record);
	assert_int_equal(json_integer_value(json_object_get(data, "vmm_pid")), record.vmm.pid);
	assert_int_equal(getpgid(record.vmm.pid), record.pgid);
	assert_int_equal(getpgid(record.link.pid), record.pgid);
	assert_int_equal(record.supervisor.pid, record.pgid);
	record_finish(&record);
	json_decref(data);
	json_decref(call("life", json_pack("{s:s, s:[s]}", "op", "exec", "argv", "true"), &fd));
	assert_int_equal(fdio_read_full(fd, frames, sizeof(frames)), 0);
	assert_int_equal(frames[12], STREAM_EXIT);
	close(fd);
	stop("life", 5000);
	assert_ended("life", LIFECYCLE_STOPPED, "stopped by the test");
}

/* Whether a process was started with these two words side by side. */
static bool was_told(pid_t pid, const char *option, const char *value)
{
	_cleanup_close_ int fd = -1;
	char path[64], words[8192];
	bool after = false;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	size = read(fd, words, sizeof(words) - 1);
	assert_true(size > 0);
	words[size] = '\0';
	for (const char *word = words; word < words + size; word += strlen(word) + 1) {
		if (after && strcmp(word, value) == 0)
			return true;
		after = strcmp(word, option) == 0;
	}
	return false;
}

/* S4 is lifted for the share that it was lifted for, and for no other. */
static void test_trusted_hard_links_reach_the_vmm(void **state)
{
	json_int_t refusals, device, inode;
	struct err err = {};
	struct record record;
	const char *guest;
	struct spec spec;
	json_t *data;

	(void)state;
	make_spec(&spec, "links", "ws");
	mkdir(at("data"), 0755);
	for (int i = 0; i < 2; i++) {
		char word[PATH_MAX + 64];

		snprintf(word, sizeof(word), "%s:/data%d%s", at("data"), i,
			i ? ":trust-hardlinks" : "");
		assert_int_equal(spec_add_share(&spec, word, NULL), 0);
	}
	assert_int_equal(spec_resolve(&spec, NULL), 0);
	if (start(&spec, &err) < 0)
		fail_msg("%s", err.text);
	load("links", &record);
	assert_true(was_told(record.vmm.pid, "--trust-hardlinks", "v1"));
	assert_false(was_told(record.vmm.pid, "--trust-hardlinks", "v0"));
	assert_false(was_told(record.vmm.pid, "--trust-hardlinks", "workspace"));
	record_finish(&record);
	spec_finish(&spec);
	/* What a share refused is told by number; names are for whoever shows them. */
	data = call("links", json_pack("{s:s}", "op", "status"), NULL);
	assert_int_equal(
		json_unpack(data, "{s:[{s:s, s:I, s:[{s:I, s:I}!]}!]}", "linked_outside", "guest",
			&guest, "refusals", &refusals, "files", "device", &device, "inode", &inode),
		0);
	assert_string_equal(guest, "/workspace");
	assert_int_equal(refusals, 3);
	assert_int_equal(device, 7);
	assert_int_equal(inode, 4711);
	json_decref(data);
	stop("links", 3000);
	assert_ended("links", LIFECYCLE_STOPPED, "stopped by the test");
}

/* The machine runs on, and whoever wants something of the guest is told at once. */
static void test_a_lost_agent_is_said_so(void **state)
{
	_cleanup_json_ json_t *request = json_pack("{s:s, s:[s]}", "op", "exec", "argv", "true");
	struct err err = {};
	json_t *data = NULL;
	int fd;

	(void)state;
	start_named("lost");
	for (int i = 0; i < 100; i++) {
		json_decref(data);
		data = call("lost", json_pack("{s:s}", "op", "status"), NULL);
		if (strcmp(json_string_value(json_object_get(data, "health")), "lost") == 0)
			break;
		usleep(20000);
	}
	assert_string_equal(json_string_value(json_object_get(data, "state")), "running");
	assert_string_equal(json_string_value(json_object_get(data, "health")), "lost");
	json_decref(data);
	data = NULL;
	assert_int_equal(control_connect(&paths, "lost", &fd, &err), 0);
	assert_int_equal(control_call(fd, request, 2000, &data, NULL, &err), -ENOTCONN);
	assert_non_null(strstr(err.text, "does not answer"));
	assert_non_null(strstr(err.next_step, "sandboxctl console lost"));
	close(fd);
	stop("lost", 5000);
	assert_ended("lost", LIFECYCLE_STOPPED, "stopped by the test");
}

/* H9: a limit that nobody would keep is refused before anything runs, and leaves no trace. */
static void test_a_limit_that_cannot_be_kept_is_refused(void **state)
{
	char parent[PATH_MAX];
	struct record record;
	struct err err = {};
	struct spec spec;

	(void)state;
	if (cgroup_usable(parent, NULL) == 0)
		skip(); /* here it can be: tests/attack/cgroup.sh */
	make_spec(&spec, "limited", "ws");
	spec.pids = 200;
	assert_int_equal(start(&spec, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "--pids 200"));
	assert_true(err.next_step[0]);
	spec_finish(&spec);
	wait_gone("limited");
	assert_int_equal(registry_load(&paths, "limited", &record, NULL), -ENOENT);
}

static void test_two_starts_at_once(void **state)
{
	int codes[2] = {}, started = 0, busy = 0;
	pid_t children[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			struct err err = {};
			struct spec spec;

			make_spec(&spec, "twice", "ws");
			_exit(-start(&spec, &err));
		}
	}
	for (int i = 0; i < 2; i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		codes[i] = WEXITSTATUS(status);
		started += codes[i] == 0;
		busy += codes[i] == EBUSY;
	}
	assert_int_equal(started, 1);
	assert_int_equal(busy, 1);
	stop("twice", 5000);
	assert_ended("twice", LIFECYCLE_STOPPED, "");
}

static void test_two_folders_of_one_name(void **state)
{
	struct err err = {};
	struct spec spec;

	(void)state;
	start_named("api");
	stop("api", 5000);
	make_spec(&spec, "api", "other");
	assert_int_equal(start(&spec, &err), -EEXIST);
	assert_non_null(strstr(err.text, at("ws")));
	assert_non_null(strstr(err.text, at("other")));
	assert_non_null(strstr(err.next_step, "api-2"));
	spec_finish(&spec);
	assert_ended("api", LIFECYCLE_STOPPED, "");
}

enum part { VMM, LINK, SUPERVISOR };

/* A sandbox that runs, and one of whose processes gets this signal. ret (NULL: unwanted) is the caller's to finish. */
static void start_and_signal(const char *name, enum part part, int signal, struct record *ret)
{
	struct record record;
	const struct process_id *ids[] = {
		[VMM] = &record.vmm, [LINK] = &record.link, [SUPERVISOR] = &record.supervisor
	};

	start_named(name);
	load(name, &record);
	assert_int_equal(process_id_signal(ids[part], signal), 0);
	if (ret)
		*ret = record;
	else
		record_finish(&record);
}

static void test_a_stopped_vmm_is_ended(void **state)
{
	(void)state;
	start_and_signal("frozen", VMM, SIGSTOP, NULL);
	stop("frozen", 200);
	assert_ended("frozen", LIFECYCLE_STOPPED, "");
}

static void test_a_deaf_vmm_is_killed(void **state)
{
	(void)state;
	start_named("deaf");
	stop("deaf", 100);
	assert_ended("deaf", LIFECYCLE_STOPPED, "");
}

static void test_a_killed_supervisor_takes_all_along(void **state)
{
	struct record record;

	(void)state;
	start_and_signal("orphan", SUPERVISOR, SIGKILL, &record);
	wait_gone("orphan");
	assert_false(process_id_alive(&record.vmm));
	assert_false(process_id_alive(&record.link));
	record_finish(&record);
	/* A start goes straight over what is left. */
	start_and_signal("orphan", SUPERVISOR, SIGKILL, NULL);
	stop("orphan", 1000);
	assert_ended("orphan", LIFECYCLE_FAILED, "without a word");
}

static void test_a_stopped_supervisor_is_ended(void **state)
{
	(void)state;
	start_and_signal("hung", SUPERVISOR, SIGSTOP, NULL);
	stop("hung", 1000);
	assert_ended("hung", LIFECYCLE_FAILED, "did not answer");
}

static void test_a_killed_link_fails_the_sandbox(void **state)
{
	(void)state;
	start_and_signal("unlinked", LINK, SIGKILL, NULL);
	wait_gone("unlinked");
	assert_ended("unlinked", LIFECYCLE_FAILED, "sandbox-link was ended by signal 9");
}

static void assert_start_fails(const char *name, const char *text, const char *next_step)
{
	struct err err = {};
	struct spec spec;

	make_spec(&spec, name, "ws");
	assert_true(start(&spec, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("error: %s", err.text);
	if (!strstr(err.next_step, next_step))
		fail_msg("next step: %s", err.next_step);
	spec_finish(&spec);
	wait_gone(name);
	assert_ended(name, LIFECYCLE_FAILED, text);
}

static void test_starts_that_fail_say_why(void **state)
{
	(void)state;
	assert_start_fails("mute", "cannot go on", "console");
	assert_start_fails("refused", "No such device", "console");
	/* H16: what was missing, and what the process that missed it said would help. */
	assert_start_fails("walled", "no such wall here", "build one");
}

static void test_a_crash_has_its_own_reason(void **state)
{
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "crash", "ws");
	start(&spec, &err); /* ready first, or the crash: either may win */
	spec_finish(&spec);
	wait_gone("crash");
	assert_ended("crash", LIFECYCLE_FAILED, "triple fault");
}

/* A guest whose faults fill the VMM's socket: the record of its end is lost, and the end is known all the same. */
static void test_an_end_whose_record_was_lost_is_known(void **state)
{
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "off", "ws");
	start(&spec, &err); /* ready first, or off: either may win */
	spec_finish(&spec);
	wait_gone("off");
	assert_ended("off", LIFECYCLE_STOPPED, "powered off");
}

static void test_time_is_up(void **state)
{
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "timed", "ws");
	spec.timeout_ms = 300;
	assert_int_equal(start(&spec, &err), 0);
	spec_finish(&spec);
	wait_gone("timed");
	assert_ended("timed", LIFECYCLE_STOPPED, "timeout");
}

/* A command that the end of the machine takes along is not the reason of that end, and has no exit code. */
static void test_time_is_up_for_a_command(void **state)
{
	static char *const command[] = { "make", NULL };
	struct record record;
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "long-command", "ws");
	spec.timeout_ms = 300;
	assert_int_equal(spec_set_command(&spec, command, NULL), 0);
	assert_int_equal(start(&spec, &err), 0);
	spec_finish(&spec);
	wait_gone("long-command");
	load("long-command", &record);
	assert_int_equal(record.exit_code, -1);
	record_finish(&record);
	assert_ended("long-command", LIFECYCLE_STOPPED, "timeout");
}

/* H3: records without end keep the supervisor neither from its clock nor from requests. */
static void test_a_flood_of_records_stops_no_clock(void **state)
{
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "flood", "ws");
	spec.timeout_ms = 500;
	assert_int_equal(start(&spec, &err), 0);
	spec_finish(&spec);
	json_decref(call("flood", json_pack("{s:s}", "op", "status"), NULL));
	usleep(1500000);
	stop("flood", 0); /* spares us the time that its guest is given */
	assert_ended("flood", LIFECYCLE_STOPPED, "timeout");
}

static void test_the_commands_end_ends_the_sandbox(void **state)
{
	static char *const command[] = { "make", NULL };
	struct record record;
	struct err err = {};
	struct spec spec;

	(void)state;
	make_spec(&spec, "command", "ws");
	assert_int_equal(spec_set_command(&spec, command, NULL), 0);
	assert_int_equal(start(&spec, &err), 0);
	assert_int_equal(sandbox_wait(&paths, "command", 10000, &record, &err), 0);
	assert_int_equal(record.exit_code, 3);
	record_finish(&record);
	spec_finish(&spec);
	assert_ended("command", LIFECYCLE_STOPPED, "exit code 3");
}

static void test_a_taken_port_leaves_no_trace(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err = {};
	struct record record;
	struct spec spec;
	char word[32];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	snprintf(word, sizeof(word), "%u:80", ntohs(address.sin_port));
	make_spec(&spec, "ported", "ws");
	assert_int_equal(spec_add_port(&spec, word, NULL), 0);
	assert_int_equal(start(&spec, &err), -EADDRINUSE);
	wait_gone("ported");
	assert_int_equal(registry_load(&paths, "ported", &record, NULL), -ENOENT);
	close(fd);
	/* And once it is free, it is published, and free again at the end. */
	assert_int_equal(start(&spec, &err), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
	close(fd);
	stop("ported", 5000);
	spec_finish(&spec);
	assert_ended("ported", LIFECYCLE_STOPPED, "");
}

static int check_start(const struct spec *spec, const char *stage)
{
	char found[START_STAGE_MAX] = "";
	struct err err = {};
	int r = sandbox_check_start(&paths, spec, NULL, NULL, found, &err);

	if (r < 0 && strcmp(found, stage) != 0)
		fail_msg("%s: %s", found, err.text);
	return r;
}

/* --fresh and restart end nothing in vain: what would keep the next one from starting shows while this one runs. */
static void test_a_start_is_checked_beside_a_running_one(void **state)
{
	struct record before, after;
	char word[PATH_MAX + 64];
	struct spec spec;

	(void)state;
	start_named("kept");
	load("kept", &before);
	make_spec(&spec, "kept", "ws");
	assert_int_equal(check_start(&spec, ""), 0);
	spec.kernel = strdup("no-such-kernel");
	assert_int_equal(check_start(&spec, "kernel"), -ENOENT);
	free(spec.kernel);
	spec.kernel = NULL;
	spec.policy = strdup("{\"version\":1,\"rules\":[{\"id\":\"x\"}]}");
	assert_int_equal(check_start(&spec, "policy"), -EINVAL);
	free(spec.policy);
	spec.policy = NULL;
	spec.tier = strdup("king");
	assert_int_equal(check_start(&spec, "policy"), -EINVAL);
	free(spec.tier);
	spec.tier = NULL;
	assert_int_equal(rename(at("sandbox-agent"), at("elsewhere")), 0);
	assert_int_equal(check_start(&spec, "initramfs"), -ENOENT);
	assert_int_equal(rename(at("elsewhere"), at("sandbox-agent")), 0);
	snprintf(word, sizeof(word), "%s:/data", at("other"));
	assert_int_equal(spec_add_share(&spec, word, NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), 0);
	assert_int_equal(check_start(&spec, ""), 0);
	spec.shares[0].inode++;
	assert_int_equal(check_start(&spec, "shares"), -ESTALE);
	spec.shares[0].inode--;
	free(spec.image);
	spec.image = strdup("no-such-image");
	assert_int_equal(check_start(&spec, "image"), -EOPNOTSUPP);
	spec_finish(&spec);
	load("kept", &after);
	assert_int_equal(after.state, LIFECYCLE_RUNNING);
	assert_string_equal(after.instance, before.instance);
	record_finish(&before);
	record_finish(&after);
	stop("kept", 5000);
	assert_ended("kept", LIFECYCLE_STOPPED, "stopped by the test");
}

static void wait_for_link(const char *name)
{
	for (int i = 0; i < 1000; i++, usleep(10000)) {
		struct record record;
		bool there;

		if (registry_load(&paths, name, &record, NULL) < 0)
			continue;
		there = record.link.pid != 0;
		record_finish(&record);
		if (there)
			return;
	}
	fail_msg("%s: its link was not started", name);
}

static void test_a_stop_while_it_boots(void **state)
{
	struct err err = {};
	struct spec spec;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		make_spec(&spec, "slow", "ws");
		_exit(-start(&spec, &err) != 0);
	}
	wait_for_link("slow");
	stop("slow", 5000);
	waitpid(child, NULL, 0);
	assert_ended("slow", LIFECYCLE_STOPPED, "stopped by the test");
}

static void test_a_starter_that_goes_away_cancels(void **state)
{
	struct err err = {};
	struct spec spec;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		make_spec(&spec, "slow", "ws");
		start(&spec, &err);
		_exit(0);
	}
	wait_for_link("slow");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	wait_gone("slow");
	assert_ended("slow", LIFECYCLE_STOPPED, "went away");
}

/* Started as root in somebody's folder, the jailed processes are that somebody. */
static void test_root_in_anothers_folder(void **state)
{
	struct record record;
	struct err err = {};
	struct spec spec;
	struct stat st;
	char path[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(at("theirs"), 0755), 0);
	assert_int_equal(chown(at("theirs"), 12345, 12346), 0);
	/* Root's cache is closed to them: what they need of it is copied to where they can reach it. */
	assert_int_equal(fdio_mkdir_parents(at("c/sandboxctl/tools/x/bin"), 0755), 0);
	assert_int_equal(symlink("x", at("c/sandboxctl/tools/current")), 0);
	chmod(at("c"), 0700);
	make_spec(&spec, "theirs", "theirs");
	if (start(&spec, &err) < 0)
		fail_msg("%s", err.text);
	load("theirs", &record);
	snprintf(path, sizeof(path), "/proc/%d", (int)record.vmm.pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 12346);
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s/tools/bin", record.instance);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	/* Where root writes they cannot: no link of theirs leads root's chown, chmod or cp away. */
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s", record.instance);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode & 0777, 0711);
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s/vsock", record.instance);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(path, sizeof(path), PATHS_EXPOSED_ROOT "/%s/vsock/vsock.sock", record.instance);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	record_finish(&record);
	spec_finish(&spec);
	stop("theirs", 5000);
	assert_ended("theirs", LIFECYCLE_STOPPED, "");
}

static void copy_program(const char *variable, const char *name)
{
	char command[2 * PATH_MAX];
	const char *from = getenv(variable);

	snprintf(command, sizeof(command), "cp '%s' '%s'", from ? from : "/bin/true", at(name));
	if (system(command) != 0)
		exit(1);
}

/* In the build folder: makes a folder with all programs in it, and becomes the copy of itself there. */
static int move_house(char **argv)
{
	struct err err = {};
	char self[PATH_MAX];
	ssize_t n;

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fprintf(stderr, "skipped: no /dev/kvm to hand to a VMM\n");
		return SKIPPED;
	}
	if (jail_try(&err) < 0) {
		fprintf(stderr, "skipped: %s\n", err.text);
		return SKIPPED;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0 || !private_folder_make(base))
		return 1;
	self[n] = '\0';
	chmod(base, 0711);
	setenv("LIFE_SELF", self, 1);
	copy_program("LIFE_SELF", "test");
	copy_program("SANDBOX_SUPERVISOR", "sandbox-supervisor");
	copy_program("FAKE_VMM", "sandbox-vmm");
	copy_program("FAKE_LINK", "sandbox-link");
	copy_program("FAKE_EGRESS", "sandbox-proxy");
	copy_program("FAKE_EGRESS", "sandbox-injector");
	copy_program("FAKE_EGRESS", "sandbox-audit");
	copy_program("LIFE_AGENT", "sandbox-agent");
	copy_program("SANDBOX_UNPACK", "sandbox-unpack");
	setenv("LIFE_FOLDER", base, 1);
	execv(at("test"), argv);
	return 1;
}

static int set_up(void **state)
{
	struct err err = {};

	(void)state;
	unsetenv("SUDO_UID");
	setenv("HOME", base, 1);
	setenv("XDG_STATE_HOME", at("s"), 1);
	setenv("XDG_CONFIG_HOME", at("config"), 1);
	setenv("XDG_RUNTIME_DIR", at("r"), 1);
	setenv("XDG_CACHE_HOME", at("c"), 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_DATA_HOME");
	mkdir(at("s"), 0700);
	mkdir(at("r"), 0700);
	mkdir(at("ws"), 0755);
	mkdir(at("other"), 0755);
	if (fdio_mkdir_parents(at("c/sandboxctl/kernels/minimal"), 0755) < 0 ||
		fdio_write_file_atomic(AT_FDCWD, at("c/sandboxctl/kernels/minimal/vmlinux"),
			"\177ELF", 4, 0644) < 0 ||
		paths_load(&paths, &err) < 0 || paths_prepare(&paths, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return registry_remove_folder(base, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_life),
		cmocka_unit_test(test_trusted_hard_links_reach_the_vmm),
		cmocka_unit_test(test_a_lost_agent_is_said_so),
		cmocka_unit_test(test_a_limit_that_cannot_be_kept_is_refused),
		cmocka_unit_test(test_two_starts_at_once),
		cmocka_unit_test(test_two_folders_of_one_name),
		cmocka_unit_test(test_a_stopped_vmm_is_ended),
		cmocka_unit_test(test_a_deaf_vmm_is_killed),
		cmocka_unit_test(test_a_killed_supervisor_takes_all_along),
		cmocka_unit_test(test_a_stopped_supervisor_is_ended),
		cmocka_unit_test(test_a_killed_link_fails_the_sandbox),
		cmocka_unit_test(test_starts_that_fail_say_why),
		cmocka_unit_test(test_a_crash_has_its_own_reason),
		cmocka_unit_test(test_an_end_whose_record_was_lost_is_known),
		cmocka_unit_test(test_time_is_up),
		cmocka_unit_test(test_time_is_up_for_a_command),
		cmocka_unit_test(test_a_flood_of_records_stops_no_clock),
		cmocka_unit_test(test_the_commands_end_ends_the_sandbox),
		cmocka_unit_test(test_a_taken_port_leaves_no_trace),
		cmocka_unit_test(test_a_start_is_checked_beside_a_running_one),
		cmocka_unit_test(test_a_stop_while_it_boots),
		cmocka_unit_test(test_a_starter_that_goes_away_cancels),
		cmocka_unit_test(test_root_in_anothers_folder),
	};
	const char *folder = getenv("LIFE_FOLDER");

	(void)argc;
	if (!folder)
		return move_house(argv);
	snprintf(base, sizeof(base), "%s", folder);
	/* Supervisors whose starter has ended come to us, as they would come to init. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGCHLD, SIG_DFL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
