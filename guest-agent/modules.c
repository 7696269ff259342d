/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

bool modules_next(const char **cursor, char out[static MODULE_NAME_MAX], unsigned int *bad)
{
	while (**cursor) {
		const char *start = *cursor;
		size_t len = strcspn(start, "\n");

		*cursor = start + len + (start[len] == '\n');
		if (!len || start[0] == '#')
			continue;
		if (len >= MODULE_NAME_MAX || memchr(start, '/', len) || start[0] == '.') {
			++*bad;
			continue;
		}
		memcpy(out, start, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

bool module_compressed(const char *name)
{
	static const char *const suffixes[] = { ".xz", ".gz", ".zst" };
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t suffix_len = strlen(suffixes[i]);

		if (len > suffix_len && !strcmp(name + len - suffix_len, suffixes[i]))
			return true;
	}
	return false;
}

static int insert(int folder_fd, const char *name)
{
	_cleanup_close_ int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int flags = module_compressed(name) ? MODULE_INIT_COMPRESSED_FILE : 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", flags) == 0 || errno == EEXIST || errno == ENODEV)
		return 0;
	return -errno;
}

unsigned int modules_load(int folder_fd, const char *list)
{
	_cleanup_free_ char *text = NULL;
	const char *cursor;
	char name[MODULE_NAME_MAX];
	unsigned int failed = 0;
	size_t len;

	if (fdio_read_file(folder_fd, list, MODULES_LIST_MAX, &text, &len) < 0)
		return 0;
	for (cursor = text; modules_next(&cursor, name, &failed);) {
		int r = insert(folder_fd, name);

		if (r < 0) {
			log_warn("module %s: %s", name, strerror(-r));
			failed++;
		}
		(void)unlinkat(folder_fd, name, 0);
	}
	return failed;
}
