/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/pty_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"

#define STEP_MS 50

int pty_start(struct pty_driver *p, char *const *argv)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	memset(p, 0, sizeof(*p));
	if (openpty(&p->master, &p->slave, NULL, NULL, &size) < 0)
		return -errno;
	p->pid = fork();
	if (p->pid < 0)
		return -errno;
	if (p->pid == 0) {
		close(p->master);
		if (login_tty(p->slave) < 0)
			_exit(99);
		execv(argv[0], argv);
		_exit(98);
	}
	return fcntl(p->master, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int pty_type(struct pty_driver *p, const char *text)
{
	return fdio_write_full(p->master, text, strlen(text));
}

static void read_some(struct pty_driver *p, int timeout_ms)
{
	struct pollfd f = { .fd = p->master, .events = POLLIN };
	ssize_t n;

	if (poll(&f, 1, timeout_ms) <= 0 || p->len >= PTY_OUTPUT_MAX)
		return;
	n = read(p->master, p->output + p->len, PTY_OUTPUT_MAX - p->len);
	if (n > 0)
		p->len += (size_t)n;
	p->output[p->len] = '\0';
}

bool pty_expect(struct pty_driver *p, const char *text)
{
	uint64_t end_ms = clock_monotonic_ms() + PTY_TIMEOUT_MS;

	while (!strstr(p->output, text) && clock_monotonic_ms() < end_ms)
		read_some(p, STEP_MS);
	return strstr(p->output, text) != NULL;
}

int pty_resize(struct pty_driver *p, uint16_t rows, uint16_t cols)
{
	struct winsize size = { .ws_row = rows, .ws_col = cols };

	return ioctl(p->master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

bool pty_is_cooked(const struct pty_driver *p)
{
	struct termios t;

	return tcgetattr(p->slave, &t) == 0 && (t.c_lflag & ICANON) && (t.c_lflag & ECHO) &&
	       (t.c_oflag & OPOST);
}

int pty_finish(struct pty_driver *p)
{
	uint64_t end_ms = clock_monotonic_ms() + PTY_TIMEOUT_MS;
	int status, code = -1;

	while (clock_monotonic_ms() < end_ms) {
		read_some(p, STEP_MS);
		if (waitpid(p->pid, &status, WNOHANG) != p->pid)
			continue;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		break;
	}
	if (code < 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, &status, 0);
	}
	read_some(p, 0);
	close(p->master);
	close(p->slave);
	return code;
}
