/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/log_view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/sandboxctl/terminal_filter.h"
#include "vmm/supervisor/registry.h"

#define PIECE		 16384
#define LINE_BYTES_MAX	 16384 /* of --json: a longer line is told in pieces */
#define LOOK_INTERVAL_MS 200

struct view {
	int fd;
	uint64_t offset;
	bool raw;
	struct terminal_filter filter;
	bool json; /* one document per line */
	char line[LINE_BYTES_MAX + 1];
	size_t line_len;
};

static int show_line(struct view *v)
{
	_cleanup_document_ struct document *d = NULL;
	struct document *data = document_object();

	v->line[v->line_len] = '\0';
	v->line_len = 0;
	document_set_text(data, "text", v->line);
	d = document_envelope("LogLine", data);
	return document_print(stdout, d, true);
}

static int show_lines(struct view *v, const uint8_t *bytes, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (bytes[i] != '\n')
			v->line[v->line_len++] = bytes[i] ? (char)bytes[i] : '?';
		if (bytes[i] == '\n' || v->line_len == LINE_BYTES_MAX)
			r = show_line(v);
	}
	return r;
}

static int show_bytes(struct view *v, const uint8_t *bytes, size_t len)
{
	return v->json ? show_lines(v, bytes, len)
		       : report_guest_bytes(&v->filter, v->raw, bytes, len);
}

/* Everything from offset to the end that is there now. */
static int show_rest(struct view *v)
{
	uint8_t piece[PIECE];

	for (;;) {
		ssize_t n = pread(v->fd, piece, sizeof(piece), (off_t)v->offset);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = show_bytes(v, piece, (size_t)n);
		if (r < 0)
			return r;
		v->offset += (uint64_t)n;
	}
}

/* The log is capped: when it was cut, what is there now begins anew. */
static void notice_cut(struct view *v)
{
	struct stat s;

	if (fstat(v->fd, &s) == 0 && (uint64_t)s.st_size < v->offset)
		v->offset = 0;
}

/* The offset at which the last `lines` lines begin. */
static int seek_lines(struct view *v, uint64_t lines)
{
	uint8_t piece[PIECE];
	struct stat s;
	uint64_t at, seen = 0;

	if (fstat(v->fd, &s) < 0)
		return -errno;
	at = (uint64_t)s.st_size;
	if (!lines) {
		v->offset = at;
		return 0;
	}
	while (at) {
		size_t len = at < PIECE ? (size_t)at : PIECE;
		ssize_t n = pread(v->fd, piece, len, (off_t)(at - len));

		if (n < 0)
			return -errno;
		for (size_t i = (size_t)n; i > 0; i--) {
			/* The last byte's line end closes a line, it does not begin one. */
			if (piece[i - 1] == '\n' && at - len + i < (uint64_t)s.st_size &&
				++seen >= lines) {
				v->offset = at - len + i;
				return 0;
			}
		}
		at -= len;
	}
	v->offset = 0;
	return 0;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int follow(const struct target *target, struct view *v)
{
	bool alive = true;
	int r = 0;

	while (r == 0 && alive) {
		alive = registry_is_locked(&target->paths, target->name) == 1;
		notice_cut(v);
		r = show_rest(v);
		if (r == 0 && alive)
			pause_ms(LOOK_INTERVAL_MS);
	}
	return r;
}

static bool has_command(const struct target *target)
{
	struct record record;
	bool has = true;

	record_init(&record);
	if (registry_load(&target->paths, target->name, &record, NULL) == 0)
		has = record.spec.command[0] != NULL;
	record_finish(&record);
	return has;
}

static bool is_empty(int fd)
{
	struct stat s;

	return fd < 0 ? errno == ENOENT : fstat(fd, &s) == 0 && s.st_size == 0;
}

/* The log of the main command where there is no such command: empty for ever. */
static int no_output(const struct target *target, struct err *err)
{
	err_set(err, -ENOENT, "sandbox %s has no main command, and so no output of one",
		target->name);
	err_next_step(err, "the guest kernel's: sandboxctl console %s", target->name);
	return -ENOENT;
}

static int open_log(const struct target *target, const char *file, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int error, r = paths_of_state(&target->paths, target->name, file, path, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	error = errno;
	if (strcmp(file, "session.log") == 0 && is_empty(fd) && !has_command(target))
		return no_output(target, err);
	if (fd < 0 && error == ENOENT)
		return err_set(err, -ENOENT, "sandbox %s: there is no %s yet", target->name, file);
	if (fd < 0)
		return err_set(
			err, -error, "sandbox %s: %s: %s", target->name, file, strerror(error));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int log_view(const struct invocation *in, const struct target *target, const char *file)
{
	const char *lines_text = options_value(&in->options, "lines");
	static struct view v; /* a line is too much for a stack */
	_cleanup_close_ int fd = -1;
	struct err err = {};
	uint64_t lines = 0;
	int r;

	v = (struct view){ .fd = -1, .raw = options_flag(&in->options, "raw"), .json = in->json };
	if (lines_text && !parse_u64(lines_text, 0, UINT32_MAX, &lines)) {
		err_set(&err, -EINVAL, "--lines %.40s: not a number", lines_text);
		return report_usage(in, &err);
	}
	r = open_log(target, file, &fd, &err);
	if (r < 0)
		return report_general(in, "log", &err);
	v.fd = fd;
	report_guest_filter_init(&v.filter);
	if (lines_text)
		r = seek_lines(&v, lines);
	if (r == 0)
		r = show_rest(&v);
	if (r == 0 && options_flag(&in->options, "follow"))
		r = follow(target, &v);
	if (r == 0 && v.line_len)
		r = show_line(&v);
	if (r == 0 || r == -EPIPE)
		return EXIT_OK;
	err_set(&err, r, "%s: %s", file, strerror(-r));
	return report_general(in, "log", &err);
}
