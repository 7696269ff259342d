/* SPDX-License-Identifier: Apache-2.0 */
/* H7, sandbox-audit as a process, jailed and not: what is sent is in the log and signed; a disk that is full stops it and loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/event.h"
#include "vmm/jail/jail_spawn.h"
#include "vmm/supervisor/audit/audit_open.h"
#include "vmm/supervisor/audit/segment.h"
#include "vmm/supervisor/audit/verify.h"
#include "vmm/supervisor/audit_forward.h"

#define TEXT(s)                                                                                    \
	{                                                                                          \
		.data = (const uint8_t *)(s), .len = sizeof(s) - 1                                 \
	}

struct rig {
	struct paths paths;
	char folder[PATH_MAX];
	int key_fd, event_fd, host_fd, guest_fd;
	int forward_fd; /* what it forwards; -1: nothing is asked for */
	int given_fd; /* what it is to forward to, where that is not a pair of ours; 0: it is */
	int pidfd;
	pid_t pid;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = {};
	int r;

	rig->forward_fd = -1;
	/* Not below /tmp: what others may write to holds no log. */
	snprintf(rig->paths.state, sizeof(rig->paths.state), "%s/audit_process_XXXXXX",
		getenv("HOME") ? getenv("HOME") : "/root");
	assert_non_null(mkdtemp(rig->paths.state));
	r = audit_open(&rig->paths, "api", &rig->key_fd, rig->folder, &err);
	if (r < 0)
		print_message("%s\n", err.text);
	assert_int_equal(r, 0);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	char command[PATH_MAX + 16];

	if (rig->pid > 0) {
		kill(rig->pid, SIGKILL);
		waitpid(rig->pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", rig->paths.state);
	assert_int_equal(system(command), 0);
	free(rig);
	return 0;
}

static void begin(struct rig *rig, bool jailed)
{
	int events[2], host[2], guest[2], forward[2] = { -1, -1 };
	const char *argv[] = { getenv("SANDBOX_AUDIT"), "--name", "api", "--sandbox", "api",
		"--instance", "i-1", "--folder", rig->folder, "--key-fd", "3", "--event-fd", "4",
		"--source", "5:host", "--source", "6:guest", NULL, NULL, NULL, NULL, NULL, NULL };
	size_t words = 0;
	struct err err = {};

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, host), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, guest), 0);
	while (argv[words])
		words++;
	if (!jailed)
		argv[words++] = "--unjailed";
	if (rig->forward_fd == 0 || rig->given_fd) {
		if (rig->given_fd) {
			forward[1] = dup(rig->given_fd);
		} else {
			assert_int_equal(
				socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, forward), 0);
			rig->forward_fd = forward[0];
		}
		argv[words++] = "--forward";
		argv[words++] = "journald";
		argv[words++] = "--forward-fd";
		argv[words++] = "7";
	}
	const struct spawn_fd fds[] = { { rig->key_fd, 3 }, { events[1], 4 }, { host[1], 5 },
		{ guest[1], 6 }, { STDERR_FILENO, STDERR_FILENO }, { forward[1], 7 } };
	const struct spawn_spec spec = {
		.path = argv[0], .argv = argv, .fds = fds, .fd_count = forward[1] >= 0 ? 6 : 5
	};
	int r = jailed ? jail_spawn(&spec, geteuid(), getegid(), &rig->pid, &rig->pidfd, &err)
		       : spawn(&spec, &rig->pid, &rig->pidfd, &err);

	if (r < 0)
		print_message("%s\n", err.text);
	assert_int_equal(r, 0);
	if (forward[1] >= 0)
		close(forward[1]);
	close(events[1]);
	close(host[1]);
	close(guest[1]);
	rig->event_fd = events[0];
	rig->host_fd = host[0];
	rig->guest_fd = guest[0];
}

static struct event next_event(struct rig *rig)
{
	struct pollfd p = { .fd = rig->event_fd, .events = POLLIN };
	uint8_t wire[EVENT_SIZE];
	struct event event = {};
	ssize_t n;

	assert_int_equal(poll(&p, 1, 20000), 1);
	n = recv(rig->event_fd, wire, sizeof(wire), 0);
	assert_int_equal(n, EVENT_SIZE);
	assert_int_equal(event_decode(wire, (uint64_t)n, &event), 0);
	return event;
}

static void send_one(int fd, const char *host, uint8_t decision)
{
	struct audit_event event = { .kind = AUDIT_EGRESS, .decision = decision, .count = 1 };
	uint8_t wire[AUDIT_MESSAGE_MAX];
	int n;

	event.text[AUDIT_HOST] = (struct audit_bytes){ (const uint8_t *)host, strlen(host) };
	n = audit_event_encode(&event, wire);
	assert_true(n > 0);
	assert_int_equal(send(fd, wire, (size_t)n, MSG_NOSIGNAL), n);
}

