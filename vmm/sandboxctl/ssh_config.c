/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandboxctl/ssh_config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/sandboxctl/report.h"

/* A path as a value of ssh_config(5): in double quotes, % doubled. False where that cannot say it. */
static bool quote_value(const char *path, char *out, size_t size)
{
	size_t len = 0;

	out[len++] = '"';
	for (; *path; path++) {
		if (*path == '"' || *path == '\\' || (unsigned char)*path < 0x20 || len + 4 > size)
			return false;
		if (*path == '%')
			out[len++] = '%';
		out[len++] = *path;
	}
	out[len++] = '"';
	out[len] = '\0';
	return true;
}

/* For ProxyCommand: a word for sh, in which ssh then expands %. */
static bool quote_command(const char *path, char *out, size_t size)
{
	char quoted[PATH_MAX + 64];
	size_t len = 0;

	report_shell_quote(path, quoted, sizeof(quoted));
	for (const char *p = quoted; *p; p++) {
		if ((unsigned char)*p < 0x20 || len + 3 > size)
			return false;
		if (*p == '%')
			out[len++] = '%';
		out[len++] = *p;
	}
	out[len] = '\0';
	return true;
}

int ssh_config_program(char ret_path[static PATH_MAX], struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);

	if (n <= 0 || n >= PATH_MAX - 1)
		return err_set(
			err, -ENOENT, "this program's own path is unknown: is /proc mounted?");
	ret_path[n] = '\0';
	return 0;
}

static int quoted_state_path(const struct paths *paths, const char *name, const char *file,
	char *out, size_t size, struct err *err)
{
	char path[PATH_MAX];
	int r = paths_of_state(paths, name, file, path, err);

	if (r == 0 && !quote_value(path, out, size))
		return err_set(
			err, -EINVAL, "%.300s: a path that ssh's configuration cannot say", path);
	return r;
}

int ssh_config_format(const struct paths *paths, const char *name, const char *program, char *out,
	size_t size, struct err *err)
{
	char command[PATH_MAX + 128], identity[PATH_MAX + 128], known_hosts[PATH_MAX + 128];
	int n, r = quoted_state_path(
		       paths, name, SSH_IDENTITY_FILE, identity, sizeof(identity), err);

	if (r == 0)
		r = quoted_state_path(
			paths, name, SSH_KNOWN_HOSTS_FILE, known_hosts, sizeof(known_hosts), err);
	if (r < 0)
		return r;
	if (!quote_command(program, command, sizeof(command)))
		return err_set(err, -EINVAL, "%.300s: a path that ssh's configuration cannot say",
			program);
	n = snprintf(out, size,
		"# sandboxctl ssh-config %s\n"
		"Host %s %s.sandbox\n"
		"  User sandbox\n"
		"  HostKeyAlias %s\n"
		"  ProxyCommand %s ssh-proxy %s\n"
		"  IdentityFile %s\n"
		"  IdentitiesOnly yes\n"
		"  IdentityAgent none\n"
		"  UserKnownHostsFile %s\n"
		"  GlobalKnownHostsFile /dev/null\n"
		"  StrictHostKeyChecking yes\n"
		"  UpdateHostKeys no\n"
		"  CheckHostIP no\n"
		"  PreferredAuthentications publickey\n"
		"  PasswordAuthentication no\n"
		"  KbdInteractiveAuthentication no\n"
		"  GSSAPIAuthentication no\n"
		"  GSSAPIDelegateCredentials no\n"
		"  ForwardAgent no\n"
		"  ForwardX11 no\n"
		"  PermitLocalCommand no\n"
		"  ControlMaster no\n"
		"  ControlPath none\n"
		"  SendEnv -*\n"
		"  LogLevel ERROR\n",
		name, name, name, name, command, name, identity, known_hosts);
	return n < 0 || (size_t)n >= size
		       ? err_set(err, -ENAMETOOLONG, "paths too long for ssh's configuration")
		       : 0;
}
