/* SPDX-License-Identifier: Apache-2.0 */
#include "images/kernel_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/jail/jail_spawn.h"

/* True when the process has ended. */
static bool wait_end(int pidfd, unsigned int wall_ms)
{
	uint64_t end = clock_monotonic_ms() + wall_ms;

	for (;;) {
		struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
		uint64_t now = clock_monotonic_ms();
		int r = now < end ? poll(&poll_fd, 1, (int)(end - now)) : 0;

		if (r > 0)
			return true;
		if (r == 0 || errno != EINTR)
			return false;
	}
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			break;
	return status;
}

/* What it said, if it is what it may say. */
static int take_answer(int fd, int status, struct err *err)
{
	uint8_t record[KERNEL_ANSWER_SIZE];
	char text[KERNEL_ANSWER_SIZE] = "";
	uint32_t code;

	if (WIFSIGNALED(status))
		return err_set(err, -EPROTO, "sandbox-unpack was ended by signal %d%s",
			WTERMSIG(status),
			WTERMSIG(status) == SIGSYS ? ": it tried what it may not" : "");
	if (fdio_read_full(fd, record, sizeof(record)) < 0)
		return err_set(err, -EPROTO, "sandbox-unpack ended without an answer");
	code = load_le32(record);
	if (code == 0)
		return 0;
	for (size_t i = 4; i < sizeof(record) && record[i]; i++)
		text[i - 4] = (char)(record[i] >= 0x20 && record[i] < 0x7f ? record[i] : '?');
	return err_set(err, code < 4096 ? -(int)code : -EPROTO, "%s", text);
}

/* Not by its word alone: what is kept is a file that is no longer than any kernel, and starts as ELF does. */
static int check_output(int fd, struct err *err)
{
	char magic[4];

	if (fdio_pread_full(fd, magic, sizeof(magic), 0) < 0 || memcmp(magic,
									"\177"
									"ELF",
									sizeof(magic)) != 0)
		return err_set(err, -EPROTO, "sandbox-unpack left no ELF file");
	return 0;
}

int kernel_unpack_jailed(const struct kernel_unpacker *unpacker, int in_fd, int out_fd,
	unsigned int wall_ms, struct err *err)
{
	static const char *const argv[] = { "sandbox-unpack", NULL };
	_cleanup_close_ int pidfd = -1, answer_read = -1, answer_write = -1;
	struct spawn_fd fds[] = { { in_fd, KERNEL_UNPACK_IN }, { out_fd, KERNEL_UNPACK_OUT },
		{ -1, KERNEL_UNPACK_ANSWER } };
	struct spawn_spec spec = {
		.path = unpacker->program, .argv = argv, .fds = fds, .fd_count = ARRAY_SIZE(fds)
	};
	int pair[2], status, r;
	pid_t pid;
	bool ended;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(
			err, -errno, "sandbox-unpack: cannot make a pipe: %s", strerror(errno));
	answer_read = pair[0];
	answer_write = fds[2].source = pair[1];
	r = jail_spawn(&spec, unpacker->uid, unpacker->gid, &pid, &pidfd, err);
	if (r < 0)
		return r;
	close(TAKE_FD(answer_write));
	ended = wait_end(pidfd, wall_ms ? wall_ms : KERNEL_UNPACK_WALL_MS);
	if (!ended)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	status = reap(pid);
	if (!ended)
		return err_set(err, -ETIMEDOUT, "it takes too long to unpack");
	r = take_answer(answer_read, status, err);
	return r < 0 ? r : check_output(out_fd, err);
}
