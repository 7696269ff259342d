/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY_IN: builds a tree below one folder with the user's own rights. Every name is one validated component, every folder
 * is entered by an fd opened with O_NOFOLLOW below the one before, every file is made anew (what had its name is unlinked
 * first): a link that came a moment ago is never written through (H14).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/copy.h"
#include "guest-agent/frame_io.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

struct folder {
	int fd;
	bool made; /* by us: gets the mode that was sent */
	uint32_t mode;
	int64_t mtime_ns;
};

struct build {
	int sock;
	struct stream_copy_order order;
	struct folder folder[STREAM_COPY_DEPTH_MAX +
			     1]; /* [0] is the target; the last one open is [order.depth] */
	char renamed[STREAM_COPY_NAME_MAX +
		     1]; /* the one top entry's name here; "" where names are kept */
	bool top_taken;
	struct stream_copy_entry entry; /* whose data comes now */
	int file; /* being written, or -1 */
	enum protocol_stage stage;
	uint8_t payload[PROTOCOL_PAYLOAD_MAX];
};

static struct timespec to_timespec(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

static void set_times(int dir, const char *name, int64_t mtime_ns, int flags)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, to_timespec(mtime_ns) };

	(void)utimensat(dir, name, times, flags);
}

static void set_times_of(int fd, int64_t mtime_ns)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, to_timespec(mtime_ns) };

	(void)futimens(fd, times);
}

/* Makes way for a file or link; a folder stays and is an error. */
static int make_way(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int start_folder(struct build *b, int dir, const char *name)
{
	struct folder *next = &b->folder[b->order.depth]; /* the order has counted it already */
	bool made = mkdirat(dir, name, 0700) == 0;

	if (!made && errno != EEXIST)
		return -errno;
	next->fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next->fd < 0)
		return -errno;
	next->made = made;
	next->mode = b->entry.mode;
	next->mtime_ns = b->entry.mtime_ns;
	return 0;
}

static int end_folder(struct build *b)
{
	struct folder *last = &b->folder[b->order.depth + 1];

	if (last->made) {
		(void)fchmod(last->fd, last->mode);
		set_times_of(last->fd, last->mtime_ns);
	}
	close(last->fd);
	last->fd = -1;
	return 0;
}

static int end_file(struct build *b)
{
	int r = 0;

	if (fchmod(b->file, b->entry.mode) < 0)
		r = -errno;
	set_times_of(b->file, b->entry.mtime_ns);
	if (close(TAKE_FD(b->file)) < 0 && r == 0)
		r = -errno;
	return r;
}

static int start_file(struct build *b, int dir, const char *name)
{
	int r = make_way(dir, name);

	if (r < 0)
		return r;
	b->file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->file < 0)
		return -errno;
	return b->entry.size ? 0 : end_file(b);
}

static const char *local_name(const struct build *b, uint32_t depth)
{
	return depth == 0 && b->renamed[0] ? b->renamed : b->entry.name;
}

/* A renamed top is one entry, not two. */
static int note_top(struct build *b, uint32_t depth)
{
	if (depth || b->entry.kind == STREAM_COPY_END)
		return 0;
	if (b->renamed[0] && b->top_taken)
		return -EPROTO;
	b->top_taken = true;
	return 0;
}

static int take_entry(struct build *b, size_t len)
{
	uint32_t depth = b->order.depth;
	int dir = b->folder[depth].fd;

	if (!stream_copy_entry_decode(b->payload, len, &b->entry))
		return -EPROTO;
	if (b->entry.kind != STREAM_COPY_UP && note_top(b, depth) < 0)
		return -EPROTO;
	if (!stream_copy_order_entry(&b->order, &b->entry))
		return -EPROTO;
	switch ((enum stream_copy_kind)b->entry.kind) {
	case STREAM_COPY_DIR:
		return start_folder(b, dir, local_name(b, depth));
	case STREAM_COPY_FILE:
		return start_file(b, dir, local_name(b, depth));
	case STREAM_COPY_UP:
		return end_folder(b);
	case STREAM_COPY_SYMLINK:
	case STREAM_COPY_END:
		return 0;
	}
	return -EPROTO;
}

