/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/kvm_fitness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/loop.h"
#include "vmm/base/spawn.h"
#include "vmm/sandboxctl/terminal_filter.h"

#define CACHE_FILE "kvm.measured"

static const char *const names[] = {
	[KVM_FIT] = "fit",
	[KVM_EMULATED] = "emulated",
	[KVM_ABSENT] = "absent",
	[KVM_NO_PERMISSION] = "no permission",
	[KVM_UNKNOWN] = "unknown",
};

const char *kvm_fitness_name(enum kvm_fitness fitness)
{
	return names[fitness];
}

static bool fitness_from(const char *word, size_t len, enum kvm_fitness *ret)
{
	static const struct {
		const char *word;
		enum kvm_fitness fitness;
	} words[] = {
		{ "fit", KVM_FIT },
		{ "emulated", KVM_EMULATED },
		{ "absent", KVM_ABSENT },
		{ "no-permission", KVM_NO_PERMISSION },
		{ "no_permission", KVM_NO_PERMISSION },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) == len && memcmp(words[i].word, word, len) == 0) {
			*ret = words[i].fitness;
			return true;
		}
	}
	return false;
}

bool kvm_measurement_parse(const char *line, struct kvm_measurement *ret)
{
	struct kvm_measurement m = {};

	if (strncmp(line, "kvm=", 4) != 0 ||
		!fitness_from(line + 4, strcspn(line + 4, " \n"), &m.fitness))
		return false;
	terminal_filter_text(line, m.fields, sizeof(m.fields));
	m.fields[strcspn(m.fields, "?")] = '\0'; /* the line end */
	*ret = m;
	return true;
}

static int spawn_measuring(
	const char *vmm_path, int out_fd, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	const char *const argv[] = { "sandbox-vmm", "--measure-kvm", NULL };
	const struct spawn_fd fds[] = { { out_fd, STDOUT_FILENO },
		{ STDERR_FILENO, STDERR_FILENO } };
	const struct spawn_spec spec = {
		.path = vmm_path, .argv = argv, .fds = fds, .fd_count = 1
	};

	return spawn(&spec, ret_pid, ret_pidfd, err);
}

/* Reads until the end of the pipe or of the time, into text. */
static int read_line_for(int fd, char *text, size_t size, uint64_t timeout_ms)
{
	uint64_t end_ms = clock_monotonic_ms() + timeout_ms;
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now_ms = clock_monotonic_ms();
		ssize_t n;

		if (now_ms >= end_ms || len + 1 >= size)
			return -ETIME;
		if (poll(&p, 1, (int)(end_ms - now_ms)) <= 0)
			continue;
		n = read(fd, text + len, size - len - 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	return 0;
}

int kvm_measure(const char *vmm_path, struct kvm_measurement *ret, struct err *err)
{
	_cleanup_close_ int read_fd = -1, write_fd = -1, pidfd = -1;
	char text[KVM_FITNESS_TEXT_MAX] = "";
	int pipe_fds[2];
	pid_t pid;
	int r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "measuring KVM: no pipe");
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	r = spawn_measuring(vmm_path, write_fd, &pid, &pidfd, err);
	if (r < 0)
		return r;
	close(TAKE_FD(write_fd));
	r = read_line_for(read_fd, text, sizeof(text), KVM_FITNESS_TIMEOUT_MS);
	if (r < 0)
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err_set(err, r, "measuring KVM: no answer within %d s",
			KVM_FITNESS_TIMEOUT_MS / 1000);
	if (!kvm_measurement_parse(text, ret))
		return err_set(err, -EPROTO, "measuring KVM: %s said nothing that is understood",
			vmm_path);
	return 0;
}

/* What a kept measurement belongs to. */
static int cache_key(const char *vmm_path, char *key, size_t size)
{
	_cleanup_free_ char *boot_id = NULL;
	struct stat program, device;
	size_t len;

	if (fdio_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &boot_id, &len) < 0 ||
		stat(vmm_path, &program) < 0 || stat("/dev/kvm", &device) < 0)
		return -ENOENT;
	boot_id[strcspn(boot_id, "\n")] = '\0';
	snprintf(key, size, "%s %llu.%lld.%ld %llu.%llu\n", boot_id,
		(unsigned long long)program.st_ino, (long long)program.st_mtim.tv_sec,
		program.st_mtim.tv_nsec, (unsigned long long)device.st_dev,
		(unsigned long long)device.st_rdev);
	return 0;
}

static bool cache_read(const char *path, const char *key, struct kvm_measurement *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len, key_len = strlen(key);

	return access("/dev/kvm", R_OK | W_OK) == 0 &&
	       fdio_read_file(AT_FDCWD, path, 1024, &text, &len) == 0 && len > key_len &&
	       memcmp(text, key, key_len) == 0 && kvm_measurement_parse(text + key_len, ret);
}

int kvm_measure_cached(
	const char *vmm_path, const char *folder, struct kvm_measurement *ret, struct err *err)
{
	char path[PATH_MAX], key[256] = "", text[KVM_FITNESS_TEXT_MAX + 256];
	bool cached = folder && cache_key(vmm_path, key, sizeof(key)) == 0;
	int r;

	snprintf(path, sizeof(path), "%s/" CACHE_FILE, folder ? folder : "");
	if (cached && cache_read(path, key, ret))
		return 0;
	r = kvm_measure(vmm_path, ret, err);
	if (r < 0)
		return r;
	if (cached && ret->fitness == KVM_FIT) {
		snprintf(text, sizeof(text), "%s%s\n", key, ret->fields);
		/* A cache that cannot be written costs 20 ms at the next start, nothing else. */
		(void)fdio_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600);
	}
	return 0;
}

void kvm_fitness_explain(const struct kvm_measurement *m, struct err *err)
{
	switch (m->fitness) {
	case KVM_FIT:
		err_set(err, 0, "KVM runs guests at full speed (%s)", m->fields);
		break;
	case KVM_EMULATED:
		err_set(err, -ENODEV,
			"/dev/kvm is there, but it emulates guest kernels in software (%s)",
			m->fields);
		err_next_step(err,
			"use a machine or VM type with hardware virtualisation (nested: kvm_intel.nested=1 or "
			"kvm_amd.nested=1 on its host, and the host's CPU passed through)");
		break;
	case KVM_ABSENT:
		err_set(err, -ENODEV, "there is no /dev/kvm");
		err_next_step(err,
			"load kvm_intel or kvm_amd; enable VT-x or AMD-V in the firmware; in a VM, enable "
			"nested virtualisation for it; in a container, pass --device /dev/kvm");
		break;
	case KVM_NO_PERMISSION:
		err_set(err, -EACCES, "/dev/kvm may not be opened by this user");
		err_next_step(err, "sudo usermod -aG kvm $USER, then log in again");
		break;
	case KVM_UNKNOWN:
		err_set(err, -ENODEV, "KVM could not be measured");
		err_next_step(err, "see: sandboxctl doctor");
		break;
	}
}
