/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/log_copy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/audit/segment.h"

#define FILE_MODE  0600
#define ROUNDS_MAX 1000
#define TORN_MAX   100

/* What changes under our eyes. */
struct front {
	char *head, *active;
	size_t head_len, active_len;
};

static void front_finish(struct front *f)
{
	free(f->head);
	free(f->active);
	*f = (struct front){};
}

static int read_front(int dir_fd, struct front *f)
{
	int r = segment_read(dir_fd, SEGMENT_HEAD, &f->head, &f->head_len);

	if (r < 0 && r != -ENOENT)
		return r;
	/* It is not there for a moment while it is sealed. */
	r = segment_read(dir_fd, SEGMENT_ACTIVE, &f->active, &f->active_len);
	return r == -ENOENT ? 0 : r;
}

/* A line without its end is being written; one that stays so is evidence. */
static bool ends_whole(const struct front *f)
{
	return !f->active_len || f->active[f->active_len - 1] == '\n';
}

static int copy_segment(int from_fd, int to_fd, uint64_t first)
{
	_cleanup_free_ char *text = NULL;
	char name[SEGMENT_NAME_MAX];
	size_t len;
	int r;

	segment_name(first, name);
	r = segment_read(from_fd, name, &text, &len);
	if (r == -ENOENT)
		return 0; /* given up since; if it was not, the copy tells as the log does */
	return r < 0 ? r : fdio_write_file_atomic(to_fd, name, text, len, FILE_MODE);
}

/* The sealed files from *next on; *ret_new: there was one. */
static int copy_sealed(int from_fd, int to_fd, uint64_t *next, bool *ret_new)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t count = 0;
	int r = segment_list(from_fd, &firsts, &count);

	*ret_new = false;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (firsts[i] < *next)
			continue;
		r = copy_segment(from_fd, to_fd, firsts[i]);
		*next = firsts[i] + 1;
		*ret_new = true;
	}
	return r;
}

static int write_front(int to_fd, const struct front *f)
{
	int r = f->active ? fdio_write_file_atomic(
				    to_fd, SEGMENT_ACTIVE, f->active, f->active_len, FILE_MODE)
			  : 0;

	if (r == 0 && f->head)
		r = fdio_write_file_atomic(to_fd, SEGMENT_HEAD, f->head, f->head_len, FILE_MODE);
	return r;
}

/*
 * Head and active file are of one time, and of the time of the sealed files, where nothing was sealed from before they were read until
 * after: the head covers no more than was on the disk before it, and each sealed file was signed before it was sealed.
 */
int log_copy(int from_fd, int to_fd)
{
	unsigned int torn = 0;
	uint64_t next = 0;
	bool more;
	int r = copy_sealed(from_fd, to_fd, &next, &more);

	for (unsigned int i = 0; r == 0 && i < ROUNDS_MAX; i++) {
		struct front front = {};

		r = read_front(from_fd, &front);
		if (r == 0)
			r = copy_sealed(from_fd, to_fd, &next, &more);
		if (r == 0 && !more && (ends_whole(&front) || ++torn == TORN_MAX)) {
			r = write_front(to_fd, &front);
			front_finish(&front);
			return r;
		}
		front_finish(&front);
	}
	return r < 0 ? r : -ESTALE;
}
