/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/java_store.h"
#include "guest-agent/place.h"
#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define BEGIN	       "-----BEGIN CERTIFICATE-----"
#define END	       "-----END CERTIFICATE-----"
#define BROWSER	       "/usr/bin/chromium"
#define BROWSER_POLICY "/etc/chromium/policies/managed/sandbox.json"
#define POLICY_HEAD    "{\"CACertificates\":[\""
#define POLICY_TAIL    "\"]}\n"
#define JAVA_HOMES     "/usr/lib/jvm"
#define JAVA_HOMES_MAX 64 /* entries looked at */
#define LOCAL_PATH     "/usr/local/share/ca-certificates/sandbox.crt"

/* Debian's, Fedora's, Alpine's. */
static const char *const stores[] = { "/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };

const struct protocol_file *trust_find(const struct protocol_welcome *welcome)
{
	for (uint16_t i = 0; i < welcome->file_count; i++)
		if (!strcmp(welcome->file[i].path, PROTOCOL_CA_PATH))
			return &welcome->file[i];
	return NULL;
}

static void put_part(struct bytes_writer *w, const void *text, size_t len)
{
	bytes_put(w, text, len);
	if (len && ((const char *)text)[len - 1] != '\n')
		bytes_put(w, "\n", 1);
}

size_t trust_join(
	const void *roots, size_t roots_len, const void *ca, size_t ca_len, char *out, size_t size)
{
	struct bytes_writer w = bytes_writer(out, size);

	put_part(&w, roots, roots_len);
	put_part(&w, ca, ca_len);
	return w.failed ? 0 : w.offset;
}

size_t trust_browser_policy(const char *ca, size_t ca_len, char *out, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	const char *from = memmem(ca, ca_len, BEGIN, strlen(BEGIN)), *to;
	struct bytes_writer w = bytes_writer(out, size);
	size_t start;

	if (!from)
		return 0;
	from += strlen(BEGIN);
	to = memmem(from, ca_len - (size_t)(from - ca), END, strlen(END));
	bytes_put(&w, POLICY_HEAD, strlen(POLICY_HEAD));
	start = w.offset;
	for (; to && from < to; from++) {
		if (*from == '\n' || *from == '\r')
			continue;
		if (!*from || !strchr(digits, *from))
			return 0;
		bytes_put(&w, from, 1);
	}
	if (w.offset == start)
		return 0;
	bytes_put(&w, POLICY_TAIL, strlen(POLICY_TAIL));
	return w.failed ? 0 : w.offset;
}

static int place_text(const char *root, const char *name, const void *text, size_t len)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, name);
	return place_file(path, text, len, 0444, 0, 0);
}

/* The first store that is there; its place in the list, or the list's length. */
static size_t read_store(const char *root, char **ret_text, size_t *ret_len)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stores); i++) {
		snprintf(path, sizeof(path), "%s%s", root, stores[i]);
		if (fdio_read_file(AT_FDCWD, path, TRUST_BUNDLE_MAX, ret_text, ret_len) == 0)
			break;
	}
	return i;
}

static void place_where_file(const char *root, const char *name, const void *store, size_t len)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", root, name);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
		(void)place_text(root, name, store, len);
}

/* Links are left: what they lead to is Debian's, or a JDK's own. */
static void place_java(const char *root, const char *bundle, size_t bundle_len)
{
	_cleanup_free_ uint8_t *store = malloc(JAVA_STORE_ROOM(bundle_len));
	size_t len =
		store ? java_store_make(bundle, bundle_len, store, JAVA_STORE_ROOM(bundle_len)) : 0;
	_cleanup_closedir_ DIR *list = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	int left = JAVA_HOMES_MAX;

	if (!len)
		return;
	place_where_file(root, "/etc/ssl/certs/java/cacerts", store, len);
	snprintf(path, sizeof(path), "%s" JAVA_HOMES, root);
	list = opendir(path);
	while (list && (entry = readdir(list)) != NULL && left-- > 0) {
		snprintf(path, sizeof(path), JAVA_HOMES "/%s/lib/security/cacerts", entry->d_name);
		if (entry->d_name[0] != '.' && entry->d_type != DT_LNK)
			place_where_file(root, path, store, len);
	}
}

static void place_browser_policy(const char *root, const struct protocol_file *ca)
{
	char path[PATH_MAX], policy[PROTOCOL_CONTENT_MAX];
	size_t len = trust_browser_policy(ca->content, ca->content_len, policy, sizeof(policy));

	snprintf(path, sizeof(path), "%s" BROWSER, root);
	if (len && access(path, X_OK) == 0)
		(void)place_text(root, BROWSER_POLICY, policy, len);
}

int trust_place(const char *root, const struct protocol_welcome *welcome)
{
	const struct protocol_file *ca = trust_find(welcome);
	_cleanup_free_ char *roots = NULL, *bundle = NULL;
	size_t roots_len = 0, size, len, store;
	int r;

	if (!ca)
		return 0;
	store = read_store(root, &roots, &roots_len);
	size = roots_len + ca->content_len + 2;
	bundle = malloc(size);
	len = bundle ? trust_join(roots, roots_len, ca->content, ca->content_len, bundle, size) : 0;
	if (!len)
		return -ENOMEM;
	r = place_text(root, TRUST_BUNDLE_PATH, bundle, len);
	if (r == 0)
		r = place_text(root, LOCAL_PATH, ca->content, ca->content_len);
	if (r == 0 && store < ARRAY_SIZE(stores))
		r = place_text(root, stores[store], bundle, len);
	if (r == 0)
		place_java(root, bundle, len);
	if (r == 0)
		place_browser_policy(root, ca);
	return r;
}
