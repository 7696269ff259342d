/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/share_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	abort();
}

void share_dir_init(struct share_dir *dir)
{
	const char *tmp = getenv("TMPDIR");

	umask(0);
	snprintf(dir->top, sizeof(dir->top), "%.40s/share.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	require(mkdtemp(dir->top), dir->top);
	snprintf(dir->share, sizeof(dir->share), "%s/share", dir->top);
	snprintf(dir->outside, sizeof(dir->outside), "%s/outside", dir->top);
	require(!mkdir(dir->share, 0755) && !mkdir(dir->outside, 0755), "mkdir");
	dir->xattrs = !setxattr(dir->outside, "user.probe", "", 0, 0);
	dir->share_fd = open(dir->share, O_PATH | O_DIRECTORY | O_CLOEXEC);
	dir->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	require(dir->share_fd >= 0 && dir->proc_fd >= 0, "open");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void share_dir_finish(struct share_dir *dir)
{
	close(dir->proc_fd);
	nftw(dir->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *share_dir_path(const struct share_dir *dir, const char *format, ...)
{
	static char ring[8][512];
	static unsigned int next;
	char *text = ring[next++ % 8];
	int len = snprintf(text, 512, "%s/", dir->top);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, 512 - (size_t)len, format, args);
	va_end(args);
	return text;
}

void share_dir_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

const char *share_dir_read(const char *path)
{
	static char text[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}
