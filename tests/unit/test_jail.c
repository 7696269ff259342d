/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claim H8 and design.md's "order of a jail": what a hijacked process gets from inside, with all layers on and with the
 * layers that also refuse it left out, so that each is seen to hold alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/jail/jail.h"
#include "vmm/jail/jail_spawn.h"

#define GOT_IT		  0
#define REFUSED		  1
#define KILLED		  (128 + SIGSYS)
#define REFUSED_OR_KILLED 1000

static char rw_share[] = "/tmp/jail-rw-XXXXXX", ro_share[] = "/tmp/jail-ro-XXXXXX";
static int lifeline_read, lifeline_write, abstract_listener, path_listener;

/* The attempt's outcome as above; with the lifeline's write end closed first if dead_supervisor. */
static int outcome(const char *attempt, const char *table, uint32_t omit)
{
	char omit_text[16];
	const char *argv[] = { "jail_probe", attempt, table, omit_text, rw_share, ro_share, NULL };
	const struct spawn_fd fds[] = { { lifeline_read, 3 }, { 2, 2 } };
	const struct spawn_spec spec = {
		.path = getenv("JAIL_PROBE"),
		.argv = argv,
		.fds = fds,
		.fd_count = ARRAY_SIZE(fds),
	};
	struct err err = {};
	int status, pidfd;
	pid_t pid;

	snprintf(omit_text, sizeof(omit_text), "%#x", omit);
	if (jail_spawn(&spec, geteuid(), getegid(), &pid, &pidfd, &err) < 0)
		fail_msg("jail_spawn: %s (%s)", err.text, err.next_step);
	close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct expectation {
	const char *attempt;
	const char *table;
	uint32_t omit;
	int outcome;
};

static void expect_all(const struct expectation *expectations, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct expectation *e = &expectations[i];
		int got = outcome(e->attempt, e->table, e->omit);

		if (e->outcome == REFUSED_OR_KILLED ? got != REFUSED && got != KILLED
						    : got != e->outcome)
			fail_msg("%s (%s, without layers %#x): %d instead of %d", e->attempt,
				e->table, e->omit, got, e->outcome);
	}
}

static void test_what_it_needs_works(void **state)
{
	static const struct expectation table[] = {
		{ "nothing", "vmm", 0, GOT_IT },
		{ "nothing", "link", 0, GOT_IT },
		{ "nothing", "unpack", 0, GOT_IT },
		{ "nothing", "proxy", 0, GOT_IT },
		{ "nothing", "injector", 0, GOT_IT },
		{ "connect-inet", "injector", 0, GOT_IT },
		{ "use-share", "vmm", 0, GOT_IT },
		{ "reopen", "vmm", 0, GOT_IT },
		{ "kvm", "vmm", 0, GOT_IT },
		{ "kvm", "vcpu", 0, GOT_IT },
	};

	(void)state;
	expect_all(table, ARRAY_SIZE(table));
}

