/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

/*
 * The kernel's ABI, written out here because the build machine's headers may be older than the kernel that runs. Bits
 * are those of linux/landlock.h: 0-12 ABI 1, REFER (13) ABI 2, TRUNCATE (14) ABI 3, IOCTL_DEV (15) ABI 5.
 */
#define ACCESS_EXECUTE		   (1ull << 0)
#define ACCESS_READ_FILE	   (1ull << 2)
#define ACCESS_READ_DIR		   (1ull << 3)
#define ACCESS_MAKE_CHAR	   (1ull << 6)
#define ACCESS_MAKE_SOCK	   (1ull << 9)
#define ACCESS_MAKE_FIFO	   (1ull << 10)
#define ACCESS_MAKE_BLOCK	   (1ull << 11)
#define ACCESS_IOCTL_DEV	   (1ull << 15)
#define NET_BIND_TCP		   (1ull << 0)
#define NET_CONNECT_TCP		   (1ull << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ull << 0)
#define SCOPE_SIGNAL		   (1ull << 1)
#define CREATE_RULESET_VERSION	   1u
#define RULE_PATH_BENEATH	   1

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped; /* ABI 6 */
};

struct path_beneath {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static uint64_t all_fs_rights(int abi)
{
	if (abi >= 5)
		return (1ull << 16) - 1;
	return (1ull << (abi >= 3 ? 15 : 14)) - 1;
}

static size_t ruleset_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset);
	return abi >= 4 ? 16 : 8;
}

static uint64_t bind_rights(const struct jail_bind *bind, uint64_t all)
{
	/* S3: nothing is executed here, and no special file becomes real. */
	const uint64_t never = ACCESS_EXECUTE | ACCESS_MAKE_CHAR | ACCESS_MAKE_BLOCK |
			       ACCESS_MAKE_SOCK | ACCESS_MAKE_FIFO | ACCESS_IOCTL_DEV;

	return bind->readonly ? ACCESS_READ_FILE | ACCESS_READ_DIR : all & ~never;
}

static int allow_bind(const struct jail_plan *plan, int ruleset_fd, const struct jail_bind *bind,
	uint64_t all, struct err *err)
{
	_cleanup_close_ int fd = open(bind->target, O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
	struct path_beneath rule = { .allowed_access = bind_rights(bind, all), .parent_fd = fd };

	if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_set(err, -errno, "%s: Landlock: cannot allow %s: %s", plan->process,
			bind->target, strerror(errno));
	return 0;
}

int landlock_restrict(const struct jail_plan *plan, struct err *err)
{
	int abi = landlock_abi();
	struct ruleset ruleset = {
		.handled_access_fs = all_fs_rights(abi),
		.handled_access_net = NET_BIND_TCP | (plan->keep_network ? 0 : NET_CONNECT_TCP),
		.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
	};

	if (abi < LANDLOCK_ABI_MIN) {
		err_set(err, -ENOSYS, "%s: this kernel has no Landlock, or one older than ABI %d",
			plan->process, LANDLOCK_ABI_MIN);
		err_next_step(err, "run Linux 5.19 or newer with `landlock` in its lsm= list");
		return -ENOSYS;
	}
	_cleanup_close_ int fd =
		(int)syscall(SYS_landlock_create_ruleset, &ruleset, ruleset_size(abi), 0);
	if (fd < 0)
		return err_set(err, -errno, "%s: Landlock: cannot make a ruleset: %s",
			plan->process, strerror(errno));
	for (size_t i = 0; i < plan->bind_count; i++) {
		int r = allow_bind(plan, fd, &plan->binds[i], ruleset.handled_access_fs, err);

		if (r < 0)
			return r;
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_set(err, -errno, "%s: Landlock: cannot restrict: %s", plan->process,
			strerror(errno));
	return 0;
}