static void end(struct rig *rig, int code)
{
	int status = 0;

	assert_int_equal(kill(rig->pid, SIGTERM), 0);
	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	rig->pid = 0;
	assert_int_equal(status, W_EXITCODE(code, 0));
	close(rig->event_fd);
	close(rig->host_fd);
	close(rig->guest_fd);
	close(rig->pidfd);
}

/* The log's active file; to be freed. The log is whole, and of that many lines. */
static char *look(struct rig *rig, uint64_t lines)
{
	int dir_fd = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct verify_finding finding = {};
	struct audit_key *key = NULL;
	struct err err = {};
	char *text = NULL;
	size_t len;

	assert_int_equal(audit_key_read(rig->key_fd, &key, &err), 0);
	assert_int_equal(verify_folder(dir_fd, "api", key, &finding, &err), 0);
	assert_string_equal(verify_verdict_word(finding.verdict), "whole");
	assert_int_equal(finding.sequence, lines);
	assert_int_equal(segment_read(dir_fd, SEGMENT_ACTIVE, &text, &len), 0);
	audit_key_destroy(key);
	close(dir_fd);
	return text;
}

static void written(struct rig *rig, bool jailed)
{
	char *text;

	begin(rig, jailed);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	send_one(rig->host_fd, "a.test", AUDIT_ALLOWED);
	send_one(rig->guest_fd, "b.test", AUDIT_ALLOWED);
	for (int i = 0; i < 100; i++)
		send_one(rig->host_fd, "c.test", AUDIT_DENIED);
	assert_int_equal(send(rig->guest_fd, "nonsense", 8, MSG_NOSIGNAL), 8);
	end(rig, 0);
	text = look(rig, 5);
	assert_non_null(strstr(text, "\"source\":\"guest\""));
	assert_non_null(strstr(text, "\"count\":99"));
	assert_non_null(strstr(text, "a message that is no event"));
	free(text);
}

/* Sanitizers make calls that no table has: there it runs unjailed, and jailed in every other build. */
#ifdef __SANITIZE_ADDRESS__
static const bool can_be_jailed = false;
#else
static const bool can_be_jailed = true;
#endif

static void test_unjailed(void **state)
{
	written(*state, false);
}

static void test_jailed(void **state)
{
	written(*state, can_be_jailed);
}

/* A second of rest: what was written is signed while it runs, through the sealed process's own table of calls. */
static void test_signed_while_it_runs(void **state)
{
	struct rig *rig = *state;

	begin(rig, can_be_jailed);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	send_one(rig->host_fd, "a.test", AUDIT_ALLOWED);
	sleep(2);
	free(look(rig, 1));
	end(rig, 0);
}

