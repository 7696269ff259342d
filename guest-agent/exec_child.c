/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/exec_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/environment.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define NOFILE_SOFT	1024
#define NOFILE_HARD	(1u << 20)
#define TTY_GROUP	5
#define PIPE_SIZE_BYTES (256 << 10)

/* The ends of three pipes, or of a terminal (only `ours[0]` and `theirs[0]` then). */
struct stdio {
	int ours[3], theirs[3];
};

struct plan {
	const struct protocol_exec *request;
	const struct operation_context *context;
	const struct user *user;
	struct environment environment;
	const char *file; /* what to look for in PATH */
	const char **argv;
	char dash[USER_PATH_MAX + 2]; /* argv[0] of a login shell */
	const char *shell_argv[2];
};

static void close_stdio(struct stdio *io)
{
	for (size_t i = 0; i < ARRAY_SIZE(io->ours); i++) {
		close_keeping_errno(io->ours[i]);
		close_keeping_errno(io->theirs[i]);
	}
}

static int open_pipes(struct stdio *io)
{
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		(void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE_BYTES);
		io->ours[i] = i ? ends[0] : ends[1];
		io->theirs[i] = i ? ends[1] : ends[0];
	}
	return 0;
}

static int open_terminal(
	const struct protocol_exec *request, const struct user *user, struct stdio *io)
{
	struct winsize size = { .ws_row = request->rows, .ws_col = request->cols };
	int unlock = 0;

	if (!size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	io->ours[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (io->ours[0] < 0 || ioctl(io->ours[0], TIOCSPTLCK, &unlock) < 0)
		return -errno;
	io->theirs[0] = ioctl(io->ours[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (io->theirs[0] < 0)
		return -errno;
	(void)ioctl(io->ours[0], TIOCSWINSZ, &size);
	/* So that programs of the user may reopen it; without root's rights it is the user's already. */
	(void)!fchown(io->theirs[0], user->uid, TTY_GROUP);
	(void)fchmod(io->theirs[0], 0620);
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int take_stdio(const struct stdio *io, bool tty)
{
	if (setsid() < 0)
		return -errno;
	if (tty && ioctl(io->theirs[0], TIOCSCTTY, 0) < 0)
		return -errno;
	for (int i = 0; i < 3; i++)
		if (dup2(io->theirs[tty ? 0 : i], i) < 0)
			return -errno;
	/* All else was born CLOEXEC; this makes sure of it. */
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	return 0;
}

static void set_limits(void)
{
	struct rlimit files = { .rlim_cur = NOFILE_SOFT, .rlim_max = NOFILE_HARD };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (fd >= 0)
		(void)!write(fd, "0", 1);
	close_keeping_errno(fd);
	umask(022);
}

static int enter_folder(const struct plan *plan)
{
	const char *wanted = plan->request->folder;

	if (wanted[0])
		return chdir(wanted) < 0 ? -errno : 0;
	/* Nobody asked for a certain one: the first that is there. */
	if (plan->context->folder[0] && chdir(plan->context->folder) == 0)
		return 0;
	if (chdir(plan->user->home) < 0 && chdir("/") < 0)
		return -errno;
	return 0;
}

/* In the child, up to exec. Gives the reason where it comes back. */
static struct exec_failure become_program(struct plan *plan, const struct stdio *io)
{
	bool tty = plan->request->flags & PROTOCOL_EXEC_TTY;
	int r = take_stdio(io, tty);

	if (r < 0)
		return (struct exec_failure){ r, PROTOCOL_STAGE_TERMINAL };
	set_limits();
	r = user_become(plan->user);
	if (r < 0)
		return (struct exec_failure){ r, PROTOCOL_STAGE_USER };
	r = enter_folder(plan);
	if (r < 0)
		return (struct exec_failure){ r, PROTOCOL_STAGE_FOLDER };
	reset_signals();
	environ = plan->environment.list; /* execvp looks for PATH there */
	execvp(plan->file, (char *const *)plan->argv);
	return (struct exec_failure){ -errno, PROTOCOL_STAGE_NONE };
}

/* Which file, and under which argv[0]. */
static void plan_program(struct plan *plan)
{
	const struct protocol_exec *request = plan->request;
	const char *last;

	plan->argv = (const char **)request->argv;
	plan->file = request->argv[0];
	if (request->flags & PROTOCOL_EXEC_SHELL) {
		plan->file = plan->user->shell;
		plan->shell_argv[0] = plan->file;
		plan->argv = plan->shell_argv;
	}
	if (!(request->flags & PROTOCOL_EXEC_LOGIN))
		return;
	last = strrchr(plan->file, '/');
	snprintf(plan->dash, sizeof(plan->dash), "-%s", last ? last + 1 : plan->file);
	plan->argv[0] = plan->dash;
}

static int fork_program(struct plan *plan, const struct stdio *io, struct exec_child *child,
	struct exec_failure *failure)
{
	_cleanup_close_ int status_read = -1;
	_cleanup_close_ int status_write = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		*failure = (struct exec_failure){ -errno, PROTOCOL_STAGE_START };
		return -1;
	}
	status_read = ends[0];
	status_write = ends[1];
	child->pid = fork();
	if (child->pid < 0) {
		*failure = (struct exec_failure){ -errno, PROTOCOL_STAGE_START };
		return -1;
	}
	if (child->pid == 0) {
		struct exec_failure why = become_program(plan, io);

		(void)!write(status_write, &why, sizeof(why));
		_exit(127);
	}
	close(TAKE_FD(status_write));
	/* The pipe closes at exec: silence is success. */
	if (fdio_read_full(status_read, failure, sizeof(*failure)) == 0) {
		(void)waitpid(child->pid, NULL, 0);
		return -1;
	}
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	return 0;
}

/* Hands our ends over, so that the pump owns them. */
static void give_stdio(struct stdio *io, bool tty, struct exec_child *child)
{
	child->input = TAKE_FD(io->ours[0]);
	child->output = tty ? fcntl(child->input, F_DUPFD_CLOEXEC, 3) : TAKE_FD(io->ours[1]);
	child->error = TAKE_FD(io->ours[2]);
	(void)fdio_set_nonblocking(child->input, true);
	(void)fdio_set_nonblocking(child->output, true);
	if (child->error >= 0)
		(void)fdio_set_nonblocking(child->error, true);
}

int exec_child_start(const struct protocol_exec *request, const struct operation_context *context,
	const struct user *user, struct exec_child *ret, struct exec_failure *failure)
{
	_cleanup_free_ struct plan *plan = calloc(1, sizeof(*plan));
	struct stdio io = { { -1, -1, -1 }, { -1, -1, -1 } };
	bool tty = request->flags & PROTOCOL_EXEC_TTY;
	int r = plan ? 0 : -ENOMEM;

	if (r == 0)
		r = tty ? open_terminal(request, user, &io) : open_pipes(&io);
	if (r < 0) {
		close_stdio(&io);
		*failure = (struct exec_failure){ r,
			tty ? PROTOCOL_STAGE_TERMINAL : PROTOCOL_STAGE_START };
		return -1;
	}
	plan->request = request;
	plan->context = context;
	plan->user = user;
	environment_build(&plan->environment, user, context->egress_env, context->env, request);
	plan_program(plan);
	r = fork_program(plan, &io, ret, failure);
	if (r == 0)
		give_stdio(&io, tty, ret);
	close_stdio(&io);
	return r;
}
