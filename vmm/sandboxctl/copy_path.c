/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/copy_path.h"

#include <errno.h>
#include <string.h>

static const char *guest_colon(const char *word)
{
	const char *colon = strchr(word, ':'), *slash = strchr(word, '/');

	return colon && (!slash || colon < slash) ? colon : NULL;
}

int copy_path_parse(const char *word, struct copy_path *ret, struct err *err)
{
	const char *colon = guest_colon(word);
	struct copy_path p = { .path = word };
	size_t len = colon ? (size_t)(colon - word) : 0;

	if (colon) {
		p.in_guest = true;
		p.path = colon + 1;
		if (len >= sizeof(p.name))
			return err_set(err, -EINVAL,
				"%.100s: no name of a sandbox before the colon", word);
		memcpy(p.name, word, len);
		if (p.name[0] && !sandbox_name_valid(p.name)) {
			err_set(err, -EINVAL, "%.100s: no name of a sandbox before the colon",
				word);
			err_next_step(err,
				"a file of this host with a colon in its name is written ./%.100s",
				word);
			return -EINVAL;
		}
	}
	if (!p.path[0])
		return err_set(err, -EINVAL, "'%.100s' names no file", word);
	*ret = p;
	return 0;
}

bool copy_path_last(const char *path, char out[static 256])
{
	size_t end = strlen(path), begin;

	while (end && path[end - 1] == '/')
		end--;
	for (begin = end; begin && path[begin - 1] != '/'; begin--)
		;
	if (end == begin || end - begin > 255)
		return false;
	if ((end - begin == 1 && path[begin] == '.') ||
		(end - begin == 2 && memcmp(path + begin, "..", 2) == 0))
		return false;
	memcpy(out, path + begin, end - begin);
	out[end - begin] = '\0';
	return true;
}

bool copy_link_stays_inside(const char *target, size_t depth)
{
	bool named = false;

	if (!*target || *target == '/')
		return false;
	while (*target) {
		size_t len = strcspn(target, "/");

		if (len == 2 && memcmp(target, "..", 2) == 0) {
			if (named || !depth)
				return false;
			depth--;
		} else if (len && !(len == 1 && *target == '.')) {
			named = true;
		}
		target += len;
		target += strspn(target, "/");
	}
	return true;
}
