/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/audit_open.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/audit/key.h"

#define KEY_FILE "key"

int audit_folder_path(
	const struct paths *paths, const char *name, char ret[static PATH_MAX], struct err *err)
{
	int n;

	if (name && !sandbox_name_valid(name))
		return err_set(err, -EINVAL, "not a sandbox's name");
	n = snprintf(
		ret, PATH_MAX, "%s/audit%s%s", paths->state, name ? "/" : "", name ? name : "");
	return n > 0 && n < PATH_MAX ? 0 : err_set(err, -ENAMETOOLONG, "audit: path too long");
}

static int write_key(int dir_fd, const struct audit_key *key)
{
	char pem[AUDIT_KEY_PEM_MAX];
	int n = audit_key_write_public(key, pem), r = n;

	if (n > 0)
		r = fdio_write_file_atomic(dir_fd, AUDIT_PUBLIC_KEY_FILE, pem, (size_t)n, 0644);
	if (r < 0)
		return r;
	n = audit_key_write_private(key, pem);
	r = n < 0 ? n : fdio_write_file_atomic(dir_fd, KEY_FILE, pem, (size_t)n, 0600);
	OPENSSL_cleanse(pem, sizeof(pem));
	return r;
}

static int make_key(int dir_fd)
{
	_cleanup_(cleanup_audit_key_) struct audit_key *key = NULL;
	int r = audit_key_generate(&key);

	return r < 0 ? r : write_key(dir_fd, key);
}

/* Two starts at once make one key: the folder is locked meanwhile. */
static int open_key(int dir_fd, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = 0;

	if (flock(dir_fd, LOCK_EX) < 0)
		return err_set(err, -errno, "the audit logs' folder: %m");
	if (faccessat(dir_fd, KEY_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = errno == ENOENT ? make_key(dir_fd) : -errno;
	flock(dir_fd, LOCK_UN);
	if (r < 0)
		return err_set(err, r, "the audit logs' key: %s", strerror(-r));
	fd = openat(dir_fd, KEY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "the audit logs' key: %m");
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return err_set(err, -EPERM,
			"the audit logs' key: not a file of ours that others cannot read");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int audit_open(const struct paths *paths, const char *name, int *ret_key_fd,
	char ret_folder[static PATH_MAX], struct err *err)
{
	_cleanup_close_ int path_fd = -1, dir_fd = -1, folder_fd = -1, key_fd = -1;
	char folder[PATH_MAX];
	int r = audit_folder_path(paths, NULL, folder, err);

	if (r == 0)
		r = paths_open_private(folder, &path_fd, err);
	/* One that can be locked, of the very folder that was checked. */
	if (r == 0) {
		dir_fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dir_fd < 0 ? err_set(err, -errno, "%s: %m", folder) : 0;
	}
	if (r == 0)
		r = audit_folder_path(paths, name, folder, err);
	if (r == 0)
		r = paths_open_private(folder, &folder_fd, err);
	if (r == 0)
		r = open_key(dir_fd, &key_fd, err);
	if (r < 0)
		return r;
	*ret_key_fd = TAKE_FD(key_fd);
	snprintf(ret_folder, PATH_MAX, "%s", folder);
	return 0;
}
