/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/secrets/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/secrets/secret_environment.h"

#define ROOM (SECRET_VALUE_MAX + 3) /* one byte too many shows, behind CR LF */

/* What is there now, up to the room that is left: 1; 0 at the end, -EAGAIN where nothing is there. */
static int read_some(int fd, char *buffer, size_t *len)
{
	ssize_t n;

	do {
		n = read(fd, buffer + *len, ROOM - *len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*len += (size_t)n;
	return n > 0;
}

/* A regular file, to its end. */
static int read_file(int fd, char *buffer, size_t *ret_len)
{
	int r = 1;

	while (r > 0 && *ret_len < ROOM)
		r = read_some(fd, buffer, ret_len);
	return r < 0 ? r : 0;
}

/* What a command prints: to the end of its output, or to its own end, for what it left behind may hold the pipe. -ETIMEDOUT. */
static int read_output(int fd, int pidfd, uint64_t deadline_ms, char *buffer, size_t *ret_len)
{
	int r = 1;

	while (r != 0 && *ret_len < ROOM) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			{ .fd = pidfd, .events = POLLIN } };
		uint64_t now = clock_monotonic_ms();

		if (now >= deadline_ms || poll(p, 2, (int)(deadline_ms - now)) == 0)
			return -ETIMEDOUT;
		r = read_some(fd, buffer, ret_len);
		if (r == -EAGAIN && (p[1].revents & POLLIN))
			return 0;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return 0;
}

/* H14: the path was made without links when it was set; a link in it now is somebody's trick. */
static int open_file(const char *path, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_set(err, -ELOOP, "%s: there is a symbolic link on its way now", path);
	if (fd < 0)
		return err_set(err, -errno, "%s: %m", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(err, -EINVAL, "%s: not a regular file", path);
}

static int read_path(const char *path, char *buffer, size_t *ret_len, struct err *err)
{
	_cleanup_close_ int fd = open_file(path, err);
	int r = fd < 0 ? fd : read_file(fd, buffer, ret_len);

	return r < 0 && fd >= 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : r;
}

static int read_env(char *const *environment, const char *variable, char *buffer, size_t *ret_len,
	struct err *err)
{
	const char *value = secret_environment_get(environment, variable);
	size_t len = value ? strlen(value) : 0;

	if (!value)
		return err_set(err, -ENOKEY,
			"the variable %s was not set where the sandbox was started", variable);
	if (len >= ROOM)
		len = ROOM - 1;
	memcpy(buffer, value, len);
	*ret_len = len;
	return 0;
}

static int read_systemd(char *const *environment, const char *credential, char *buffer,
	size_t *ret_len, struct err *err)
{
	const char *folder = secret_environment_get(environment, "CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];
	int n;

	if (!folder)
		return err_set(err, -ENOKEY,
			"the credential %s: systemd gave none ($CREDENTIALS_DIRECTORY is not set)",
			credential);
	n = snprintf(path, sizeof(path), "%s/%s", folder, credential);
	if (n < 0 || n >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "the credential %s: path too long", credential);
	return read_path(path, buffer, ret_len, err);
}

static int read_keyring(const char *description, char *buffer, size_t *ret_len, struct err *err)
{
	long key =
		syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", description, 0);
	long n = key < 0 ? -1 : syscall(SYS_keyctl, KEYCTL_READ, key, buffer, (size_t)ROOM);

	if (n < 0)
		return err_set(
			err, -ENOKEY, "the key %s of the kernel's user keyring: %m", description);
	*ret_len = (size_t)n < ROOM ? (size_t)n : ROOM;
	return 0;
}

static void run_command(const char *command, char *const *environment, int output)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *chosen[SECRET_ENVIRONMENT_COUNT + 2] = { path }, **at = chosen + 1;
	char *const argv[] = { "sh", "-c", (char *)(size_t)command, NULL };
	int null_fd = open("/dev/null", O_RDWR);

	for (; *environment; environment++)
		if (secret_environment_is_for_commands(*environment))
			*at++ = *environment;
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null_fd >= 0 && dup2(null_fd, 0) == 0 && dup2(output, 1) == 1 &&
		dup2(null_fd, 2) == 2 && close_range(3, ~0U, 0) == 0 && chdir("/") == 0)
		execve("/bin/sh", argv, chosen);
	_exit(127);
}

static int explain_end(const char *command, int status, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return err_set(err, -ENOKEY, "the command ended with exit code %d: %.200s",
			WEXITSTATUS(status), command);
	return err_set(err, -ENOKEY, "the command was ended by signal %d: %.200s", WTERMSIG(status),
		command);
}

/* Its output has ended: it ends soon. False: it was killed. */
static bool reap(pid_t pid, int pidfd, uint64_t deadline_ms, int *ret_status)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t now = clock_monotonic_ms();
	bool ended = now < deadline_ms && poll(&p, 1, (int)(deadline_ms - now)) > 0;

	if (!ended)
		kill(pid, SIGKILL);
	waitpid(pid, ret_status, 0);
	return ended;
}

static int read_command(char *const *environment, const char *command, char *buffer,
	size_t *ret_len, struct err *err)
{
	uint64_t deadline_ms = clock_monotonic_ms() + SECRET_COMMAND_MS;
	int output[2], pidfd, status = 0, r;
	pid_t pid;
	bool ended;

	if (pipe2(output, O_CLOEXEC) < 0)
		return err_set(err, -errno, "a pipe: %m");
	pid = fork();
	if (pid == 0)
		run_command(command, environment, output[1]);
	close(output[1]);
	pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	r = pidfd < 0 ? -errno : fdio_set_nonblocking(output[0], true);
	if (r == 0)
		r = read_output(output[0], pidfd, deadline_ms, buffer, ret_len);
	close(output[0]);
	if (pid < 0)
		return err_set(err, r, "fork: %s", strerror(-r));
	ended = reap(pid, pidfd, r == 0 ? deadline_ms : 0, &status);
	kill(-pid, SIGKILL); /* what it left behind */
	close(pidfd);
	if (r == -ETIMEDOUT || (r == 0 && !ended))
		return err_set(err, -ETIMEDOUT, "the command has not ended within %d s: %.200s",
			SECRET_COMMAND_MS / 1000, command);
	if (r < 0)
		return err_set(err, r, "the command's output: %s", strerror(-r));
	return explain_end(command, status, err);
}

int secret_source_read(const struct secret_ref *ref, const struct secret_inputs *in, char *buffer,
	size_t *ret_len, struct err *err)
{
	size_t len = 0;
	int r = -EINVAL;

	switch (ref->kind) {
	case SECRET_STORED:
		r = read_file(in->value_fd, buffer, &len);
		if (r < 0)
			err_set(err, r, "its value: %s", strerror(-r));
		break;
	case SECRET_FILE:
		r = read_path(ref->text, buffer, &len, err);
		break;
	case SECRET_ENV:
		r = read_env(in->environment, ref->text, buffer, &len, err);
		break;
	case SECRET_COMMAND:
		r = read_command(in->environment, ref->text, buffer, &len, err);
		break;
	case SECRET_SYSTEMD:
		r = read_systemd(in->environment, ref->text, buffer, &len, err);
		break;
	case SECRET_KEYRING:
		r = read_keyring(ref->text, buffer, &len, err);
		break;
	case SECRET_KINDS:
		break;
	}
	return r < 0 ? r : secret_value_trim(buffer, len, ret_len, err);
}
