/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: clone3() gives the child and its pidfd at once. Two pipes tie them: the child waits on `go`
 * until the parent has done before_exec(); `failed` is CLOEXEC, so the parent reads either the child's errno or the
 * end of file that a successful exec leaves. Fds are first moved above every target (so that no target overwrites a
 * source), then put in place, then everything else is closed with close_range.
 */
#include "vmm/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

static pid_t clone_child(uint64_t flags, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int first_free_above(const struct spawn_spec *spec)
{
	int top = 3;

	for (size_t i = 0; i < spec->fd_count; i++)
		if (spec->fds[i].target >= top)
			top = spec->fds[i].target + 1;
	return top;
}

/* Puts the map's fds at their targets; *failed_fd moves to the lowest free place above them. */
static int place_fds(const struct spawn_spec *spec, int *failed_fd)
{
	int moved[SPAWN_FDS_MAX], top = first_free_above(spec), null_fd, kept;

	kept = fcntl(*failed_fd, F_DUPFD_CLOEXEC, top);
	if (kept < 0)
		return -errno;
	*failed_fd = kept;
	for (size_t i = 0; i < spec->fd_count; i++) {
		moved[i] = fcntl(spec->fds[i].source, F_DUPFD_CLOEXEC, top);
		if (moved[i] < 0)
			return -errno;
	}
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null_fd, fd) < 0)
			return -errno;
	for (size_t i = 0; i < spec->fd_count; i++)
		if (dup2(moved[i], spec->fds[i].target) < 0)
			return -errno;
	/* What was placed may lie between foreign fds: close everything that is not a target. */
	for (int fd = 3; fd < top; fd++) {
		bool is_target = false;

		for (size_t i = 0; i < spec->fd_count; i++)
			is_target = is_target || spec->fds[i].target == fd;
		if (!is_target)
			close(fd);
	}
	for (size_t i = 0; i < spec->fd_count; i++)
		close(moved[i]);
	if (*failed_fd > top && close_range((unsigned int)top, (unsigned int)*failed_fd - 1, 0) < 0)
		return -errno;
	if (close_range((unsigned int)*failed_fd + 1, ~0u, 0) < 0)
		return -errno;
	return 0;
}

static int prepare_child(const struct spawn_spec *spec, int go_fd, int *failed_fd)
{
	char go;
	int r;

	reset_signals();
	if (read(go_fd, &go, 1) != 1)
		return -ECANCELED;
	r = place_fds(spec, failed_fd);
	if (r < 0)
		return r;
	if (chdir(spec->working_folder ? spec->working_folder : "/") < 0)
		return -errno;
	return spec->in_child ? spec->in_child(spec->data) : 0;
}

static void __attribute__((noreturn))
run_child(const struct spawn_spec *spec, int go_fd, int failed_fd)
{
	static const char *const empty[] = { NULL };
	const char *const *environment = spec->environment ? spec->environment : empty;
	int r = prepare_child(spec, go_fd, &failed_fd);

	if (r == 0) {
		execve(spec->path, (char *const *)spec->argv, (char *const *)environment);
		r = -errno;
	}
	if (write(failed_fd, &r, sizeof(r)) < 0) {
		/* The parent sees the exit code. */
	}
	_exit(127);
}

/* Lets the child go on and waits until it has exec'd; its errno, or 0. */
static int release_child(int go_fd, int failed_fd)
{
	int code = 0;

	if (fdio_write_full(go_fd, "", 1) < 0)
		return -EPIPE;
	return fdio_read_full(failed_fd, &code, sizeof(code)) == 0 ? code : 0;
}

int spawn(const struct spawn_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	int go[2], failed[2], pidfd = -1, r = 0;
	pid_t pid;

	if (spec->fd_count > SPAWN_FDS_MAX)
		return err_set(err, -EINVAL, "%s: more than %d fds", spec->path, SPAWN_FDS_MAX);
	if (pipe2(go, O_CLOEXEC) < 0)
		return err_set(
			err, -errno, "%s: cannot make a pipe: %s", spec->path, strerror(errno));
	_cleanup_close_ int go_read = go[0], go_write = go[1];
	if (pipe2(failed, O_CLOEXEC) < 0)
		return err_set(
			err, -errno, "%s: cannot make a pipe: %s", spec->path, strerror(errno));
	_cleanup_close_ int failed_read = failed[0], failed_write = failed[1];

	pid = clone_child(spec->clone_flags, &pidfd);
	if (pid < 0)
		return err_set(
			err, -errno, "%s: cannot start a process: %s", spec->path, strerror(errno));
	if (pid == 0) {
		close(go_write);
		run_child(spec, go_read, failed_write);
	}
	_cleanup_close_ int owned_pidfd = pidfd;

	close(TAKE_FD(failed_write));
	if (spec->before_exec)
		r = spec->before_exec(spec->data, pid, err);
	if (r == 0) {
		r = release_child(go_write, failed_read);
		if (r < 0)
			err_set(err, r, "%s: cannot start it: %s", spec->path, strerror(-r));
	}
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(owned_pidfd);
	return 0;
}