static void test_everything_else_is_refused(void **state)
{
	static const struct expectation table[] = {
		{ "write-readonly", "vmm", 0, REFUSED },
		{ "path", "vmm", 0, REFUSED },
		{ "dotdot", "vmm", 0, REFUSED },
		{ "root-listing", "vmm", 0, REFUSED },
		{ "socket-inet", "vmm", 0, KILLED },
		{ "socket-unix", "vmm", 0, KILLED },
		{ "socket-inet", "link", 0, KILLED },
		{ "exec", "vmm", 0, KILLED },
		{ "fork", "vmm", 0, KILLED },
		{ "kill-outside", "vmm", 0, KILLED },
		{ "ptrace", "vmm", 0, KILLED },
		{ "mount", "vmm", 0, KILLED },
		{ "setpgid", "vmm", 0, KILLED },
		{ "setuid-bit", "vmm", 0, KILLED },
		{ "device-node", "vmm", 0, KILLED },
		{ "tiocsti", "vmm", 0, KILLED },
		{ "executable-memory", "vmm", 0, KILLED },
		{ "kvm-set-regs", "vmm", 0, KILLED },
		{ "path", "vcpu", 0, KILLED },
		{ "path", "link", 0, KILLED },
		{ "dotdot", "link", 0, KILLED },
		{ "exec", "link", 0, KILLED },
		{ "fork", "link", 0, KILLED },
		{ "path", "unpack", 0, KILLED },
		{ "dotdot", "unpack", 0, KILLED },
		{ "socket-unix", "unpack", 0, KILLED },
		{ "exec", "unpack", 0, KILLED },
		{ "fork", "unpack", 0, KILLED },
		{ "kill-outside", "unpack", 0, KILLED },
		{ "executable-memory", "unpack", 0, KILLED },
		{ "kill-outside", "link", 0, KILLED },
		{ "ptrace", "link", 0, KILLED },
		{ "mount", "link", 0, KILLED },
		{ "setpgid", "link", 0, KILLED },
		{ "tiocsti", "link", 0, KILLED },
		{ "executable-memory", "link", 0, KILLED },
		{ "connect-outside", "link", 0, REFUSED },
		{ "connect-outside", "vmm", 0, KILLED },
		{ "socket-inet", "proxy", 0, KILLED },
		{ "socket-unix", "proxy", 0, KILLED },
		{ "socket-netlink", "proxy", 0, KILLED },
		{ "listen", "proxy", 0, KILLED },
		{ "connect-inet", "proxy", 0, KILLED },
		{ "connect-outside", "proxy", 0, KILLED },
		{ "socket-raw", "injector", 0, REFUSED },
		{ "socket-packet", "injector", 0, KILLED },
		{ "socket-unix", "injector", 0, KILLED },
		{ "socket-netlink", "injector", 0, KILLED },
		{ "listen", "injector", 0, REFUSED_OR_KILLED },
		{ "connect-outside", "injector", 0, KILLED },
		{ "path", "proxy", 0, KILLED },
		{ "dotdot", "proxy", 0, KILLED },
		{ "exec", "proxy", 0, KILLED },
		{ "fork", "proxy", 0, KILLED },
		{ "kill-outside", "proxy", 0, KILLED },
		{ "ptrace", "proxy", 0, KILLED },
		{ "read-memory", "proxy", 0, KILLED },
		{ "mount", "proxy", 0, KILLED },
		{ "setpgid", "proxy", 0, KILLED },
		{ "tiocsti", "proxy", 0, KILLED },
		{ "executable-memory", "proxy", 0, KILLED },
		{ "path", "injector", 0, KILLED },
		{ "dotdot", "injector", 0, KILLED },
		{ "exec", "injector", 0, KILLED },
		{ "fork", "injector", 0, KILLED },
		{ "kill-outside", "injector", 0, KILLED },
		{ "ptrace", "injector", 0, KILLED },
		{ "read-memory", "injector", 0, KILLED },
		{ "mount", "injector", 0, KILLED },
		{ "setpgid", "injector", 0, KILLED },
		{ "tiocsti", "injector", 0, KILLED },
		{ "executable-memory", "injector", 0, KILLED },
	};

	(void)state;
	expect_all(table, ARRAY_SIZE(table));
}

