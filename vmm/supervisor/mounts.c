/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define MOUNTINFO_MAX	  (4u << 20)
#define MOUNT_POINT_FIELD 4 /* ID, parent, device and root come before it */

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' &&
	       s[2] <= '7';
}

/* The field's text without its octal escapes; false where it is longer than a path may be. */
static bool unescape(const char *field, size_t len, char ret[static PATH_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (n == PATH_MAX - 1)
			return false;
		if (field[i] == '\\' && len - i > 3 && is_octal(field + i + 1)) {
			ret[n++] = (char)((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
					  (field[i + 3] - '0'));
			i += 3;
		} else {
			ret[n++] = field[i];
		}
	}
	ret[n] = '\0';
	return true;
}

static bool mount_point(const char *line, size_t len, char ret[static PATH_MAX])
{
	const char *end = line + len;

	for (int i = 0; i < MOUNT_POINT_FIELD; i++) {
		line = memchr(line, ' ', (size_t)(end - line));
		if (!line++)
			return false;
	}
	len = (size_t)(end - line);
	return unescape(line, strcspn(line, " \n") < len ? strcspn(line, " \n") : len, ret);
}

static bool is_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && path[len] == '/' && path[len + 1];
}

json_t *mounts_below_of(const char *mountinfo, const char *folder)
{
	json_t *array = json_array();
	char path[PATH_MAX];

	for (const char *line = mountinfo, *end; *line; line = end + (*end == '\n')) {
		end = strchrnul(line, '\n');
		if (json_array_size(array) < MOUNTS_BELOW_MAX &&
			mount_point(line, (size_t)(end - line), path) && is_below(path, folder))
			json_array_append_new(array, json_string(path)); /* not UTF-8: left out */
	}
	return array;
}

json_t *mounts_below(const char *folder)
{
	_cleanup_free_ char *text = NULL;

	if (fdio_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL) < 0)
		return json_array();
	return mounts_below_of(text, folder);
}
