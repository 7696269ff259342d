/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lying agent (H14): bytes become entries and data, offered to the sink over a folder that holds links which lead out. What
 * lies beside the target must stay as it was, and no temporary may be left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/sandboxctl/copy_sink.h"

#define STEPS_MAX 64

static const char *const names[] = { "a", "b", "tree", "out", "in", "file", "..", ".", "a/b",
	"../canary", "", "long" };

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s;
	(void)kind;
	(void)where;
	return remove(path);
}

static int no_temporary(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s;
	(void)kind;
	if (strncmp(path + where->base, ".sandboxctl-cp-", 15) == 0)
		abort();
	return 0;
}

/* base/canary, base/target/{out -> .., in -> ../beside, file -> ../canary}, base/beside. */
static void make_ground(const char *base, int *ret_target_fd)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/canary", base);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || write(fd, "tweet", 5) != 5 || close(fd) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/beside", base);
	if (mkdir(path, 0700) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/target", base);
	if (mkdir(path, 0700) < 0)
		abort();
	*ret_target_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (symlinkat("..", *ret_target_fd, "out") < 0 ||
		symlinkat("../beside", *ret_target_fd, "in") < 0 ||
		symlinkat("../canary", *ret_target_fd, "file") < 0)
		abort();
}

static size_t entries_of(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void check_ground(const char *base)
{
	char path[256], text[16];
	ssize_t n;
	int fd;

	if (entries_of(base) != 5)
		abort();
	snprintf(path, sizeof(path), "%s/beside", base);
	if (entries_of(path) != 2)
		abort();
	snprintf(path, sizeof(path), "%s/canary", base);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n != 5 || memcmp(text, "tweet", 5) != 0)
		abort();
	nftw(base, no_temporary, 16, FTW_PHYS);
}

static int step(struct copy_sink *sink, struct bytes_reader *r)
{
	struct stream_copy_entry entry = {};
	uint8_t what = bytes_get_u8(r);
	size_t len;
	const uint8_t *data;

	if (what % 8 >= 6) {
		data = bytes_get_u16_blob(r, 512, &len);
		return data ? copy_sink_data(sink, data, len, NULL) : -1;
	}
	entry.kind = what % 8;
	snprintf(entry.name, sizeof(entry.name), "%s",
		names[bytes_get_u8(r) % (sizeof(names) / sizeof(names[0]))]);
	entry.mode = bytes_get_u16(r) & STREAM_COPY_MODE_MASK;
	entry.size = bytes_get_u16(r) % 600;
	entry.mtime_ns = (int64_t)bytes_get_u64(r);
	/* What the codec refuses never comes to a sink. */
	if (entry.kind < STREAM_COPY_DIR ||
		(entry.kind <= STREAM_COPY_SYMLINK && !stream_name_valid(entry.name)))
		return 0;
	if (entry.kind > STREAM_COPY_SYMLINK)
		entry = (struct stream_copy_entry){ .kind = entry.kind };
	return copy_sink_entry(sink, &entry, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes_reader r = bytes_reader(data, size);
	uint8_t flags = bytes_get_u8(&r);
	struct copy_sink_options options = { .bytes_max = 4096,
		.top_name = flags & 1 ? "tree" : NULL };
	char base[] = "/tmp/fuzz-copy.XXXXXX";
	int target_fd, proc_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct copy_sink *sink;

	if (proc_fd < 0 || !mkdtemp(base))
		abort();
	make_ground(base, &target_fd);
	if (copy_sink_create(target_fd, proc_fd, &options, &sink, NULL) < 0)
		abort();
	for (int i = 0; i < STEPS_MAX && !r.failed; i++)
		if (step(sink, &r) < 0)
			break;
	copy_sink_destroy(sink);
	check_ground(base);
	close(target_fd);
	close(proc_fd);
	nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
