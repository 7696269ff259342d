/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the command line to a spec, and what must hold between its fields. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/supervisor/spec.h"

/* Cuts one final ":WORD" off text. */
static bool take_suffix(char *text, const char *word)
{
	size_t len = strlen(text), size = strlen(word) + 1;

	if (len < size || text[len - size] != ':' || strcmp(text + len - size + 1, word) != 0)
		return false;
	text[len - size] = '\0';
	return true;
}

/*
 * What may follow a share's folders: [:ro|:rw][:trust-hardlinks], in this order alone, so that whoever adds ":rw" to a
 * folder's name can be sure that nothing of the name itself is taken for a word of ours.
 */
struct share_suffixes {
	bool readonly, trust_hardlinks;
};

static struct share_suffixes take_suffixes(char *word)
{
	bool trust_hardlinks = take_suffix(word, "trust-hardlinks");
	bool readonly = take_suffix(word, "ro");

	if (!readonly)
		take_suffix(word, "rw");
	return (struct share_suffixes){ .readonly = readonly, .trust_hardlinks = trust_hardlinks };
}

/* /a//b/./c/ -> /a/b/c. False for a relative path or one with "..". */
static bool normalise_target(const char *path, char **ret)
{
	_cleanup_free_ char *copy = strdup(path), *out = malloc(strlen(path) + 2);
	char *rest = copy, *part, *end = out;

	if (!copy || !out || path[0] != '/')
		return false;
	while ((part = strsep(&rest, "/"))) {
		if (strcmp(part, "") == 0 || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0)
			return false;
		end += sprintf(end, "/%s", part);
	}
	if (end == out)
		strcpy(out, "/");
	*ret = TAKE_PTR(out);
	return true;
}

static bool is_normalised(const char *path)
{
	_cleanup_free_ char *normal = NULL;

	return normalise_target(path, &normal) && strcmp(normal, path) == 0;
}

int spec_add_share(struct spec *spec, const char *word, struct err *err)
{
	_cleanup_free_ char *copy = strdup(word), *host = NULL, *guest = NULL;
	struct share_suffixes suffixes;
	char *colon;

	if (!copy)
		return err_set(err, -ENOMEM, "share %s: out of memory", word);
	if (spec->share_count == SPEC_SHARES_MAX) {
		err_set(err, -E2BIG, "share %.300s: at most %d folders besides the workspace", word,
			SPEC_SHARES_MAX);
		err_next_step(err, "share a folder that holds several of them");
		return -E2BIG;
	}
	if (!json_text_valid(word))
		return err_set(err, -EINVAL, "share %s: not UTF-8 text", word);
	suffixes = take_suffixes(copy);
	colon = strrchr(copy, ':');
	if (!colon || colon == copy || !normalise_target(colon + 1, &guest))
		return err_set(err, -EINVAL,
			"share %s: not of the form HOST:GUEST[:ro][:trust-hardlinks], GUEST an absolute path",
			word);
	*colon = '\0';
	host = strdup(copy);
	if (!host)
		return err_set(err, -ENOMEM, "share %s: out of memory", word);
	spec->shares[spec->share_count++] = (struct spec_share){
		.host = TAKE_PTR(host),
		.guest = TAKE_PTR(guest),
		.readonly = suffixes.readonly,
		.trust_hardlinks = suffixes.trust_hardlinks,
	};
	return 0;
}

int spec_set_workspace(struct spec *spec, const char *word, struct err *err)
{
	_cleanup_free_ char *host = strdup(word), *guest = strdup(SPEC_WORKSPACE_TARGET);
	struct share_suffixes suffixes;

	if (!host || !guest)
		return err_set(err, -ENOMEM, "workspace %s: out of memory", word);
	suffixes = take_suffixes(host);
	if (!host[0])
		return err_set(err, -EINVAL, "workspace %s: no folder is named", word);
	if (!json_text_valid(word))
		return err_set(err, -EINVAL, "workspace %s: not UTF-8 text", word);
	free(spec->workspace.host);
	free(spec->workspace.guest);
	spec->workspace = (struct spec_share){
		.host = TAKE_PTR(host),
		.guest = TAKE_PTR(guest),
		.readonly = suffixes.readonly,
		.trust_hardlinks = suffixes.trust_hardlinks,
	};
	return 0;
}

static bool address_valid(const char *address)
{
	struct in6_addr ignored;

	return inet_pton(AF_INET, address, &ignored) == 1 ||
	       inet_pton(AF_INET6, address, &ignored) == 1;
}

/* Cuts [v6] or v4 and its colon off the front of *word; address is left alone where there is none. */
static bool take_address(char **word, char *address, size_t size)
{
	char *end;

	if (**word == '[') {
		(*word)++;
		end = strchr(*word, ']');
		if (!end || end[1] != ':')
			return false;
		*end++ = '\0';
	} else {
		end = strchr(*word, ':');
		if (!end || !strchr(end + 1, ':'))
			return true; /* HOST:GUEST alone */
	}
	*end = '\0';
	if (strlen(*word) >= size || !address_valid(*word))
		return false;
	strcpy(address, *word);
	*word = end + 1;
	return true;
}

