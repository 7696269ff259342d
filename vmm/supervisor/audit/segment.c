/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/audit/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"

#define PREFIX "segment-"
#define DIGITS 20
#define SUFFIX ".jsonl"

void segment_name(uint64_t first, char out[static SEGMENT_NAME_MAX])
{
	snprintf(out, SEGMENT_NAME_MAX, PREFIX "%020" PRIu64 SUFFIX, first);
}

static int name_is_segment(const char *name, uint64_t *ret)
{
	char digits[DIGITS + 1] = {}, again[SEGMENT_NAME_MAX];
	const char *significant = digits;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	snprintf(digits, sizeof(digits), "%s", name + strlen(PREFIX));
	significant += strspn(digits, "0");
	if (!parse_u64(*significant ? significant : "0", 0, UINT64_MAX, ret))
		return 0;
	segment_name(*ret, again);
	return strcmp(name, again) == 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int segment_list(int dir_fd, uint64_t **ret_firsts, size_t *ret_count)
{
	_cleanup_free_ uint64_t *firsts = calloc(SEGMENTS_MAX, sizeof(*firsts));
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		close_keeping_errno(fd);
		return -errno;
	}
	if (!firsts)
		return -ENOMEM;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t first;

		if (!name_is_segment(entry->d_name, &first))
			continue;
		if (count == SEGMENTS_MAX)
			return -E2BIG;
		firsts[count++] = first;
	}
	qsort(firsts, count, sizeof(*firsts), compare);
	*ret_firsts = TAKE_PTR(firsts);
	*ret_count = count;
	return 0;
}

int segment_read(int dir_fd, const char *name, char **ret_text, size_t *ret_len)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	struct stat s;
	int r;

	if (fd < 0 || fstat(fd, &s) < 0)
		return -errno;
	if (!S_ISREG(s.st_mode) || s.st_size > SEGMENT_FILE_MAX)
		return -EFBIG;
	text = malloc((size_t)s.st_size + 1);
	if (!text)
		return -ENOMEM;
	r = fdio_pread_full(fd, text, (size_t)s.st_size, 0);
	if (r < 0)
		return r;
	text[s.st_size] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = (size_t)s.st_size;
	return 0;
}
