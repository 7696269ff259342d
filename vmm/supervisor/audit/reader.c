/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/parse.h"
#include "vmm/supervisor/audit/audit_line.h"
#include "vmm/supervisor/audit/segment.h"

struct reader {
	int dir_fd, fd; /* fd -1: none is open */
	bool active; /* the open one is the file that grows */
	bool looked_back; /* a gap was looked into: it is one */
	uint64_t next; /* the sequence that is wanted */
	uint64_t opened; /* the open sealed file's first */
	char buffer[AUDIT_LINE_MAX + 1];
	size_t at, len;
};

int reader_create(int dir_fd, uint64_t from, struct reader **ret)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->dir_fd = dir_fd;
	r->fd = -1;
	r->next = from;
	*ret = r;
	return 0;
}

void reader_destroy(struct reader *r)
{
	if (!r)
		return;
	close_keeping_errno(r->fd);
	free(r);
}

static int open_file(struct reader *r, const char *name)
{
	close_keeping_errno(r->fd);
	r->fd = openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	r->at = r->len = 0;
	return r->fd < 0 ? -errno : 0;
}

/* Of the sealed files: that in which the wanted line is, or the first one behind it. */
static bool find_sealed(
	const struct reader *r, const uint64_t *firsts, size_t count, bool beyond, uint64_t *ret)
{
	size_t i = 0;

	if (beyond)
		while (i < count && firsts[i] <= r->opened)
			i++;
	else
		while (i + 1 < count && firsts[i + 1] <= r->next)
			i++;
	if (i >= count)
		return false;
	*ret = firsts[i];
	return true;
}

/* beyond: the file after the open sealed one. -ENOENT: there is none now. */
static int open_next(struct reader *r, bool beyond)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	char name[SEGMENT_NAME_MAX] = SEGMENT_ACTIVE;
	size_t count = 0;
	int error = segment_list(r->dir_fd, &firsts, &count);

	if (error < 0)
		return error;
	r->active = !find_sealed(r, firsts, count, beyond, &r->opened);
	if (!r->active)
		segment_name(r->opened, name);
	return open_file(r, name);
}

/* The open file was sealed: its name is another file's now, or nobody's. */
static bool was_sealed(const struct reader *r)
{
	struct stat mine, named;

	if (fstat(r->fd, &mine) < 0 || fstatat(r->dir_fd, SEGMENT_ACTIVE, &named, 0) < 0)
		return true;
	return mine.st_ino != named.st_ino || mine.st_dev != named.st_dev;
}

static int fill(struct reader *r)
{
	ssize_t n;

	memmove(r->buffer, r->buffer + r->at, r->len - r->at);
	r->len -= r->at;
	r->at = 0;
	if (r->len == AUDIT_LINE_MAX)
		return -EPROTO;
	do {
		n = read(r->fd, r->buffer + r->len, AUDIT_LINE_MAX - r->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->len += (size_t)n;
	return n > 0;
}

/* A whole line of the open file: 1, or 0 at its end. */
static int take_line(struct reader *r, char **ret_line, size_t *ret_len)
{
	for (;;) {
		char *line = r->buffer + r->at, *end = memchr(line, '\n', r->len - r->at);
		int n;

		if (end) {
			*end = '\0';
			*ret_line = line;
			*ret_len = (size_t)(end - line);
			r->at += *ret_len + 1;
			return 1;
		}
		n = fill(r);
		if (n <= 0)
			return n;
	}
}

static bool sequence_of(const char *line, uint64_t *ret)
{
	static const char start[] = "{\"schema_version\":1,\"sequence\":";
	const char *digits = line + strlen(start);
	char text[24] = {};
	size_t n;

	if (strncmp(line, start, strlen(start)) != 0)
		return false;
	n = strspn(digits, "0123456789");
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, digits, n);
	return parse_u64(text, 0, UINT64_MAX, ret);
}

/* At the end of a file: the one after it. 1, or 0 where there is none now. */
static int go_on(struct reader *r)
{
	int error;

	if (r->fd >= 0 && r->active && !was_sealed(r))
		return 0;
	error = open_next(r, r->fd >= 0 && !r->active);
	if (error == -ENOENT) {
		r->fd = -1;
		return 0;
	}
	return error < 0 ? error : 1;
}

int reader_next(struct reader *r, const char **ret_line, size_t *ret_len)
{
	for (;;) {
		uint64_t sequence;
		char *line;
		int n = r->fd < 0 ? 0 : take_line(r, &line, ret_len);

		if (n == 0)
			n = go_on(r);
		else if (n > 0 && !sequence_of(line, &sequence))
			return -EPROTO;
		else if (n > 0 && sequence > r->next && r->next > 0 && !r->looked_back) {
			/* Sealed while we went from file to file: what is missing is in one behind us. */
			r->looked_back = true;
			n = open_next(r, false) < 0 ? 0 : 1;
		} else if (n > 0 && sequence >= r->next) {
			r->next = sequence + 1;
			r->looked_back = false;
			*ret_line = line;
			return 1;
		}
		if (n <= 0)
			return n;
	}
}
