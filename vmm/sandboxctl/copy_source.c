/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/copy_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

#define DATA_PIECE PROTOCOL_PAYLOAD_MAX

struct source {
	struct tree tree;
	struct copy_wire *wire;
	const struct copy_source_options *options;
	uint32_t entries;
	uint8_t frame[PROTOCOL_HEAD_SIZE + DATA_PIECE];
};

static void left_out(const struct source *s, const char *name)
{
	if (s->options->on_left_out)
		s->options->on_left_out(s->options->data, name);
}

static int send_entry(struct source *s, const struct stream_copy_entry *entry, struct err *err)
{
	uint8_t frame[STREAM_FIXED_MAX];
	size_t len = stream_copy_entry_frame(entry, frame);

	if (!len)
		return err_set(err, -EINVAL, "%.255s cannot be sent: its name", entry->name);
	if (++s->entries > STREAM_COPY_ENTRIES_MAX)
		return err_set(
			err, -EFBIG, "more than %d files and folders", STREAM_COPY_ENTRIES_MAX);
	return copy_wire_send(s->wire, frame, len, err);
}

static int send_mark(struct source *s, enum stream_copy_kind kind, struct err *err)
{
	struct stream_copy_entry entry = { .kind = (uint8_t)kind };

	return send_entry(s, &entry, err);
}

static int send_data(struct source *s, size_t len, struct err *err)
{
	stream_bytes_head(STREAM_COPY_DATA, (uint32_t)len, s->frame);
	return copy_wire_send(s->wire, s->frame, PROTOCOL_HEAD_SIZE + len, err);
}

static int send_bytes(struct source *s, int fd, uint64_t size, const char *name, struct err *err)
{
	int r = 0;

	while (r == 0 && size) {
		size_t want = size < DATA_PIECE ? (size_t)size : DATA_PIECE;
		ssize_t n = read(fd, s->frame + PROTOCOL_HEAD_SIZE, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EIO,
				"%.255s became shorter while it was sent", name);
		size -= (uint64_t)n;
		r = send_data(s, (size_t)n, err);
	}
	return r;
}

static int send_file(
	struct source *s, int path_fd, struct stream_copy_entry *entry, struct err *err)
{
	_cleanup_close_ int fd = tree_reopen(&s->tree, path_fd, O_RDONLY);
	struct stat st;
	int r;

	if (fd < 0) {
		left_out(s, entry->name);
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%.255s: %s", entry->name, strerror(errno));
	entry->kind = STREAM_COPY_FILE;
	entry->size = (uint64_t)st.st_size;
	r = send_entry(s, entry, err);
	return r < 0 ? r : send_bytes(s, fd, entry->size, entry->name, err);
}

static int send_link(
	struct source *s, int path_fd, struct stream_copy_entry *entry, struct err *err)
{
	ssize_t n = tree_readlink(
		path_fd, (char *)s->frame + PROTOCOL_HEAD_SIZE, STREAM_COPY_TARGET_MAX);
	int r;

	if (n <= 0) {
		left_out(s, entry->name);
		return 0;
	}
	entry->kind = STREAM_COPY_SYMLINK;
	entry->size = (uint64_t)n;
	r = send_entry(s, entry, err);
	return r < 0 ? r : send_data(s, (size_t)n, err);
}

static int send_one(struct source *s, int dir_fd, const char *name, const char *send_name,
	unsigned int depth, struct err *err);

static int send_children(
	struct source *s, DIR *dir, int dir_fd, unsigned int depth, struct err *err)
{
	struct dirent *entry;
	int r = 0;

	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = send_one(s, dir_fd, entry->d_name, entry->d_name, depth, err);
	return r;
}

static int send_folder(struct source *s, int path_fd, struct stream_copy_entry *entry,
	unsigned int depth, struct err *err)
{
	int fd = tree_reopen(&s->tree, path_fd, O_RDONLY | O_DIRECTORY), r;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		left_out(s, entry->name);
		return 0;
	}
	entry->kind = STREAM_COPY_DIR;
	r = depth >= STREAM_COPY_DEPTH_MAX
		    ? err_set(err, -ELOOP, "%.255s: more than %d folders deep", entry->name,
			      STREAM_COPY_DEPTH_MAX)
		    : send_entry(s, entry, err);
	if (r == 0)
		r = send_children(s, dir, path_fd, depth + 1, err);
	if (r == 0)
		r = send_mark(s, STREAM_COPY_UP, err);
	closedir(dir);
	return r;
}

/* depth is bounded by STREAM_COPY_DEPTH_MAX, so recursion is too. */
static int send_one(struct source *s, int dir_fd, const char *name, const char *send_name,
	unsigned int depth, struct err *err)
{
	_cleanup_close_ int fd = tree_open_child(&s->tree, dir_fd, name);
	struct stream_copy_entry entry = {};
	struct stat st;

	if (fd == -ENOENT && depth) /* gone since the folder was read */
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, fd < 0 ? fd : -errno, "%.255s: %s", name,
			strerror(fd < 0 ? -fd : errno));
	snprintf(entry.name, sizeof(entry.name), "%s", send_name);
	entry.mode = st.st_mode & STREAM_COPY_MODE_MASK;
	entry.mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	if (S_ISREG(st.st_mode))
		return send_file(s, fd, &entry, err);
	if (S_ISLNK(st.st_mode))
		return send_link(s, fd, &entry, err);
	if (S_ISDIR(st.st_mode))
		return send_folder(s, fd, &entry, depth, err);
	left_out(s, name);
	return 0;
}

int copy_source_send(struct copy_wire *wire, int folder_fd, int proc_fd, const char *name,
	const char *send_name, const struct copy_source_options *options, struct err *err)
{
	struct source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "no memory for a copy");
	s->wire = wire;
	s->options = options;
	r = tree_init(&s->tree, folder_fd, proc_fd, "/proc/self/fd", true, false);
	if (r < 0)
		err_set(err, r, "the source: %s", strerror(-r));
	if (r == 0)
		r = send_one(s, folder_fd, name, send_name, 0, err);
	if (r == 0 && !s->entries)
		r = err_set(
			err, -EINVAL, "%.255s is no file, folder or link that can be copied", name);
	if (r == 0)
		r = send_mark(s, STREAM_COPY_END, err);
	free(s);
	return r;
}
