/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "images/kernel_cache.h"
#include "images/kernel_path.h"
#include "vmm/base/array.h"

/* Short names; the first of a name that is in the cache is meant. NULL is the default. */
static const struct {
	const char *wanted, *folder;
} short_names[] = {
	{ NULL, "debian-6.1-generic" },
	{ NULL, "debian-6.12-generic" },
	{ NULL, "minimal" },
	{ "generic", "debian-6.1-generic" },
	{ "generic", "debian-6.12-generic" },
	{ "cloud", "debian-6.1-cloud" },
	{ "cloud", "debian-6.12-cloud" },
	{ "6.1", "debian-6.1-generic" },
	{ "6.12", "debian-6.12-generic" },
	{ "6.1-generic", "debian-6.1-generic" },
	{ "6.12-generic", "debian-6.12-generic" },
	{ "6.1-cloud", "debian-6.1-cloud" },
	{ "6.12-cloud", "debian-6.12-cloud" },
};

int kernel_path(char out[static PATH_MAX], struct err *err, const char *pattern, ...)
{
	va_list args;
	int n;

	va_start(args, pattern);
	n = vsnprintf(out, PATH_MAX, pattern, args);
	va_end(args);
	return n < 0 || n >= PATH_MAX
		       ? err_set(err, -ENAMETOOLONG, "kernel: the path %.64s... is too long", out)
		       : 0;
}

bool kernel_is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A folder as fetch and build make them. The unpacked file is preferred. */
static int choose_folder(
	const char *folder, const char *name, struct kernel_choice *ret, struct err *err)
{
	struct kernel_choice choice = {};
	char modules[PATH_MAX];
	int r = kernel_path(choice.image, err, "%s/%s", folder, "vmlinux");

	if (r == 0 && !kernel_is_file(choice.image))
		r = kernel_path(choice.image, err, "%s/%s", folder, "vmlinuz");
	if (r == 0)
		r = kernel_path(modules, err, "%s/%s", folder, "modules");
	if (r < 0)
		return r;
	if (!kernel_is_file(choice.image))
		return err_set(err, -ENOENT, "kernel %s: neither vmlinux nor vmlinuz is in %s",
			name, folder);
	snprintf(choice.name, sizeof(choice.name), "%.255s", name);
	snprintf(choice.folder, sizeof(choice.folder), "%s", is_folder(modules) ? folder : "");
	*ret = choice;
	return 0;
}

/* Modules are unpacked by a script, with the rights of whoever starts: they come from where no share can be (S10), only. */
static int check_modules(
	const char *cache, const struct kernel_choice *choice, const char *path, struct err *err)
{
	char kernels[PATH_MAX], real[PATH_MAX];
	size_t len;
	int r = kernel_path(kernels, err, "%s/kernels", cache);

	if (r < 0 || !*choice->folder)
		return r;
	len = realpath(kernels, real) ? strlen(real) : 0;
	if (len && strncmp(choice->folder, real, len) == 0 && choice->folder[len] == '/')
		return 0;
	err_set(err, -EPERM, "kernel %s: modules lie beside it, and are taken from %s only", path,
		kernels);
	err_next_step(err, "cp -rL '%s' '%s/NAME', then --kernel NAME", choice->folder, kernels);
	return -EPERM;
}

static int choose_path(const char *path, struct kernel_choice *ret, struct err *err)
{
	struct kernel_choice choice = {};
	char full[PATH_MAX], modules[PATH_MAX];
	int r;

	if (!realpath(path, full))
		return err_set(err, -errno, "kernel %s: %s", path, strerror(errno));
	if (is_folder(full))
		return choose_folder(full, path, ret, err);
	if (!kernel_is_file(full))
		return err_set(err, -EINVAL, "kernel %s: neither a file nor a folder", path);
	snprintf(choice.name, sizeof(choice.name), "%.255s", path);
	strcpy(choice.image, full);
	strcpy(choice.folder, full);
	*strrchr(choice.folder, '/') = '\0';
	r = kernel_path(modules, err, "%s/%s", choice.folder, "modules");
	if (r < 0)
		return r;
	if (!is_folder(modules))
		choice.folder[0] = '\0';
	*ret = choice;
	return 0;
}

static int not_in_cache(const char *cache, const char *wanted, struct err *err)
{
	err_set(err, -ENOENT, "kernel %s: not in %s/kernels", wanted ? wanted : "(default)", cache);
	if (wanted && strcmp(wanted, "minimal") == 0)
		err_next_step(err, "images/kernel/build brings it (5 to 7 minutes, once)");
	else
		err_next_step(err,
			"images/kernel/fetch brings the default one; `cloud` and `6.12` are its arguments");
	return -ENOENT;
}

static bool names_are_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

int kernel_cache_find(
	const char *cache, const char *wanted, struct kernel_choice *ret, struct err *err)
{
	char folder[PATH_MAX];

	if (wanted && strchr(wanted, '/')) {
		struct kernel_choice choice;
		int r = choose_path(wanted, &choice, err);

		if (r == 0)
			r = check_modules(cache, &choice, wanted, err);
		if (r == 0)
			*ret = choice;
		return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(short_names); i++) {
		if (!names_are_equal(wanted, short_names[i].wanted))
			continue;
		if (kernel_path(folder, err, "%s/kernels/%s", cache, short_names[i].folder) == 0 &&
			is_folder(folder))
			return choose_folder(folder, short_names[i].folder, ret, err);
	}
	if (wanted && *wanted && wanted[0] != '.' &&
		kernel_path(folder, err, "%s/kernels/%s", cache, wanted) == 0 && is_folder(folder))
		return choose_folder(folder, wanted, ret, err);
	return not_in_cache(cache, wanted, err);
}
