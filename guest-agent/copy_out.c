/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY_OUT: walks a tree with the user's own rights and sends it. Each step opens one component with O_NOFOLLOW below an
 * fd it holds, so a rename under way shows a mixture, never something outside (H14). What is no file, folder or link, and
 * what the user may not read, is left out and counted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/copy.h"
#include "guest-agent/frame_io.h"
#include "guest-agent/operation.h"
#include "guest-agent/user.h"
#include "vmm/base/cleanup.h"

struct walk {
	struct frame_out out;
	struct stream_copy_order order; /* we keep to what the receiver will check */
	uint32_t left_out;
	enum protocol_stage stage;
};

static int send_entry(struct walk *walk, const struct stream_copy_entry *entry)
{
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_copy_entry_frame(entry, frame);

	if (!len || !stream_copy_order_entry(&walk->order, entry))
		return -EOVERFLOW;
	return frame_out_put(&walk->out, frame, len);
}

static int send_plain(struct walk *walk, enum stream_copy_kind kind)
{
	struct stream_copy_entry entry = { .kind = (uint8_t)kind };

	return send_entry(walk, &entry);
}

static void fill_entry(struct stream_copy_entry *entry, enum stream_copy_kind kind,
	const struct stat *st, const char *name)
{
	*entry = (struct stream_copy_entry){
		.kind = (uint8_t)kind,
		.mode = st->st_mode & STREAM_COPY_MODE_MASK,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
	};
	snprintf(entry->name, sizeof(entry->name), "%s", name);
}

