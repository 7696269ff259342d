/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/host_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/copy_path.h"
#include "vmm/sandboxctl/report.h"
#include "vmm/share/tree.h"

#define OWN_FDS "/proc/self/fd"

static int link_on_the_way(const char *path, struct err *err)
{
	char real[PATH_MAX], quoted[PATH_MAX + 8];

	err_set(err, -ELOOP, "%.300s: there is a symbolic link on the way, and none is followed",
		path);
	if (realpath(path, real))
		err_next_step(err, "if that is where it should lead: %s",
			report_shell_quote(real, quoted, sizeof(quoted)));
	return -ELOOP;
}

int host_path_open_folder(const char *path, int *ret_fd, struct err *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0)
		return errno == ELOOP ? link_on_the_way(path, err)
				      : err_set(err, -errno, "%.300s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int host_path_open_parent(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_free_ char *copy = strdup(path);
	size_t len = copy ? strlen(copy) : 0;
	char *slash;

	if (!copy)
		return err_set(err, -ENOMEM, "no memory");
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	slash = strrchr(copy, '/');
	if (!slash)
		return host_path_open_folder(".", ret_fd, err);
	slash[slash == copy ? 1 : 0] = '\0';
	return host_path_open_folder(copy, ret_fd, err);
}

/* An fd to read from, of the regular file `name`. */
static int open_in(int folder_fd, const char *name, int *ret_fd)
{
	_cleanup_close_ int proc_fd = open(OWN_FDS, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int file = -1, fd = -1;
	struct tree tree;
	struct stat s;
	int r = proc_fd < 0 ? -errno : tree_init(&tree, folder_fd, proc_fd, OWN_FDS, true, false);

	if (r < 0)
		return r;
	file = tree_open_child(&tree, folder_fd, name);
	if (file < 0)
		return file;
	if (fstat(file, &s) < 0)
		return -errno;
	if (!S_ISREG(s.st_mode))
		return S_ISLNK(s.st_mode) ? -ELOOP : -EINVAL;
	fd = tree_reopen(&tree, file, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int host_path_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *err)
{
	_cleanup_close_ int folder_fd = -1, fd = -1;
	char name[NAME_MAX + 1], fd_path[64];
	int r;

	if (!copy_path_last(path, name))
		return err_set(err, -EINVAL, "%.300s: names no file", path);
	r = host_path_open_parent(path, &folder_fd, err);
	if (r < 0)
		return r;
	r = open_in(folder_fd, name, &fd);
	if (r == -ELOOP)
		return link_on_the_way(path, err);
	if (r == -EINVAL)
		return err_set(err, r, "%.300s: not a regular file", path);
	snprintf(fd_path, sizeof(fd_path), OWN_FDS "/%d", fd);
	if (r == 0)
		r = fdio_read_file(AT_FDCWD, fd_path, max, ret_text, ret_len);
	return r < 0 ? err_set(err, r, "%.300s: %s", path, strerror(-r)) : 0;
}
