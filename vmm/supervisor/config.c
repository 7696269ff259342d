/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/supervisor/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/parse.h"
#include "vmm/supervisor/json.h"

#define CONFIG_MAX     (64u << 10)
#define CONFIG_VERSION 1
#define DNS_SERVERS    8
#define ADDRESS_MAX    64

/* 192.0.2.53, 192.0.2.53:5353, 2001:db8::53, [2001:db8::53]:5353 */
static bool server_valid(const char *text)
{
	const char *end = strrchr(text, ']'), *colon = strrchr(text, ':');
	bool has_port = end ? colon > end : colon && strchr(text, ':') == colon;
	char address[ADDRESS_MAX + 1] = "";
	struct in6_addr parsed;
	uint64_t port;
	size_t len = has_port ? (size_t)(colon - text) : strlen(text);

	if (has_port && !parse_u64(colon + 1, 1, UINT16_MAX, &port))
		return false;
	if (text[0] == '[' && len > 1 && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len > ADDRESS_MAX)
		return false;
	memcpy(address, text, len);
	return inet_pton(AF_INET, address, &parsed) == 1 ||
	       inet_pton(AF_INET6, address, &parsed) == 1;
}

static void read_dns(struct json_reader *r, struct config *c)
{
	char **servers = json_get_texts(r, "dns", DNS_SERVERS, ADDRESS_MAX);
	size_t used = 0;

	if (!json_has(r, "dns") || !servers) {
		json_free_texts(servers);
		return;
	}
	c->dns[0] = '\0';
	for (char **s = servers; *s; s++) {
		if (!server_valid(*s))
			json_reader_fail(r, "dns: %s is no address with or without a port", *s);
		used += (size_t)snprintf(
			c->dns + used, sizeof(c->dns) - used, "%s%s", used ? "," : "", *s);
	}
	json_free_texts(servers);
}

/* What can be said here; whether it is a host's name says the injector. */
static bool proxy_valid(const char *text)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;

	return colon && colon != text && parse_u64(colon + 1, 1, UINT16_MAX, &port) &&
	       !strpbrk(text, "/@ ,");
}

static int read_egress(json_t *object, struct config *c, struct err *err)
{
	struct json_reader r = json_reader(object, "egress", err);
	const char *file = json_get_text_or(&r, "trust_file", PATH_MAX - 1, NULL);
	const char *proxy = json_get_text_or(&r, "proxy", CONFIG_PROXY_MAX - 1, NULL);

	read_dns(&r, c);
	if (proxy && *proxy && !proxy_valid(proxy))
		json_reader_fail(&r, "proxy: not HOST:PORT (no scheme, no credentials)");
	else if (proxy)
		snprintf(c->proxy, sizeof(c->proxy), "%s", proxy);
	if (file && file[0] != '/')
		json_reader_fail(&r, "trust_file: not an absolute path");
	else if (file)
		snprintf(c->trust_file, sizeof(c->trust_file), "%s", file);
	return json_reader_done(&r);
}

static int read_audit(json_t *object, struct config *c, struct err *err)
{
	struct json_reader r = json_reader(object, "audit", err);
	const char *word = json_get_text_or(&r, "forward", 16, NULL);

	if (word && strcmp(word, "none") == 0)
		c->forward = FORWARD_NONE;
	else if (word && (c->forward = forward_kind_parse(word)) == FORWARD_NONE)
		json_reader_fail(&r, "forward: journald, syslog or none");
	return json_reader_done(&r);
}

static int parse(const char *text, size_t len, struct config *c, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	json_t *audit, *egress;
	struct json_reader r;
	int error = json_parse_object(text, len, CONFIG_MAX, CONFIG_FILE, &document, err);

	if (error < 0)
		return error;
	r = json_reader(document, CONFIG_FILE, err);
	json_get_u64(&r, "version", CONFIG_VERSION, CONFIG_VERSION);
	audit = json_get_object_or_null(&r, "audit");
	egress = json_get_object_or_null(&r, "egress");
	error = json_reader_done(&r);
	if (error == 0 && audit)
		error = read_audit(audit, c, err);
	if (error == 0 && egress)
		error = read_egress(egress, c, err);
	return error;
}

/* A file that is not there says nothing. */
static int load_file(const char *path, struct config *c, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	char of_fd[64];
	struct stat st;
	size_t len;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
		(st.st_mode & (S_IWGRP | S_IWOTH))) {
		err_set(err, -EPERM, "%s: others may write it", path);
		return err_next_step(err, "chmod go-w '%s'", path);
	}
	snprintf(of_fd, sizeof(of_fd), "/proc/self/fd/%d", fd);
	r = fdio_read_file(AT_FDCWD, of_fd, CONFIG_MAX, &text, &len);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	r = parse(text, len, c, err);
	return r < 0 ? err_prefix(err, r, "%s", path) : 0;
}

int config_load(
	const struct paths *paths, const char *system_file, struct config *ret, struct err *err)
{
	struct config config = {};
	char path[PATH_MAX];
	int r = load_file(system_file ? system_file : CONFIG_SYSTEM_FILE, &config, err);

	if (snprintf(path, sizeof(path), "%s/" CONFIG_FILE, paths->config) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: path too long", paths->config);
	if (r == 0)
		r = load_file(path, &config, err);
	if (r == 0)
		*ret = config;
	return r;
}