static void limit_file_size(pid_t pid, rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(prlimit(pid, RLIMIT_FSIZE, NULL, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* Nothing fits: it says so, takes no more, and goes on where it was once there is room. */
static void test_full_disk(void **state)
{
	struct rig *rig = *state;
	unsigned int sent = 0;
	uint8_t wire[AUDIT_MESSAGE_MAX];
	struct audit_event event = { .kind = AUDIT_EXEC, .count = 1 };
	int n = audit_event_encode(&event, wire);
	struct event told;

	begin(rig, false);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	limit_file_size(rig->pid, 5000);
	told.kind = 0;
	for (int i = 0; i < 100000; i++) {
		if (send(rig->host_fd, wire, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
			sent++;
		else if (told.kind == EVENT_AUDIT_STALLED)
			break;
		else
			told = next_event(rig);
	}
	/* The sender is told: its socket takes no more. */
	assert_int_equal(told.kind, EVENT_AUDIT_STALLED);
	assert_int_equal(told.value[0], EFBIG);
	limit_file_size(rig->pid, RLIM_INFINITY);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_RESUMED);
	end(rig, 0);
	free(look(rig, sent));
}

/* Killed in the middle: the next one goes on, and says so where something was not signed. */
static void test_killed(void **state)
{
	struct rig *rig = *state;
	int status;

	begin(rig, false);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	send_one(rig->host_fd, "a.test", AUDIT_ALLOWED);
	sleep(2);
	send_one(rig->host_fd, "b.test", AUDIT_ALLOWED);
	usleep(200000);
	kill(rig->pid, SIGKILL);
	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	rig->pid = 0;
	begin(rig, false);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	end(rig, 0);
	free(look(rig, 3));
}

static void expect_forwarded(struct rig *rig, const char *part)
{
	struct pollfd p = { .fd = rig->forward_fd, .events = POLLIN };
	static char text[32768];
	ssize_t n;

	assert_int_equal(poll(&p, 1, 20000), 1);
	n = recv(rig->forward_fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text,
		"PRIORITY=6\nSYSLOG_IDENTIFIER=sandboxctl-audit\nSANDBOXCTL_SANDBOX=api\nMESSAGE=",
		76);
	if (!strstr(text, part))
		fail_msg("%s is not in %s", part, text);
	assert_ptr_equal(strchr(text + 76, '\n'), text + n - 1);
}

/* What is written is said elsewhere too, the head that signs it included. */
static void test_forwards(void **state)
{
	struct rig *rig = *state;

	rig->forward_fd = 0;
	begin(rig, can_be_jailed);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	send_one(rig->host_fd, "a.test", AUDIT_ALLOWED);
	expect_forwarded(rig, "\"host\":\"a.test\"");
	expect_forwarded(rig, "|end 1 ");
	end(rig, 0);
	close(rig->forward_fd);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* What listens is restarted: the writer says so, the socket that it has is connected again, and what was lost is counted. */
static void test_forwards_again(void **state)
{
	struct rig *rig = *state;
	struct audit_forward forward;
	struct loop *loop = NULL;
	struct event event;
	struct err err = {};
	char path[100];

	snprintf(path, sizeof(path), "/tmp/test_audit_forward.%d", getpid());
	rig->forward_fd = listen_at(path);
	audit_forward_init(&forward);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(audit_forward_open(&forward, FORWARD_JOURNALD, path, &err), 0);
	assert_int_equal(audit_forward_watch(&forward, loop), 0);
	rig->given_fd = forward.fd;
	begin(rig, can_be_jailed);
	assert_int_equal(next_event(rig).kind, EVENT_AUDIT_ISOLATED);
	send_one(rig->host_fd, "a.test", AUDIT_ALLOWED);
	expect_forwarded(rig, "\"host\":\"a.test\"");
	expect_forwarded(rig, "|end 1 ");

	close(rig->forward_fd);
	unlink(path);
	send_one(rig->host_fd, "b.test", AUDIT_ALLOWED);
	event = next_event(rig);
	assert_int_equal(event.kind, EVENT_AUDIT_FORWARD);
	assert_int_equal(event.value[0], ECONNREFUSED);
	assert_int_equal(event.value[1], 1);
	audit_forward_told(&forward, (int)event.value[0], event.value[1]);
	assert_true(forward.cut && forward.error == ECONNREFUSED);
	assert_true(loop_run_once(loop, 20000) > 0);
	assert_true(forward.cut && forward.error == ENOENT);
	/* The head over that record is lost too, and nobody is connected any more. */
	do {
		event = next_event(rig);
		assert_int_equal(event.kind, EVENT_AUDIT_FORWARD);
		audit_forward_told(&forward, (int)event.value[0], event.value[1]);
	} while (forward.lost < 2);
	assert_true(forward.cut && forward.error == ENOENT);

	rig->forward_fd = listen_at(path);
	while (forward.cut)
		assert_true(loop_run_once(loop, 20000) > 0);
	assert_int_equal(forward.error, 0);
	send_one(rig->host_fd, "c.test", AUDIT_ALLOWED);
	expect_forwarded(rig, "2 messages could not be forwarded");
	expect_forwarded(rig, "\"host\":\"c.test\"");
	do {
		event = next_event(rig);
		assert_int_equal(event.kind, EVENT_AUDIT_FORWARD);
		audit_forward_told(&forward, (int)event.value[0], event.value[1]);
	} while (event.value[0] != 0);
	audit_forward_begin(&forward);
	assert_int_equal(forward.lost + forward.lost_before, 2);
	end(rig, 0);
	free(look(rig, 3));
	audit_forward_finish(&forward);
	loop_destroy(loop);
	close(rig->forward_fd);
	unlink(path);
}

static void test_key_is_kept(void **state)
{
	struct rig *rig = *state;
	char folder[PATH_MAX];
	struct err err = {};
	struct stat a, b;
	int fd = -1;

	assert_int_equal(audit_open(&rig->paths, "other", &fd, folder, &err), 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(rig->key_fd, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_mode & 07777, 0600);
	/* A key that others could have read is none. */
	assert_int_equal(fchmod(fd, 0644), 0);
	close(fd);
	assert_int_equal(audit_open(&rig->paths, "other", &fd, folder, &err), -EPERM);
	assert_int_equal(audit_open(&rig->paths, "../x", &fd, folder, &err), -EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_unjailed),
		TEST(test_jailed),
		TEST(test_signed_while_it_runs),
		TEST(test_full_disk),
		TEST(test_killed),
		TEST(test_forwards),
		TEST(test_forwards_again),
		TEST(test_key_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
