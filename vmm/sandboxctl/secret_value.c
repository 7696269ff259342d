/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/secret_value.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* Possessor all; user: view, read, search (keyctl_setperm(3)). */
#define KEY_PERMISSIONS 0x3f0b0000
/* A terminal's line is cut at 4095 bytes (termios(3), canonical mode). */
#define TYPED_MAX 4095

static struct termios saved;

static void put_back(int signal)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	_exit(128 + signal);
}

/* The terminal echoes nothing until it is put back; an end by a key's signal puts it back too. */
static int hide(void)
{
	struct sigaction action = { .sa_handler = put_back };
	struct termios hidden;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return -errno;
	hidden = saved;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0 ? -errno : 0;
}

int secret_value_read(
	const char *name, char value[static SECRET_INPUT_MAX], size_t *ret_len, struct err *err)
{
	bool typed = isatty(STDIN_FILENO);
	size_t len = 0;
	ssize_t n = 1;

	if (typed && hide() < 0)
		return err_set(err, -errno, "the terminal: %m");
	if (typed)
		fprintf(stderr, "Value of %s (not shown): ", name);
	while (len < SECRET_INPUT_MAX && n > 0 && !(typed && len && value[len - 1] == '\n')) {
		n = read(STDIN_FILENO, value + len, SECRET_INPUT_MAX - len);
		if (n > 0)
			len += (size_t)n;
	}
	if (typed) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
		fputc('\n', stderr);
	}
	if (n < 0)
		return err_set(err, -errno, "standard input: %m");
	if (typed && len >= TYPED_MAX) {
		err_set(err, -E2BIG, "longer than a terminal's line, which may have cut it");
		return err_next_step(
			err, "give it on standard input: sandboxctl secret set %s <FILE", name);
	}
	*ret_len = len;
	return 0;
}

int secret_value_to_keyring(const char *description, const char *value, size_t len, struct err *err)
{
	long key = syscall(SYS_add_key, "user", description, value, len, KEY_SPEC_USER_KEYRING);

	if (key >= 0 && syscall(SYS_keyctl, KEYCTL_SETPERM, key, KEY_PERMISSIONS) == 0)
		return 0;
	err_set(err, -errno, "the kernel's user keyring: %m");
	return err_next_step(err, "another source: sandboxctl secret set --help");
}

void secret_value_from_keyring(const char *description)
{
	long key =
		syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", description, 0);

	if (key >= 0)
		(void)!syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING);
}
