/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/copy_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/sandboxctl/copy_path.h"

#define TEMPORARY_TRIES 16
#define NS_PER_S	1000000000ll

struct folder {
	int fd; /* O_PATH */
	bool made; /* by us: mode and time are set when it is left */
	uint32_t mode;
	int64_t mtime_ns;
};

struct copy_sink {
	struct tree tree;
	char top_name[STREAM_COPY_NAME_MAX + 1];
	bool keep_links;
	void (*on_left_out)(void *data, const char *name);
	void *data;
	uint64_t bytes_left;

	struct stream_copy_order order;
	struct folder folders[STREAM_COPY_DEPTH_MAX + 1]; /* [0] is the target folder, borrowed */
	size_t depth;

	struct stream_copy_entry entry; /* whose data comes */
	int file_fd; /* -1: none */
	char temporary[STREAM_COPY_NAME_MAX + 1]; /* "" : none */
	uint64_t left_out, entries, top_taken;
};

static int folder_fd(const struct copy_sink *s)
{
	return s->folders[s->depth].fd;
}

/* Names of guests go into messages as they are: err_set() escapes controls, and report filters the rest. */
static int failed(const struct copy_sink *s, int code, const char *what, struct err *err)
{
	return err_set(err, code, "%s %.255s: %s", what, s->entry.name, strerror(-code));
}

int copy_sink_create(int target_fd, int proc_fd, const struct copy_sink_options *options,
	struct copy_sink **ret, struct err *err)
{
	struct copy_sink *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "no memory for a copy");
	s->file_fd = -1;
	s->folders[0].fd = target_fd;
	s->keep_links = options->keep_links;
	s->on_left_out = options->on_left_out;
	s->data = options->data;
	s->bytes_left = options->bytes_max;
	if (options->top_name)
		snprintf(s->top_name, sizeof(s->top_name), "%s", options->top_name);
	r = tree_init(&s->tree, target_fd, proc_fd, "/proc/self/fd", false, false);
	if (r < 0) {
		copy_sink_destroy(s);
		return err_set(err, r, "the target: %s", strerror(-r));
	}
	*ret = s;
	return 0;
}

static void drop_temporary(struct copy_sink *s)
{
	if (s->temporary[0])
		(void)tree_unlink(&s->tree, folder_fd(s), s->temporary, false);
	s->temporary[0] = '\0';
}

void copy_sink_destroy(struct copy_sink *s)
{
	if (!s)
		return;
	if (s->depth || s->folders[0].fd >= 0)
		drop_temporary(s);
	close_keeping_errno(s->file_fd);
	for (; s->depth; s->depth--)
		close_keeping_errno(s->folders[s->depth].fd);
	free(s);
}

/* A name that nobody else has; made hard to guess so that nobody prepares it. */
static int new_temporary_name(char out[static STREAM_COPY_NAME_MAX + 1])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	snprintf(out, STREAM_COPY_NAME_MAX + 1, ".sandboxctl-cp-%016llx",
		(unsigned long long)random);
	return 0;
}

static void times_of(int64_t mtime_ns, struct timespec times[2])
{
	int64_t s = mtime_ns / NS_PER_S, ns = mtime_ns % NS_PER_S;

	if (ns < 0) {
		s--;
		ns += NS_PER_S;
	}
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_sec = s, .tv_nsec = ns };
}

/* A regular file and a link give way to what is copied; a device, a pipe or a socket is nothing that a copy may replace. */
static int check_replaced(struct copy_sink *s, struct err *err)
{
	_cleanup_close_ int fd = tree_open_child(&s->tree, folder_fd(s), s->entry.name);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ||
		S_ISDIR(st.st_mode))
		return 0;
	return err_set(err, -EEXIST,
		"writing %.255s: a device, pipe or socket has that name here, and is not replaced",
		s->entry.name);
}

/* The temporary takes its final name. Its own failure leaves the temporary to drop_temporary(). */
static int publish(struct copy_sink *s, struct err *err)
{
	int r = check_replaced(s, err);

	if (r < 0)
		return r;
	r = tree_rename(&s->tree, folder_fd(s), s->temporary, folder_fd(s), s->entry.name, 0);
	if (r < 0)
		return failed(s, r, "writing", err);
	s->temporary[0] = '\0';
	return 0;
}

/*
 * Folders
 */

