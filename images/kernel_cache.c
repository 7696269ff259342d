/* SPDX-License-Identifier: Apache-2.0 */
#include "images/kernel_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/kernel/extract.h"
#include "images/kernel_path.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define COPY_SIZE (256u << 10)

static bool is_elf(int fd)
{
	char magic[4];

	return fdio_pread_full(fd, magic, sizeof(magic), 0) == 0 &&
	       memcmp(magic, "\177ELF", 4) == 0;
}

/* cache/vmlinux/by-stat/KEY, a link to ../SHA256. */
static int key_path(const char *cache, const char *image, const struct stat *st,
	char ret_path[static PATH_MAX], struct err *err)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct digest *digest;
	int r = digest_create(&digest);

	if (r < 0)
		return err_set(err, r, "kernel %s: out of memory", image);
	digest_add_stat(digest, image, st);
	r = digest_final(digest, hex);
	digest_destroy(digest);
	return r < 0 ? err_set(err, r, "kernel %s: OpenSSL failed", image)
		     : kernel_path(ret_path, err, "%s/vmlinux/by-stat/%s", cache, hex);
}

/* Unpacks under another name, so that nobody sees half of one. (O_TMPFILE is not everywhere: overlayfs.) */
static int unpack(
	const char *target, int image_fd, const struct kernel_unpacker *unpacker, struct err *err)
{
	char temporary[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int r = kernel_path(temporary, err, "%s.new.%d", target, (int)getpid());

	if (r < 0)
		return r;
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "file %s: %s", temporary, strerror(errno));
	r = kernel_unpack_jailed(unpacker, image_fd, fd, 0, err);
	if (r == 0 && rename(temporary, target) < 0)
		r = err_set(err, -errno, "file %s: %s", target, strerror(errno));
	if (r < 0)
		unlink(temporary);
	return r;
}

static int remember(const char *key, const char *hex, struct err *err)
{
	char target[DIGEST_HEX_LEN + 8];
	int r;

	snprintf(target, sizeof(target), "../%s", hex);
	r = fdio_symlink_atomic(target, key);
	return r < 0 ? err_set(err, r, "file %s: %s", key, strerror(-r)) : 0;
}

/*
 * The file may lie where a guest writes, and the cache is everybody's: what is unpacked has to be what the digest was made
 * of, and not what stands there a moment later.
 */
static int copy_privately(int image_fd, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("kernel", MFD_CLOEXEC);
	_cleanup_free_ char *buffer = malloc(COPY_SIZE);
	uint64_t done = 0;
	ssize_t n;
	int r;

	if (fd < 0 || !buffer)
		return err_set(err, -ENOMEM, "no memory to copy it");
	while ((n = pread(image_fd, buffer, COPY_SIZE, (off_t)done)) > 0) {
		done += (uint64_t)n;
		if (done > KERNEL_FILE_MAX)
			return err_set(err, -ENOEXEC, "longer than any kernel");
		r = fdio_write_full(fd, buffer, (size_t)n);
		if (r < 0)
			return err_set(err, r, "cannot copy it: %s", strerror(-r));
	}
	if (n < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "cannot read it: %s", strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_unpacked(const char *cache, const char *key, const char *name, int image_fd,
	const struct kernel_unpacker *unpacker, int *ret_fd, struct err *err)
{
	char folder[PATH_MAX], by_stat[PATH_MAX], target[PATH_MAX], hex[DIGEST_HEX_LEN + 1];
	_cleanup_close_ int copy = -1;
	int r = kernel_path(folder, err, "%s/%s", cache, "vmlinux");

	if (r == 0)
		r = kernel_path(by_stat, err, "%s/%s", folder, "by-stat");
	if (r == 0 && (r = fdio_mkdir_parents(by_stat, 0700)) < 0)
		return err_set(err, r, "folder %s: cannot make it: %s", by_stat, strerror(-r));
	if (r == 0)
		r = copy_privately(image_fd, &copy, err);
	if (r == 0)
		r = digest_of_file(copy, hex, err);
	if (r == 0)
		r = kernel_path(target, err, "%s/%s", folder, hex);
	if (r == 0 && !kernel_is_file(target))
		r = unpack(target, copy, unpacker, err);
	if (r < 0)
		return err_prefix(err, r, "kernel %s", name);
	*ret_fd = open(target, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_set(err, -errno, "file %s: %s", target, strerror(errno));
	return remember(key, hex, err);
}

int kernel_cache_open(const char *cache, const struct kernel_choice *choice,
	const struct kernel_unpacker *unpacker, int *ret_fd, struct err *err)
{
	_cleanup_close_ int image = open(choice->image, O_RDONLY | O_CLOEXEC | O_NOCTTY),
			    unpacked = -1;
	char key[PATH_MAX];
	struct stat st;
	int r;

	if (image < 0 || fstat(image, &st) < 0)
		return err_set(err, -errno, "kernel %s: %s", choice->image, strerror(errno));
	if (is_elf(image)) {
		*ret_fd = TAKE_FD(image);
		return 0;
	}
	r = key_path(cache, choice->image, &st, key, err);
	if (r < 0)
		return r;
	unpacked = open(key, O_RDONLY | O_CLOEXEC);
	if (unpacked < 0 || !is_elf(unpacked)) {
		close_keeping_errno(TAKE_FD(unpacked));
		r = open_unpacked(cache, key, choice->name, image, unpacker, &unpacked, err);
		if (r < 0)
			return r;
	}
	*ret_fd = TAKE_FD(unpacked);
	return 0;
}