/* Exactly size bytes: it was announced. A file that has shrunk meanwhile ends the copy. */
static int send_bytes(struct walk *walk, int fd, uint64_t size)
{
	while (size) {
		uint8_t *data;
		size_t want = size < PROTOCOL_PAYLOAD_MAX ? (size_t)size : PROTOCOL_PAYLOAD_MAX;
		int r = frame_out_room(&walk->out, &data);
		ssize_t n;

		if (r < 0)
			return r;
		n = read(fd, data, want);
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESTALE;
		frame_out_commit(&walk->out, STREAM_COPY_DATA, (size_t)n);
		if (!stream_copy_order_data(&walk->order, (size_t)n))
			return -EOVERFLOW;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Whether a node that cannot be opened is passed over: the top one never is. */
static bool passed_over(struct walk *walk, int code)
{
	if (!walk->order.depth)
		return false;
	if (code == -ENOENT)
		return true; /* gone since it was listed */
	walk->left_out++;
	return code == -EACCES || code == -EPERM || code == -ELOOP || code == -ENXIO ||
	       code == -ENOTDIR;
}

static int send_file(struct walk *walk, int dir, const char *path, const char *name, int follow)
{
	_cleanup_close_ int fd = openat(dir, path,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct stream_copy_entry entry;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return passed_over(walk, -errno) ? 0 : -errno;
	if (!S_ISREG(st.st_mode))
		return passed_over(walk, -EPERM) ? 0 : -EPERM;
	fill_entry(&entry, STREAM_COPY_FILE, &st, name);
	entry.size = (uint64_t)st.st_size;
	r = send_entry(walk, &entry);
	return r < 0 ? r : send_bytes(walk, fd, entry.size);
}

static int send_link(
	struct walk *walk, int dir, const char *path, const char *name, const struct stat *st)
{
	char target[STREAM_COPY_TARGET_MAX + 1];
	ssize_t len = readlinkat(dir, path, target, sizeof(target));
	struct stream_copy_entry entry;
	uint8_t *data;
	int r;

	if (len < 1 || (size_t)len > STREAM_COPY_TARGET_MAX) {
		walk->left_out++;
		return 0;
	}
	fill_entry(&entry, STREAM_COPY_SYMLINK, st, name);
	entry.size = (uint64_t)len;
	r = send_entry(walk, &entry);
	if (r == 0)
		r = frame_out_room(&walk->out, &data);
	if (r < 0)
		return r;
	memcpy(data, target, (size_t)len);
	frame_out_commit(&walk->out, STREAM_COPY_DATA, (size_t)len);
	return stream_copy_order_data(&walk->order, (size_t)len) ? 0 : -EOVERFLOW;
}

static int send_node(struct walk *walk, int dir, const char *path, const char *name, int follow);

static int send_children(struct walk *walk, DIR *list)
{
	struct dirent *child;

	while ((errno = 0, child = readdir(list)) != NULL) {
		int r;

		if (!stream_name_valid(child->d_name))
			continue; /* `.` and `..` */
		r = send_node(walk, dirfd(list), child->d_name, child->d_name, 0);
		if (r < 0)
			return r;
	}
	return -errno;
}

static int send_folder(struct walk *walk, int dir, const char *path, const char *name, int follow)
{
	_cleanup_closedir_ DIR *list = NULL;
	_cleanup_close_ int fd =
		openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct stream_copy_entry entry;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return passed_over(walk, -errno) ? 0 : -errno;
	list = fdopendir(fd);
	if (!list)
		return -errno;
	(void)TAKE_FD(fd);
	fill_entry(&entry, STREAM_COPY_DIR, &st, name);
	r = send_entry(walk, &entry);
	if (r == 0)
		r = send_children(walk, list);
	return r < 0 ? r : send_plain(walk, STREAM_COPY_UP);
}

static int send_node(struct walk *walk, int dir, const char *path, const char *name, int follow)
{
	struct stat st;

	if (fstatat(dir, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return passed_over(walk, -errno) ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return send_folder(walk, dir, path, name, follow);
	if (S_ISREG(st.st_mode))
		return send_file(walk, dir, path, name, follow);
	if (S_ISLNK(st.st_mode))
		return send_link(walk, dir, path, name, &st);
	return passed_over(walk, -EPERM) ? 0 : -EPERM;
}

/* The name under which path travels. `/`, `.` and `a/..` have none of their own: the real one, or `root`. */
static void top_name(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	char real[PATH_MAX];

	snprintf(out, size, "%s", slash ? slash + 1 : path);
	if (stream_name_valid(out))
		return;
	if (!realpath(path, real))
		snprintf(real, sizeof(real), "/root");
	snprintf(out, size, "%s", strrchr(real, '/') + 1);
	if (!stream_name_valid(out))
		snprintf(out, size, "root");
}

static int send_tree(struct walk *walk, const struct protocol_copy *request)
{
	char path[PROTOCOL_PATH_MAX + 1], name[STREAM_COPY_NAME_MAX + 1];
	int follow = !!(request->flags & PROTOCOL_COPY_FOLLOW);
	uint8_t started[STREAM_FIXED_MAX];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s", request->path);
	for (len = strlen(path); len > 1 && path[len - 1] == '/'; len--) {
		path[len - 1] = '\0';
		follow = 1; /* `link/` is where the link leads */
	}
	top_name(path, name, sizeof(name));
	walk->stage = PROTOCOL_STAGE_COPY_PATH;
	if (faccessat(AT_FDCWD, path, F_OK, AT_EACCESS | (follow ? 0 : AT_SYMLINK_NOFOLLOW)) < 0)
		return -errno;
	r = frame_out_put(&walk->out, started, stream_started_frame(0, started));
	if (r == 0) {
		walk->stage = PROTOCOL_STAGE_COPY_READ;
		r = send_node(walk, AT_FDCWD, path, name, follow);
	}
	return r < 0 ? r : send_plain(walk, STREAM_COPY_END);
}

/* To the user's rights and the folder that relative paths start from. */
int copy_become(const struct protocol_copy *request, const struct operation_context *context)
{
	struct user user;
	int r = user_lookup(request->user[0] ? request->user : context->user, &user);

	if (r == 0)
		r = user_become(&user);
	if (r < 0)
		return r;
	if (context->folder[0] && chdir(context->folder) == 0)
		return 0;
	return chdir(user.home) < 0 && chdir("/") < 0 ? -errno : 0;
}

void copy_out_run(
	int sock, const struct protocol_copy *request, const struct operation_context *context)
{
	_cleanup_free_ struct walk *walk = calloc(1, sizeof(*walk));
	int r = walk ? copy_become(request, context) : -ENOMEM;

	if (r < 0) {
		frame_send_error(sock, r, PROTOCOL_STAGE_USER);
		return;
	}
	walk->out.fd = sock;
	r = send_tree(walk, request);
	if (r == 0)
		r = frame_out_flush(&walk->out);
	else
		(void)frame_out_flush(&walk->out);
	if (r < 0)
		frame_send_error(sock, r, walk->stage);
	else
		frame_send_exit(sock, STREAM_EXITED, walk->left_out);
}
