/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/secrets/secret_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define STORE_VERSION  1
#define STORE_FILE     "secrets.json"
#define STORE_FOLDER   "secrets"
#define STORE_FILE_MAX (SECRETS_MAX * (SECRET_TEXT_MAX + 256u))

static int no_such_secret(const char *name, struct err *err)
{
	err_set(err, -ENOKEY, "secret %.64s: there is none of that name", name);
	return err_next_step(err, "sandboxctl secret set %.64s", name);
}

/* E18: nobody else may read it, and nobody else wrote it. */
static int check_file(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", path);
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077))
		return 0;
	err_set(err, -EPERM,
		"%s: not a file of yours that nobody else may read (owner %u, mode %04o)", path,
		(unsigned int)st.st_uid, (unsigned int)(st.st_mode & 07777));
	return err_next_step(err, "chmod 600 '%s'", path);
}

static int open_checked(int dir_fd, const char *name, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno; /* the caller knows what it means */
	r = check_file(fd, name, err);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* The config folder may be read by others: its files that matter are not. */
static int open_config(const struct paths *paths, bool make, int *ret_fd, struct err *err)
{
	int r = make ? fdio_mkdir_parents(paths->config, 0700) : 0;

	*ret_fd = r < 0 ? -1 : open(paths->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_set(err, r < 0 ? r : -errno, "%s: %s", paths->config,
			strerror(r < 0 ? -r : errno));
	return 0;
}

static int open_values(int config_fd, bool make, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (make && mkdirat(config_fd, STORE_FOLDER, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, STORE_FOLDER ": %m");
	fd = openat(config_fd, STORE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077)) {
		err_set(err, -EPERM, "the folder " STORE_FOLDER ": not yours alone");
		return err_next_step(err, "chmod 700 it");
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int check_all(json_t *secrets, struct err *err)
{
	const char *name;
	json_t *object;

	if (json_object_size(secrets) > SECRETS_MAX)
		return err_set(err, -E2BIG, STORE_FILE ": more than %d secrets", SECRETS_MAX);
	json_object_foreach(secrets, name, object)
	{
		struct secret_ref ref;
		int r = secret_name_valid(name) && json_is_object(object)
				? secret_ref_parse(object, &ref, err)
				: err_set(err, -EINVAL, "not a name with its reference");

		if (r < 0)
			return err_prefix(err, r, STORE_FILE ": %.64s", name);
	}
	return 0;
}

static int parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *document = NULL, *secrets = NULL;
	struct json_reader reader;
	int r = json_parse_object(text, len, STORE_FILE_MAX, STORE_FILE, &document, err);

	if (r < 0)
		return r;
	reader = json_reader(document, STORE_FILE, err);
	json_get_u64(&reader, "version", STORE_VERSION, STORE_VERSION);
	secrets = json_incref(json_get_object(&reader, "secrets"));
	r = json_reader_done(&reader);
	if (r == 0)
		r = check_all(secrets, err);
	if (r == 0)
		*ret = TAKE_PTR(secrets);
	return r;
}

static int load(int config_fd, json_t **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	char path[64];
	size_t len;
	int r = open_checked(config_fd, STORE_FILE, &fd, err);

	if (r == -ENOENT) {
		*ret = json_object();
		return *ret ? 0 : err_set(err, -ENOMEM, STORE_FILE ": no memory");
	}
	if (r < 0)
		return *err->text ? r : err_set(err, r, STORE_FILE ": %s", strerror(-r));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = fdio_read_file(AT_FDCWD, path, STORE_FILE_MAX, &text, &len);
	return r < 0 ? err_set(err, r, STORE_FILE ": %s", strerror(-r))
		     : parse(text, len, ret, err);
}

int secret_store_load(const struct paths *paths, json_t **ret, struct err *err)
{
	_cleanup_close_ int config_fd = open(paths->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (config_fd < 0 && errno == ENOENT) {
		*ret = json_object();
		return *ret ? 0 : err_set(err, -ENOMEM, STORE_FILE ": no memory");
	}
	return config_fd < 0 ? err_set(err, -errno, "%s: %m", paths->config)
			     : load(config_fd, ret, err);
}

int secret_store_find(
	const struct paths *paths, const char *name, struct secret_ref *ret, struct err *err)
{
	_cleanup_json_ json_t *secrets = NULL;
	int r = secret_store_load(paths, &secrets, err);
	json_t *object;

	if (r < 0)
		return r;
	object = json_object_get(secrets, name);
	return object ? secret_ref_parse(object, ret, err) : no_such_secret(name, err);
}

static int save(int config_fd, json_t *secrets, struct err *err)
{
	_cleanup_json_ json_t *document =
		json_pack("{s:i, s:O}", "version", STORE_VERSION, "secrets", secrets);
	_cleanup_free_ char *text = document ? json_dumps(document, JSON_INDENT(2)) : NULL;
	int r = text ? fdio_write_file_atomic(config_fd, STORE_FILE, text, strlen(text), 0600)
		     : -ENOMEM;

	return r < 0 ? err_set(err, r, STORE_FILE ": %s", strerror(-r)) : 0;
}

/* Reading, changing and writing are one step: the folder of values is locked meanwhile. */
static int lock_store(int config_fd, int *ret_values_fd, struct err *err)
{
	int r = open_values(config_fd, true, ret_values_fd, err);

	if (r == 0 && flock(*ret_values_fd, LOCK_EX) < 0)
		r = -errno;
	return r < 0 && !*err->text ? err_set(err, r, STORE_FOLDER ": %s", strerror(-r)) : r;
}

/* The value before its reference, and gone after it: a reference never leads nowhere. */
static int change(int config_fd, int values_fd, const char *name, const struct secret_ref *ref,
	const char *value, size_t len, struct err *err)
{
	_cleanup_json_ json_t *secrets = NULL;
	bool stored = ref && ref->kind == SECRET_STORED;
	int r = load(config_fd, &secrets, err);

	if (r < 0)
		return r;
	if (!ref && !json_object_get(secrets, name))
		return no_such_secret(name, err);
	if (stored) {
		r = fdio_write_file_atomic(values_fd, name, value, len, 0600);
		if (r < 0)
			return err_set(err, r, "secret %s: %s", name, strerror(-r));
	}
	if (ref)
		json_object_set_new(secrets, name, secret_ref_json(ref));
	else
		json_object_del(secrets, name);
	if (json_object_size(secrets) > SECRETS_MAX)
		return err_set(err, -E2BIG, STORE_FILE ": more than %d secrets", SECRETS_MAX);
	r = save(config_fd, secrets, err);
	if (r == 0 && !stored && unlinkat(values_fd, name, 0) < 0 && errno != ENOENT)
		r = err_set(err, -errno, STORE_FOLDER "/%s: %m", name);
	return r;
}

static int change_store(const struct paths *paths, const char *name, const struct secret_ref *ref,
	const char *value, size_t len, struct err *err)
{
	_cleanup_close_ int config_fd = -1, values_fd = -1;
	int r = open_config(paths, true, &config_fd, err);

	if (r == 0)
		r = lock_store(config_fd, &values_fd, err);
	return r < 0 ? r : change(config_fd, values_fd, name, ref, value, len, err);
}

int secret_store_set(const struct paths *paths, const char *name, const struct secret_ref *ref,
	const char *value, size_t len, struct err *err)
{
	size_t trimmed = 0;
	int r = secret_name_valid(name)
			? secret_ref_check(ref, err)
			: err_set(err, -EINVAL,
				  "%.80s: not a secret's name (letters, digits, `.`, `_` and `-`, at most %d)",
				  name, SECRET_NAME_MAX);

	if (r == 0 && ref->kind == SECRET_STORED)
		r = secret_value_trim(value, len, &trimmed, err);
	return r < 0 ? r : change_store(paths, name, ref, value, trimmed, err);
}

int secret_store_remove(const struct paths *paths, const char *name, struct err *err)
{
	return secret_name_valid(name) ? change_store(paths, name, NULL, NULL, 0, err)
				       : no_such_secret(name, err);
}

int secret_store_open_value(
	const struct paths *paths, const char *name, int *ret_fd, struct err *err)
{
	_cleanup_close_ int config_fd = -1, values_fd = -1;
	int r = secret_name_valid(name) ? open_config(paths, false, &config_fd, err)
					: no_such_secret(name, err);

	if (r == 0)
		r = open_values(config_fd, false, &values_fd, err);
	if (r == 0)
		r = open_checked(values_fd, name, ret_fd, err);
	return r < 0 && !*err->text
		       ? err_set(err, r, "secret %s: its value: %s", name, strerror(-r))
		       : r;
}