int spec_add_port(struct spec *spec, const char *word, struct err *err)
{
	_cleanup_free_ char *copy = strdup(word);
	struct spec_port port = { .address = "127.0.0.1" };
	char *rest = copy, *colon;
	uint64_t host, guest;

	if (!copy)
		return err_set(err, -ENOMEM, "port %s: out of memory", word);
	if (spec->port_count == SPEC_PORTS_MAX) {
		err_set(err, -E2BIG, "port %.100s: at most %d ports are published", word,
			SPEC_PORTS_MAX);
		err_next_step(err, "sandboxctl ssh -N -L HOST:127.0.0.1:GUEST NAME reaches others");
		return -E2BIG;
	}
	if (!take_address(&rest, port.address, sizeof(port.address)) ||
		!(colon = strchr(rest, ':'))) {
		err_set(err, -EINVAL, "port %.100s: not of the form [ADDRESS:]HOST:GUEST", word);
		err_next_step(err, "such as 8080:80, 127.0.0.1:8080:80 or [::1]:8080:80");
		return -EINVAL;
	}
	*colon = '\0';
	if (!parse_u64(rest, 1, 65535, &host) || !parse_u64(colon + 1, 1, 65535, &guest))
		return err_set(err, -EINVAL, "port %s: a port is a number from 1 to 65535", word);
	port.host_port = (uint16_t)host;
	port.guest_port = (uint16_t)guest;
	spec->ports[spec->port_count++] = port;
	return 0;
}

/* NULL-ended vector + 1; word is copied. */
static int append_word(char ***vector, const char *word)
{
	size_t count = 0;
	char **bigger, *copy;

	while ((*vector)[count])
		count++;
	if (count >= SPEC_WORDS_MAX)
		return -E2BIG;
	copy = strdup(word);
	bigger = copy ? realloc(*vector, (count + 2) * sizeof(char *)) : NULL;
	if (!bigger) {
		free(copy);
		return -ENOMEM;
	}
	bigger[count] = copy;
	bigger[count + 1] = NULL;
	*vector = bigger;
	return 0;
}

static bool is_key_byte(char c, bool first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (!first && c >= '0' && c <= '9');
}

/* Length of the key of KEY=VALUE, or 0 where it is not one. */
static size_t key_length(const char *word)
{
	size_t len = strcspn(word, "=");

	if (word[len] != '=')
		return 0;
	for (size_t i = 0; i < len; i++)
		if (!is_key_byte(word[i], i == 0))
			return 0;
	return len;
}

static int refuse_variable(const char *word, struct err *err)
{
	size_t len = strcspn(word, "=");
	char key[65] = "";

	memcpy(key, word, MIN(len, sizeof(key) - 1));
	err_set(err, -EINVAL, "environment: '%s' is not of the form KEY=VALUE", key);
	if (!word[len])
		err_next_step(err,
			"no value is taken from this host's environment by itself: give KEY=VALUE");
	return -EINVAL;
}

int spec_add_environment(struct spec *spec, const char *word, struct err *err)
{
	size_t key = key_length(word);
	int r;

	/* The value may be a secret: messages show the key only. */
	if (key == 0)
		return refuse_variable(word, err);
	if (strlen(word) > SPEC_WORD_LEN_MAX)
		return err_set(err, -E2BIG, "environment %.*s: longer than %d bytes", (int)key,
			word, SPEC_WORD_LEN_MAX);
	if (!json_text_valid(word))
		return err_set(err, -EINVAL, "environment %.*s: not UTF-8 text", (int)key, word);
	for (char **p = spec->environment; *p; p++)
		if (strncmp(*p, word, key + 1) == 0) {
			char *copy = strdup(word);

			if (!copy)
				return err_set(err, -ENOMEM, "environment: out of memory");
			free(*p);
			*p = copy;
			return 0;
		}
	r = append_word(&spec->environment, word);
	return r < 0 ? err_set(err, r, "environment: more than %d variables", SPEC_WORDS_MAX) : 0;
}

int spec_add_environment_file(
	struct spec *spec, const char *text, size_t len, const char *path, struct err *err)
{
	_cleanup_free_ char *copy = NULL;
	unsigned int number = 0;
	char *rest, *line;

	if (memchr(text, '\0', len))
		return err_set(err, -EINVAL, "%s: has a NUL byte in it", path);
	copy = strndup(text, len);
	if (!copy)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	rest = copy;
	while ((line = strsep(&rest, "\n"))) {
		size_t end = strlen(line);
		int r;

		number++;
		if (end && line[end - 1] == '\r')
			line[end - 1] = '\0';
		line += strspn(line, " \t");
		if (!*line || *line == '#')
			continue;
		r = spec_add_environment(spec, line, err);
		if (r < 0)
			return err_prefix(err, r, "%s line %u", path, number);
	}
	return 0;
}

