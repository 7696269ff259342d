/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/array.h"

/* Guarded by order: `saved` and `saved_fd` are written before `raw` is set, and read after it was. */
static struct {
	volatile sig_atomic_t raw;
	int fd;
	struct termios saved;
	bool handlers_set;
} terminal = { .fd = -1 };

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };
static const int asked_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };

/* Async-signal-safe. */
static void restore(int when)
{
	if (!terminal.raw)
		return;
	terminal.raw = 0;
	tcsetattr(terminal.fd, when, &terminal.saved);
}

/* SA_RESETHAND: the signal's default follows when the handler has returned and the fault happens again. */
static void fault(int number)
{
	restore(TCSANOW);
	raise(number);
}

static void restore_at_exit(void)
{
	restore(TCSAFLUSH);
}

static void set_handlers(void)
{
	struct sigaction action = { .sa_handler = fault, .sa_flags = (int)SA_RESETHAND };

	if (terminal.handlers_set)
		return;
	terminal.handlers_set = true;
	for (size_t i = 0; i < ARRAY_SIZE(fault_signals); i++)
		sigaction(fault_signals[i], &action, NULL);
	atexit(restore_at_exit);
}

static int set_raw(void)
{
	struct termios raw = terminal.saved;

	raw.c_iflag &= ~(tcflag_t)(IGNPAR | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF |
				   BRKINT | PARMRK);
	raw.c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(terminal.fd, TCSADRAIN, &raw) < 0 ? -errno : 0;
}

int terminal_enter_raw(int fd, struct err *err)
{
	int r;

	if (terminal.raw)
		return 0;
	terminal.fd = fd;
	if (tcgetattr(fd, &terminal.saved) < 0)
		return err_set(err, -errno, "the terminal does not tell its settings: %s",
			strerror(errno));
	set_handlers();
	terminal.raw = 1;
	r = set_raw();
	if (r < 0) {
		terminal.raw = 0;
		return err_set(err, r, "the terminal does not take raw mode: %s", strerror(-r));
	}
	return 0;
}

void terminal_leave(void)
{
	restore(TCSAFLUSH);
}

bool terminal_is_raw(void)
{
	return terminal.raw;
}

bool terminal_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
		return false;
	*ret_rows = size.ws_row;
	*ret_cols = size.ws_col;
	return true;
}

void terminal_signals(sigset_t *ret)
{
	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(asked_signals); i++)
		sigaddset(ret, asked_signals[i]);
}

int terminal_block_signals(sigset_t *ret_before)
{
	sigset_t set;

	terminal_signals(&set);
	return sigprocmask(SIG_BLOCK, &set, ret_before) < 0 ? -errno : 0;
}

int terminal_suspend(struct err *err)
{
	bool was_raw = terminal.raw;
	int r = 0;

	restore(TCSADRAIN);
	kill(getpid(), SIGSTOP);
	if (was_raw) {
		terminal.raw = 1;
		r = set_raw();
	}
	return r < 0 ? err_set(err, r, "the terminal does not take raw mode: %s", strerror(-r)) : 0;
}
