/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

struct early {
	const char *type, *target, *data;
	unsigned long flags;
	bool needed;
};

static const struct early early_mounts[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true },
	{ "devtmpfs", "/dev", "mode=755", MS_NOSUID, true },
	{ "devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC, true },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, true },
	{ "mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false },
	{ "debugfs", "/sys/kernel/debug", "mode=700", MS_NOSUID | MS_NODEV | MS_NOEXEC, false },
};

static const struct {
	const char *target, *link;
} device_links[] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

int mounts_early(struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(early_mounts); i++) {
		const struct early *m = &early_mounts[i];

		(void)mkdir(m->target, 0755);
		if (mount(m->type, m->target, m->type, m->flags, m->data) < 0 && m->needed &&
			errno != EBUSY)
			return err_set(err, -errno, "%s: cannot mount %s: %s", m->target, m->type,
				strerror(errno));
	}
	for (size_t i = 0; i < ARRAY_SIZE(device_links); i++)
		(void)!symlink(device_links[i].target, device_links[i].link);
	/* Programs without rights use these; the kernel gives them to root alone. */
	(void)chmod("/dev/fuse", 0666);
	(void)chmod("/dev/net/tun", 0666);
	return 0;
}

static bool write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool mounts_cgroup(void)
{
	static const char *const controllers[] = { "+cpu", "+memory", "+pids", "+io", "+cpuset" };
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", flags, "nsdelegate") < 0 &&
		errno != EBUSY)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		(void)write_text("/sys/fs/cgroup/cgroup.subtree_control", controllers[i]);
	return true;
}

static const char *cache_word(uint8_t cache)
{
	switch ((enum protocol_cache)cache) {
	case PROTOCOL_CACHE_NONE:
		return "none";
	case PROTOCOL_CACHE_MMAP:
		return "mmap";
	case PROTOCOL_CACHE_LOOSE:
		return "loose";
	}
	return "mmap";
}

bool mount_kernel_writes_late(const char *release)
{
	unsigned int major = 0, minor = 0;

	return sscanf(release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 4));
}

bool mount_share_options(
	const struct protocol_mount *mount, bool late_writes, char *out, size_t size)
{
	int len = 0;

	switch ((enum protocol_mount_kind)mount->kind) {
	case PROTOCOL_MOUNT_P9:
		len = snprintf(out, size,
			"trans=virtio,version=9p2000.L,msize=%u,cache=%s,access=user%s",
			mount->msize ? mount->msize : MOUNT_P9_MSIZE, cache_word(mount->cache),
			late_writes ? ",aname=late-writes" : "");
		break;
	case PROTOCOL_MOUNT_VIRTIOFS:
	case PROTOCOL_MOUNT_BLOCK:
		len = snprintf(out, size, "%s", "");
		break;
	}
	return len >= 0 && (size_t)len < size;
}

static bool put_escaped(char *out, size_t size, size_t *len, const char *text, bool path)
{
	for (; *text; text++) {
		bool escape = path && strchr(",:\\", *text);

		if (*len + 1 + escape >= size)
			return false;
		if (escape)
			out[(*len)++] = '\\';
		out[(*len)++] = *text;
	}
	out[*len] = '\0';
	return true;
}

bool mount_overlay_options(
	const char *lower, const char *upper, const char *work, char *out, size_t size)
{
	size_t len = 0;

	return size && put_escaped(out, size, &len, "lowerdir=", false) &&
	       put_escaped(out, size, &len, lower, true) &&
	       put_escaped(out, size, &len, ",upperdir=", false) &&
	       put_escaped(out, size, &len, upper, true) &&
	       put_escaped(out, size, &len, ",workdir=", false) &&
	       put_escaped(out, size, &len, work, true);
}

/* A disk is named by the serial that its device was given. */
static int find_disk(const char *serial, char *out, size_t size)
{
	_cleanup_closedir_ DIR *list = opendir("/sys/block");
	struct dirent *entry;

	while (list && (entry = readdir(list)) != NULL) {
		_cleanup_free_ char *text = NULL;
		char path[300];
		size_t len;

		snprintf(path, sizeof(path), "/sys/block/%s/serial", entry->d_name);
		if (fdio_read_file(AT_FDCWD, path, 256, &text, &len) < 0)
			continue;
		text[strcspn(text, "\n")] = '\0';
		if (!strcmp(text, serial))
			return snprintf(out, size, "/dev/%s", entry->d_name) < (int)size
				       ? 0
				       : -ENAMETOOLONG;
	}
	return -ENODEV;
}

static int mount_disk(const struct protocol_mount *share, const char *path, unsigned long flags)
{
	static const char *const types[] = { "ext4", "erofs", "squashfs" };
	char device[300];
	int r = find_disk(share->tag, device, sizeof(device));

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(types); i++) {
		if (mount(device, path, types[i], flags, NULL) == 0)
			return 0;
		if (errno != EINVAL && errno != ENODEV)
			return -errno;
	}
	return r < 0 ? r : -EINVAL;
}

static int mount_by_kind(const struct protocol_mount *share, const char *path, unsigned long flags)
{
	char options[MOUNT_OPTIONS_MAX];
	struct utsname kernel = {};
	bool late_writes;

	(void)uname(&kernel);
	late_writes = mount_kernel_writes_late(kernel.release);
	if (!mount_share_options(share, late_writes, options, sizeof(options)))
		return -ENAMETOOLONG;
	/* The host need not wait half a minute to see what a program writes to a file that stays open. */
	if (late_writes) {
		(void)write_text("/proc/sys/vm/dirty_expire_centisecs", "100");
		(void)write_text("/proc/sys/vm/dirty_writeback_centisecs", "100");
	}
	switch ((enum protocol_mount_kind)share->kind) {
	case PROTOCOL_MOUNT_P9:
		return mount(share->tag, path, "9p", flags, options) < 0 ? -errno : 0;
	case PROTOCOL_MOUNT_VIRTIOFS:
		return mount(share->tag, path, "virtiofs", flags, options) < 0 ? -errno : 0;
	case PROTOCOL_MOUNT_BLOCK:
		return mount_disk(share, path, flags);
	}
	return -EINVAL;
}

int mount_share(
	const struct protocol_mount *share, const char *path, bool privileged, struct err *err)
{
	unsigned long flags = MS_NODEV | (privileged ? 0 : MS_NOSUID);
	int r = fdio_mkdir_parents(path, 0755);

	if (share->flags & PROTOCOL_MOUNT_READONLY)
		flags |= MS_RDONLY;
	if (r == 0)
		r = mount_by_kind(share, path, flags);
	if (r < 0)
		return err_set(err, r, "share %s: cannot mount it at %s: %s", share->tag, path,
			strerror(-r));
	return 0;
}
