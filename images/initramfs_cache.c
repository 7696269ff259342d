/* SPDX-License-Identifier: Apache-2.0 */
#include "images/initramfs_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/digest.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/spawn.h"

#define OUTPUT_MAX  16384
#define MISSING_MAX 65536

static int add_file(struct digest *digest, const char *folder, const char *file)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s%s%s", folder, *file ? "/" : "", file) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	digest_add_stat(digest, path, &st);
	return 0;
}

/* The kernel's modules are known by what depmod wrote about them and by the package they came in. */
static int key_path(
	const struct initramfs_inputs *in, char ret_path[static PATH_MAX], struct err *err)
{
	const char *folder = in->kernel->folder;
	char hex[DIGEST_HEX_LEN + 1];
	struct digest *digest;
	int r = digest_create(&digest);

	if (r < 0)
		return err_set(err, r, "initramfs: out of memory");
	r = add_file(digest, in->script, "");
	if (r == 0)
		r = add_file(digest, in->agent, "");
	if (r == 0 && *folder)
		r = add_file(digest, folder, "package");
	if (r == 0 && *folder)
		r = add_file(digest, folder, "modules/modules.dep");
	digest_add(digest, folder, strlen(folder));
	if (r == 0)
		r = digest_final(digest, hex);
	digest_destroy(digest);
	if (r < 0)
		return err_set(
			err, r, "initramfs: the inputs cannot be looked at: %s", strerror(-r));
	if (snprintf(ret_path, PATH_MAX, "%s/initramfs/by-stat/%s", in->cache, hex) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "initramfs: the cache's path is too long");
	return 0;
}

/* Reads to the end, keeping the last `size` bytes at most; ends with NUL. */
static void read_tail(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - 1 - len)) > 0 || (n < 0 && errno == EINTR)) {
		len += n > 0 ? (size_t)n : 0;
		if (len == size - 1) {
			memmove(text, text + size / 2, len - size / 2);
			len -= size / 2;
		}
	}
	text[len] = '\0';
}

static char *last_line(char *text)
{
	char *newline;

	while ((newline = strrchr(text, '\n')) && !newline[1])
		*newline = '\0';
	return newline ? newline + 1 : text;
}

/* stdout carries the one line that matters; stderr, kept in memory, what a human may need. */
static int run_script(const struct initramfs_inputs *in, const char *kernel_folder, char *ret_path,
	struct err *err)
{
	const char *const argv[] = { "build", "--kernel", kernel_folder, "--agent", in->agent,
		NULL };
	_cleanup_close_ int read_fd = -1, write_fd = -1, pidfd = -1,
			    errors = memfd_create("errors", MFD_CLOEXEC);
	char output[PATH_MAX], text[ERR_TEXT_MAX];
	struct spawn_spec spec = {
		.path = in->script, .argv = argv, .environment = in->environment
	};
	int fds[2], status, r;
	pid_t pid;

	if (errors < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "initramfs: %s", strerror(errno));
	read_fd = fds[0];
	write_fd = fds[1];
	spec.fds = (struct spawn_fd[]){ { write_fd, 1 }, { errors, 2 } };
	spec.fd_count = 2;
	r = spawn(&spec, &pid, &pidfd, err);
	if (r < 0)
		return r;
	close(TAKE_FD(write_fd));
	read_tail(read_fd, output, sizeof(output));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "initramfs: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		lseek(errors, 0, SEEK_SET);
		read_tail(errors, text, sizeof(text));
		return err_set(err, -EIO, "%s: %s", in->script, last_line(text));
	}
	strcpy(ret_path, last_line(output));
	return ret_path[0] == '/' ? 0 : err_set(err, -EIO, "%s: printed no path", in->script);
}

static int remember(const char *key, const char *target, struct err *err)
{
	char folder[PATH_MAX];
	int r;

	strcpy(folder, key);
	*strrchr(folder, '/') = '\0';
	r = fdio_mkdir_parents(folder, 0700);
	if (r < 0)
		return err_set(err, r, "folder %s: cannot make it: %s", folder, strerror(-r));
	r = fdio_symlink_atomic(target, key);
	return r < 0 ? err_set(err, r, "file %s: %s", key, strerror(-r)) : 0;
}

/* A kernel that is one file has no modules: an empty folder stands for it. */
static int kernel_folder(
	const struct initramfs_inputs *in, char ret[static PATH_MAX], struct err *err)
{
	int r;

	if (*in->kernel->folder) {
		strcpy(ret, in->kernel->folder);
		return 0;
	}
	if (snprintf(ret, PATH_MAX, "%s/no-modules", in->cache) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "initramfs: the cache's path is too long");
	r = fdio_mkdir_parents(ret, 0700);
	return r < 0 ? err_set(err, r, "folder %s: cannot make it: %s", ret, strerror(-r)) : 0;
}

/* Beside the initramfs lies `missing`: names of modules that the kernel has in no form. */
static bool has_p9(const char *initramfs)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	char *rest, *line;

	strcpy(path, initramfs);
	strcpy(strrchr(path, '/') + 1, "missing");
	if (fdio_read_file(AT_FDCWD, path, MISSING_MAX, &text, NULL) < 0)
		return true;
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (strcmp(line, "9p") == 0 || strcmp(line, "9pnet_virtio") == 0)
			return false;
	return true;
}

int initramfs_cache_open(
	const struct initramfs_inputs *inputs, int *ret_fd, bool *ret_has_p9, struct err *err)
{
	char key[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];
	_cleanup_close_ int fd = -1;
	int r = key_path(inputs, key, err);

	if (r < 0)
		return r;
	if (!realpath(key, target) || (fd = open(target, O_RDONLY | O_CLOEXEC)) < 0) {
		r = kernel_folder(inputs, folder, err);
		if (r == 0)
			r = run_script(inputs, folder, target, err);
		if (r == 0)
			r = remember(key, target, err);
		if (r < 0)
			return r;
		fd = open(target, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_set(err, -errno, "initramfs %s: %s", target, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	*ret_has_p9 = has_p9(target);
	return 0;
}
