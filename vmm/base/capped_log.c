/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/base/capped_log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"

#define COPY_CHUNK 4096

static const char cut_notice[] = "[... older output was dropped ...]\n";

int capped_log_init(struct capped_log *log, int fd, uint64_t cap_bytes)
{
	struct stat st = {};

	if (cap_bytes < CAPPED_LOG_MIN)
		return -EINVAL;
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	*log = (struct capped_log){
		.fd = fd,
		.cap_bytes = cap_bytes,
		.size_bytes = (uint64_t)st.st_size,
	};
	return 0;
}

static void write_at_end(struct capped_log *log, const void *data, size_t len)
{
	ssize_t n = pwrite(log->fd, data, len, (off_t)log->size_bytes);

	if (n > 0)
		log->size_bytes += (uint64_t)n;
	if (n < 0 || (size_t)n < len)
		log->errors++;
}

/* Moves the newest half to the front. The regions do not overlap: the target ends before the source begins. */
static void cut(struct capped_log *log)
{
	char chunk[COPY_CHUNK];
	uint64_t from = log->size_bytes - log->cap_bytes / 2, end = log->size_bytes;

	log->size_bytes = 0;
	write_at_end(log, cut_notice, sizeof(cut_notice) - 1);
	while (from < end) {
		ssize_t n = pread(log->fd, chunk, MIN(sizeof(chunk), end - from), (off_t)from);

		if (n <= 0)
			break;
		write_at_end(log, chunk, (size_t)n);
		from += (uint64_t)n;
	}
	if (ftruncate(log->fd, (off_t)log->size_bytes) < 0)
		log->errors++;
}

void capped_log_write(struct capped_log *log, const void *data, size_t len)
{
	const char *p = data;

	if (log->fd < 0)
		return;
	while (len) {
		size_t part = MIN(len, (size_t)(CAPPED_LOG_MIN / 2));

		if (log->size_bytes + part > log->cap_bytes)
			cut(log);
		write_at_end(log, p, part);
		p += part;
		len -= part;
	}
}