/* The other layers, with seccomp (and more) off: each refuses on its own. */
static void test_each_layer_holds_alone(void **state)
{
	static const struct expectation table[] = {
		/* the empty root, without Landlock and seccomp */
		{ "path", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "dotdot", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "root-listing", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "exec", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		/* the mount flags */
		{ "write-readonly", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		/* the pid namespace: nobody there to be signalled or traced */
		{ "kill-outside", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "ptrace", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		/* no capabilities */
		{ "capability", "vmm", JAIL_SECCOMP, REFUSED },
		{ "mount", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		/* the same walls around the link (H10): no host file, nobody to signal, no socket of the outside */
		{ "path", "link", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "path", "link", JAIL_SECCOMP, REFUSED },
		{ "dotdot", "link", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "exec", "link", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "kill-outside", "link", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "ptrace", "link", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "capability", "link", JAIL_SECCOMP, REFUSED },
		/* the net namespace (abstract names) and the empty root (paths) */
		{ "connect-outside", "link", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		/* around proxy and injector: no file, nobody to signal or read, no root of the network */
		{ "path", "proxy", JAIL_SECCOMP, REFUSED },
		{ "path", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "dotdot", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "exec", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "kill-outside", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "ptrace", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "read-memory", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "capability", "proxy", JAIL_SECCOMP, REFUSED },
		{ "mount", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "path", "injector", JAIL_SECCOMP, REFUSED },
		{ "path", "injector", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "dotdot", "injector", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "exec", "injector", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		{ "kill-outside", "injector", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS,
			REFUSED },
		{ "ptrace", "injector", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "read-memory", "injector", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "capability", "injector", JAIL_SECCOMP, REFUSED },
		{ "mount", "injector", JAIL_SECCOMP | JAIL_LANDLOCK, REFUSED },
		/* the proxy's net namespace: no address there, nor an abstract name */
		{ "connect-inet", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "connect-outside", "proxy", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS,
			REFUSED },
		/* the injector's network is the host's, and not its namespace's own */
		{ "socket-raw", "injector", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, REFUSED },
		{ "socket-packet", "injector", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS,
			REFUSED },
		/* Landlock, or the user namespace before it */
		{ "device-node", "vmm", JAIL_SECCOMP, REFUSED },
	};

	(void)state;
	expect_all(table, ARRAY_SIZE(table));
}

/* That the probe's attempts are real: they succeed where the layer that stops them is off. */
static void test_attempts_work_without_the_layer(void **state)
{
	static const struct expectation table[] = {
		{ "socket-unix", "vmm", JAIL_SECCOMP, GOT_IT },
		{ "fork", "vmm", JAIL_SECCOMP, GOT_IT },
		{ "listen", "injector", JAIL_SECCOMP | JAIL_LANDLOCK, GOT_IT },
		{ "socket-netlink", "injector", JAIL_SECCOMP, GOT_IT },
		{ "socket-raw", "proxy", JAIL_SECCOMP | JAIL_NO_CAPS, GOT_IT },
		{ "setuid-bit", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK, GOT_IT },
		{ "executable-memory", "vmm", JAIL_SECCOMP, GOT_IT },
		{ "capability", "vmm", JAIL_SECCOMP | JAIL_NO_CAPS, GOT_IT },
		{ "mount", "vmm", JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_NO_CAPS, GOT_IT },
	};

	(void)state;
	expect_all(table, ARRAY_SIZE(table));
}

static void test_a_dead_supervisor_is_noticed(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	close(pair[1]);
	int kept = TAKE_FD(lifeline_read);
	lifeline_read = pair[0];
	assert_int_equal(outcome("nothing", "vmm", 0), 2);
	close(lifeline_read);
	lifeline_read = kept;
}

/* What connect-outside looks for, seen to be reachable from here. first: '@' for an abstract name. */
static int listen_at(char first)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(
		at.sun_path, sizeof(at.sun_path), "%s%s.sock", first == '@' ? "@" : "", rw_share);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);

	if (first == '@')
		at.sun_path[0] = '\0';
	if (bind(fd, (struct sockaddr *)&at, size) < 0 || listen(fd, 8) < 0 ||
		connect(client, (struct sockaddr *)&at, size) < 0)
		return -1;
	return TAKE_FD(fd);
}

static int set_up(void **state)
{
	int pair[2];

	(void)state;
	if (!mkdtemp(rw_share) || !mkdtemp(ro_share) || pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	lifeline_read = pair[0];
	lifeline_write = pair[1];
	abstract_listener = listen_at('@');
	path_listener = listen_at('/');
	return abstract_listener < 0 || path_listener < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/made-inside", rw_share);
	unlink(path);
	rmdir(rw_share);
	rmdir(ro_share);
	close(lifeline_read);
	close(lifeline_write);
	close(abstract_listener);
	close(path_listener);
	snprintf(path, sizeof(path), "%s.sock", rw_share);
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_it_needs_works),
		cmocka_unit_test(test_everything_else_is_refused),
		cmocka_unit_test(test_each_layer_holds_alone),
		cmocka_unit_test(test_attempts_work_without_the_layer),
		cmocka_unit_test(test_a_dead_supervisor_is_noticed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