/* The folder is there already: a link or a file in its place is an error, never followed or replaced. */
static int open_folder(struct copy_sink *s, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = tree_open_child(&s->tree, folder_fd(s), s->entry.name);
	struct stat st;

	if (fd < 0)
		return failed(s, fd, "folder", err);
	if (fstat(fd, &st) < 0)
		return failed(s, -errno, "folder", err);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR,
			"folder %.255s: something else has that name here, and is not replaced",
			s->entry.name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int enter_folder(struct copy_sink *s, struct err *err)
{
	int fd = -1, r = tree_mkdir(&s->tree, folder_fd(s), s->entry.name, 0700);
	bool made = r == 0;

	if (r < 0 && r != -EEXIST)
		return failed(s, r, "folder", err);
	r = open_folder(s, &fd, err);
	if (r < 0)
		return r;
	s->folders[++s->depth] = (struct folder){
		.fd = fd, .made = made, .mode = s->entry.mode, .mtime_ns = s->entry.mtime_ns
	};
	return 0;
}

static int leave_folder(struct copy_sink *s, struct err *err)
{
	struct folder *f = &s->folders[s->depth];
	struct timespec times[2];
	int r = 0;

	if (f->made) {
		times_of(f->mtime_ns, times);
		r = tree_chmod(&s->tree, f->fd, (f->mode & STREAM_COPY_MODE_MASK) | 0700);
		if (r == 0)
			(void)tree_set_times(&s->tree, f->fd, times); /* a time is a nicety */
	}
	close(f->fd);
	s->depth--;
	return r < 0 ? err_set(err, r, "a folder's mode: %s", strerror(-r)) : 0;
}

/*
 * Files
 */
static int create_temporary(struct copy_sink *s, struct err *err)
{
	int r = -EEXIST;

	for (int i = 0; i < TEMPORARY_TRIES && r == -EEXIST; i++) {
		r = new_temporary_name(s->temporary);
		if (r == 0)
			r = tree_create_file(&s->tree, folder_fd(s), s->temporary, O_WRONLY, 0600);
	}
	if (r < 0) {
		s->temporary[0] = '\0';
		return failed(s, r, "writing", err);
	}
	s->file_fd = r;
	return 0;
}

static int finish_file(struct copy_sink *s, struct err *err)
{
	_cleanup_close_ int fd = TAKE_FD(s->file_fd);
	struct timespec times[2];

	times_of(s->entry.mtime_ns, times);
	if (fchmod(fd, (s->entry.mode & STREAM_COPY_MODE_MASK) | 0400) < 0)
		return failed(s, -errno, "writing", err);
	(void)futimens(fd, times);
	return publish(s, err);
}

static int begin_file(struct copy_sink *s, struct err *err)
{
	int r;

	if (s->entry.size > s->bytes_left) {
		err_set(err, -EFBIG, "the copy is larger than its limit; nothing more was written");
		err_next_step(err, "sandboxctl cp --limit SIZE sets it");
		return -EFBIG;
	}
	s->bytes_left -= s->entry.size;
	r = create_temporary(s, err);
	if (r < 0)
		return r;
	return s->entry.size ? 0 : finish_file(s, err);
}

/*
 * Links
 */
static int leave_out(struct copy_sink *s)
{
	s->left_out++;
	if (s->on_left_out && s->left_out <= COPY_SINK_LEFT_OUT_SHOWN)
		s->on_left_out(s->data, s->entry.name);
	return 0;
}

static int make_link(struct copy_sink *s, const char *target, struct err *err)
{
	int r = -EEXIST;

	/* Depth 0 is the target folder itself, which is not part of the copied tree: a link there leads out of it. */
	if (!s->keep_links && (!s->depth || !copy_link_stays_inside(target, s->depth - 1)))
		return leave_out(s);
	for (int i = 0; i < TEMPORARY_TRIES && r == -EEXIST; i++) {
		r = new_temporary_name(s->temporary);
		if (r == 0)
			r = tree_symlink(&s->tree, folder_fd(s), s->temporary, target);
	}
	if (r < 0) {
		s->temporary[0] = '\0';
		return failed(s, r, "link", err);
	}
	return publish(s, err);
}

static int take_link(struct copy_sink *s, const void *data, size_t len, struct err *err)
{
	char target[STREAM_COPY_TARGET_MAX + 1];

	if (len > STREAM_COPY_TARGET_MAX || memchr(data, '\0', len))
		return err_set(err, -EPROTO, "link %.255s: its target is no text", s->entry.name);
	memcpy(target, data, len);
	target[len] = '\0';
	return make_link(s, target, err);
}

/*
 * The stream
 */
static void name_top(struct copy_sink *s)
{
	if (s->depth == 0 && s->top_name[0])
		memcpy(s->entry.name, s->top_name, sizeof(s->entry.name));
}

static int begin_link(struct copy_sink *s, struct err *err)
{
	return s->entry.size
		       ? 0
		       : err_set(err, -EPROTO, "link %.255s: without a target", s->entry.name);
}

int copy_sink_entry(struct copy_sink *s, const struct stream_copy_entry *entry, struct err *err)
{
	if (!stream_copy_order_entry(&s->order, entry))
		return err_set(err, -EPROTO, "the guest's entries make no tree, or are too many");
	if (s->depth == 0 && entry->kind != STREAM_COPY_END && s->top_taken++)
		return err_set(err, -EPROTO, "the guest sent more than what was asked for");
	s->entry = *entry;
	name_top(s);
	s->entries++;
	switch ((enum stream_copy_kind)entry->kind) {
	case STREAM_COPY_DIR:
		return enter_folder(s, err);
	case STREAM_COPY_FILE:
		return begin_file(s, err);
	case STREAM_COPY_SYMLINK:
		return begin_link(s, err);
	case STREAM_COPY_UP:
		return leave_folder(s, err);
	case STREAM_COPY_END:
		return 0;
	}
	return err_set(err, -EPROTO, "the guest's entries make no tree");
}

int copy_sink_data(struct copy_sink *s, const void *data, size_t len, struct err *err)
{
	bool link = s->order.link;
	int r;

	if (!stream_copy_order_data(&s->order, len))
		return err_set(err, -EPROTO, "the guest sent more than it said");
	if (link)
		return take_link(s, data, len, err);
	r = fdio_write_full(s->file_fd, data, len);
	if (r < 0)
		return failed(s, r, "writing", err);
	return s->order.bytes_left ? 0 : finish_file(s, err);
}

bool copy_sink_done(const struct copy_sink *s)
{
	return s->order.done;
}

uint64_t copy_sink_left_out(const struct copy_sink *s)
{
	return s->left_out;
}

uint64_t copy_sink_entries(const struct copy_sink *s)
{
	return s->entries;
}