static int make_link(struct build *b, const char *target)
{
	int dir = b->folder[b->order.depth].fd;
	const char *name = local_name(b, b->order.depth);
	int r = make_way(dir, name);

	if (r < 0)
		return r;
	if (symlinkat(target, dir, name) < 0)
		return -errno;
	set_times(dir, name, b->entry.mtime_ns, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int take_data(struct build *b, size_t len)
{
	bool link = b->order.link;
	int r;

	if (!stream_copy_order_data(&b->order, len))
		return -EPROTO;
	if (link) {
		char target[STREAM_COPY_TARGET_MAX + 1];

		memcpy(target, b->payload, len);
		target[len] = '\0';
		return strlen(target) == len ? make_link(b, target) : -EPROTO;
	}
	r = fdio_write_full(b->file, b->payload, len);
	if (r < 0)
		return r;
	return b->order.bytes_left ? 0 : end_file(b);
}

static int take_tree(struct build *b)
{
	while (!b->order.done) {
		struct protocol_head head;
		int r = frame_read(b->sock, PROTOCOL_CLIENT, &head, b->payload, sizeof(b->payload));

		if (r == 0 && head.type == STREAM_COPY_ENTRY)
			r = take_entry(b, head.len);
		else if (r == 0 && head.type == STREAM_COPY_DATA)
			r = take_data(b, head.len);
		else if (r == 0)
			r = -EPROTO;
		if (r < 0) {
			b->stage = r == -EPROTO ? PROTOCOL_STAGE_COPY_ORDER
						: PROTOCOL_STAGE_COPY_WRITE;
			return r;
		}
	}
	return 0;
}

/* path is no folder: its parent is, and its last name is what the one entry will be called. */
static int open_parent(struct build *b, const char *path)
{
	char parent[PROTOCOL_PATH_MAX + 1];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (snprintf(b->renamed, sizeof(b->renamed), "%s", slash ? slash + 1 : parent) >=
			(int)sizeof(b->renamed) ||
		!stream_name_valid(b->renamed))
		return -ENOTDIR;
	if (slash)
		slash[slash == parent] = '\0';
	b->folder[0].fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->folder[0].fd < 0 ? -errno : 0;
}

static int open_target(struct build *b, const struct protocol_copy *request)
{
	b->folder[0].fd = open(request->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->folder[0].fd >= 0)
		return 0;
	if ((errno != ENOENT && errno != ENOTDIR) || (request->flags & PROTOCOL_COPY_FOLDER))
		return -errno;
	return open_parent(b, request->path);
}

static void close_build(struct build *b)
{
	for (int i = 0; i <= STREAM_COPY_DEPTH_MAX; i++)
		close_keeping_errno(b->folder[i].fd);
	close_keeping_errno(b->file);
}

static int build_tree(struct build *b, const struct protocol_copy *request,
	const struct operation_context *context)
{
	uint8_t started[STREAM_FIXED_MAX];
	int r;

	b->stage = PROTOCOL_STAGE_USER;
	r = copy_become(request, context);
	if (r < 0)
		return r;
	b->stage = PROTOCOL_STAGE_COPY_PATH;
	r = open_target(b, request);
	if (r < 0)
		return r;
	umask(0);
	b->stage = PROTOCOL_STAGE_COPY_WRITE;
	r = fdio_write_full(b->sock, started, stream_started_frame(0, started));
	return r < 0 ? r : take_tree(b);
}

void copy_in_run(
	int sock, const struct protocol_copy *request, const struct operation_context *context)
{
	_cleanup_free_ struct build *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		frame_send_error(sock, -ENOMEM, PROTOCOL_STAGE_START);
		return;
	}
	b->sock = sock;
	b->file = -1;
	for (int i = 0; i <= STREAM_COPY_DEPTH_MAX; i++)
		b->folder[i].fd = -1;
	r = build_tree(b, request, context);
	close_build(b);
	if (r < 0)
		frame_send_error(sock, r, b->stage);
	else
		frame_send_exit(sock, STREAM_EXITED, 0);
}
