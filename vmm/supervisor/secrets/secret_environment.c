/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/secrets/secret_environment.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/supervisor/sealed.h"
#include "vmm/supervisor/secrets/secret_store.h"
#include "vsock-proxy/locked.h"

bool secret_environment_is_for_commands(const char *variable)
{
	static const char *const names[] = { "HOME=", "USER=", "LOGNAME=", "LANG=", "XDG_",
		"DBUS_SESSION_BUS_ADDRESS=", "CREDENTIALS_DIRECTORY=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static bool is_named(json_t *secrets, const char *variable)
{
	size_t len = strcspn(variable, "=");
	const char *name;
	json_t *object;

	json_object_foreach(secrets, name, object)
	{
		const char *wanted = json_string_value(json_object_get(object, "variable"));

		if (wanted && strlen(wanted) == len && strncmp(wanted, variable, len) == 0)
			return true;
	}
	return false;
}

static size_t gather(json_t *secrets, char *buffer)
{
	size_t used = 0, count = 0;

	for (char **v = environ; *v && count < SECRET_ENVIRONMENT_COUNT; v++) {
		size_t len = strlen(*v) + 1;

		if (len > SECRET_ENVIRONMENT_MAX - used ||
			(!secret_environment_is_for_commands(*v) && !is_named(secrets, *v)))
			continue;
		memcpy(buffer + used, *v, len);
		used += len;
		count++;
	}
	return used;
}

int secret_environment_write(const struct paths *paths, int *ret_fd, struct err *err)
{
	_cleanup_json_ json_t *secrets = NULL;
	char *buffer = locked_alloc(SECRET_ENVIRONMENT_MAX);
	struct err ignored = {};
	size_t used;
	int r;

	if (!buffer)
		return err_set(err, -ENOMEM, "the environment: no memory");
	if (secret_store_load(paths, &secrets, &ignored) < 0)
		secrets = NULL;
	used = gather(secrets, buffer);
	r = sealed_memfd("environment", buffer, used, ret_fd, err);
	locked_free(buffer, SECRET_ENVIRONMENT_MAX);
	return r;
}

int secret_environment_read(int fd, char buffer[static SECRET_ENVIRONMENT_MAX + 1],
	char *ret[static SECRET_ENVIRONMENT_COUNT + 1])
{
	size_t used = 0, count = 0;
	ssize_t n = 0;

	while (used < SECRET_ENVIRONMENT_MAX &&
		(n = pread(fd, buffer + used, SECRET_ENVIRONMENT_MAX - used, (off_t)used)) > 0)
		used += (size_t)n;
	if (n < 0)
		return -errno;
	buffer[used] = '\0';
	for (size_t at = 0; at < used && count < SECRET_ENVIRONMENT_COUNT;
		at += strlen(buffer + at) + 1)
		ret[count++] = buffer + at;
	ret[count] = NULL;
	return 0;
}

char *secret_environment_get(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; *environment; environment++)
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	return NULL;
}