int spec_set_command(struct spec *spec, char *const *argv, struct err *err)
{
	char **command = calloc(1, sizeof(*command));

	for (char *const *p = argv; command && *p; p++) {
		int r = 0;

		if (strlen(*p) > SPEC_WORD_LEN_MAX)
			r = err_set(err, -E2BIG, "command: a word is longer than %d bytes",
				SPEC_WORD_LEN_MAX);
		else if (!json_text_valid(*p))
			r = err_set(err, -EINVAL, "command: word %zu is not UTF-8 text",
				(size_t)(p - argv) + 1);
		else if ((r = append_word(&command, *p)) < 0)
			err_set(err, r, "command: more than %d words", SPEC_WORDS_MAX);
		if (r < 0) {
			json_free_texts(command);
			return r;
		}
	}
	if (!command)
		return err_set(err, -ENOMEM, "command: out of memory");
	json_free_texts(spec->command);
	spec->command = command;
	return 0;
}

static int resolve_share(struct spec_share *share, const char *what, struct err *err)
{
	_cleanup_free_ char *canonical = realpath(share->host, NULL);
	struct stat st;

	if (!canonical || stat(canonical, &st) < 0)
		return err_set(err, -errno, "%s %.300s: %s", what, share->host, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "%s %.300s: not a folder", what, share->host);
	if (!json_text_valid(canonical))
		return err_set(
			err, -EINVAL, "%s %.300s: its path is not UTF-8 text", what, share->host);
	free(share->host);
	share->host = TAKE_PTR(canonical);
	share->device = st.st_dev;
	share->inode = st.st_ino;
	return 0;
}

int spec_resolve(struct spec *spec, struct err *err)
{
	int r = spec->workspace.host ? resolve_share(&spec->workspace, "workspace", err) : 0;

	for (size_t i = 0; i < spec->share_count && r == 0; i++)
		r = resolve_share(&spec->shares[i], "share", err);
	return r;
}

bool spec_target_reserved(const char *guest)
{
	static const char *const exact[] = { "/", "/home", "/home/sandbox", "/var", "/tmp",
		"/usr/local", "/opt" };
	static const char *const whole[] = { "/usr", "/etc", "/proc", "/sys", "/dev", "/run",
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/root",
		"/var/lib/dpkg" };

	/* New folders below /usr/local and /opt are what -v is for; their own place is the image's. */
	if (strncmp(guest, "/usr/local/", 11) == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (strcmp(guest, exact[i]) == 0)
			return strcmp(guest, "/opt") != 0;
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
		size_t len = strlen(whole[i]);

		if (strncmp(guest, whole[i], len) == 0 && (guest[len] == '\0' || guest[len] == '/'))
			return true;
	}
	return false;
}

static int check_share(const struct spec_share *share, struct err *err)
{
	if (!is_normalised(share->guest))
		return err_set(err, -EINVAL,
			"share %s: its place %s in the guest is not a plain absolute path",
			share->host, share->guest);
	if (spec_target_reserved(share->guest))
		return err_set(err, -EINVAL, "share %s: %s in the guest belongs to its system",
			share->host, share->guest);
	return 0;
}

/* Two shares at one place, the workspace's included. */
static int check_targets(const struct spec *spec, struct err *err)
{
	for (size_t i = 0; i < spec->share_count; i++) {
		const char *guest = spec->shares[i].guest;
		int r = check_share(&spec->shares[i], err);

		if (r < 0)
			return r;
		if (spec->workspace.host && strcmp(guest, spec->workspace.guest) == 0)
			return err_set(err, -EINVAL, "share %s: %s is the workspace's place",
				spec->shares[i].host, guest);
		for (size_t j = 0; j < i; j++)
			if (strcmp(guest, spec->shares[j].guest) == 0)
				return err_set(err, -EINVAL, "shares %s and %s: both at %s",
					spec->shares[j].host, spec->shares[i].host, guest);
	}
	return 0;
}

static int check_ports(const struct spec *spec, struct err *err)
{
	for (size_t i = 0; i < spec->port_count; i++) {
		const struct spec_port *a = &spec->ports[i];

		if (!address_valid(a->address))
			return err_set(err, -EINVAL, "port %u: %s is not an address", a->host_port,
				a->address);
		for (size_t j = 0; j < i; j++)
			if (a->host_port == spec->ports[j].host_port &&
				strcmp(a->address, spec->ports[j].address) == 0)
				return err_set(
					err, -EINVAL, "port %u: published twice", a->host_port);
	}
	return 0;
}

int spec_check(const struct spec *spec, struct err *err)
{
	int r;

	if (!sandbox_name_valid(spec->name))
		return err_set(err, -EINVAL, "name %s: not of the form [a-z0-9][a-z0-9-]{0,40}",
			spec->name);
	if (spec->workspace.host && strcmp(spec->workspace.guest, SPEC_WORKSPACE_TARGET) != 0)
		return err_set(err, -EINVAL, "workspace: its place is %s", SPEC_WORKSPACE_TARGET);
	for (char **p = spec->environment; p && *p; p++)
		if (key_length(*p) == 0)
			return err_set(
				err, -EINVAL, "environment: a word is not of the form KEY=VALUE");
	r = check_targets(spec, err);
	return r < 0 ? r : check_ports(spec, err);
}
