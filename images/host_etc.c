/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: one walk over the list, twice with different hands: first every file's name, size and times go
 * into a digest; if the snapshot carries that digest, it is still good. Else it is thrown away and the walk copies.
 */
#include "images/host_etc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/digest.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"

#define STAMP ".snapshot" /* in the folder beside: never in the guest's view */

/* Patterns of top-level names and, where they hold a `/`, of names one folder down. */
static const char *const listed[] = {
	"alternatives", /* cc, java, awk, editor are links through here */
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d", /* libraries outside the default folders */
	"ssl/certs",
	"ssl/openssl.cnf",
	"ca-certificates",
	"ca-certificates.conf",
	"pki", /* TLS */
	"locale.alias",
	"locale.conf",
	"locale.gen",
	"default/locale",
	"timezone", /* language, time */
	"mime.types",
	"services",
	"protocols",
	"rpc",
	"ethertypes",
	"networks",
	"gai.conf",
	"nsswitch.conf", /* names */
	"host.conf",
	"debian_version",
	"os-release",
	"lsb-release",
	"redhat-release",
	"fedora-release",
	"issue",
	"apt/sources.list",
	"apt/sources.list.d",
	"apt/trusted.gpg",
	"apt/trusted.gpg.d",
	"apt/keyrings",
	"apt/preferences",
	"apt/preferences.d", /* what apt needs to install in the guest, less its secrets */
	"dpkg",
	"bash.bashrc",
	"bash_completion",
	"bash_completion.d",
	"inputrc",
	"terminfo",
	"shells",
	"skel",
	"vim",
	"nanorc",
	"magic",
	"magic.mime",
	"manpath.config",
	"papersize",
	"chromium.d/default-flags", /* its starter wants one such file */
	"java*",
	"jvm*",
	"python2*",
	"python3*",
	"perl",
	"php",
	"ruby*",
	"node*",
	"lua*",
	"ghc*",
	"erlang*", /* run times */
	"emacs",
	"texmf",
	"fonts",
	"ImageMagick-*",
	"groff",
	"gtk-*",
	"dconf/profile",
	"xdg/mimeapps.list",
	"login.defs",
	"pam.conf",
	"pam.d",
	"security",
	"adduser.conf",
	"deluser.conf",
	"sudo.conf",
	"sudo_logsrvd.conf",
	"gss",
	"krb5.conf.d",
	"odbc*.ini",
	"libnl-3",
	"sensors*.conf",
	"rmt",
	"mke2fs.conf",
	"xattr.conf",
	"cmake",
	"maven",
	"gradle",
	"ant",
	"scala",
	"sgml",
	"xml",
	"docbook*",
	"lynx",
};

/* Left out at any depth: they hold secrets, name this machine, or set up a shell from the host's environment. */
static const char *const never[] = {
	"npmrc",
	"pip.conf",
	"gitconfig",
	"netrc",
	".netrc",
	"auth.conf",
	"auth.conf.d",
	"environment",
	"profile.d",
	"machine-id",
	"shadow*",
	"gshadow*",
	"*.key",
	"*.dpkg-*",
	"*.ucf-*",
	"*~",
	"*.swp",
	"opasswd",
	"private",
	"settings.xml",
	"settings-security.xml",
	"gradle.properties",
	"init.d",
	".npmrc",
	".gitconfig",
};

/* What happens to each thing the walk finds. */
struct hands {
	struct digest *digest; /* counting: everything goes in here */
	size_t files;
	uint64_t bytes;
	struct err *err;
};

static bool matches_any(const char *name, const char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}

/* user[:password]@ between "://" and the next "/", space or quote. */
bool host_etc_has_credentials(const char *text, size_t len)
{
	for (size_t i = 0; i + 3 <= len; i++) {
		if (memcmp(text + i, "://", 3) != 0)
			continue;
		for (size_t j = i + 3; j < len && !strchr("/ \t\r\n\"'<>", text[j]); j++)
			if (text[j] == '@')
				return true;
	}
	return false;
}

/* Drops the lines that have credentials; gives the new length. Only for formats of one entry a line. */
static size_t drop_lines(char *text, size_t len)
{
	size_t out = 0;

	for (size_t at = 0; at < len;) {
		char *newline = memchr(text + at, '\n', len - at);
		size_t line = newline ? (size_t)(newline - text) - at + 1 : len - at;

		if (!host_etc_has_credentials(text + at, line)) {
			memmove(text + out, text + at, line);
			out += line;
		}
		at += line;
	}
	return out;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n >= s && strcmp(name + n - s, suffix) == 0;
}

static int count_file(struct hands *hands, const char *name, const struct stat *st)
{
	hands->files++;
	hands->bytes += S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	if (hands->files > HOST_ETC_FILES_MAX || hands->bytes > HOST_ETC_TOTAL_MAX)
		return err_set(hands->err, -EFBIG, "/etc snapshot: more than %d files or %u bytes",
			HOST_ETC_FILES_MAX, HOST_ETC_TOTAL_MAX);
	if (hands->digest)
		digest_add_stat(hands->digest, name, st);
	return 0;
}

static int copy_file(struct hands *hands, int from, const char *name, int to)
{
	_cleanup_close_ int in = openat(from, name,
				    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
			    out = -1;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len;

	/* Gone or closed meanwhile: not there, then. What any stranger may read is judged on the opened file (S11). */
	if (in < 0 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH) ||
		st.st_size > HOST_ETC_FILE_MAX)
		return 0;
	len = (size_t)st.st_size;
	text = malloc(len + 1);
	if (!text)
		return err_set(hands->err, -ENOMEM, "/etc snapshot: out of memory");
	if (fdio_pread_full(in, text, len, 0) < 0)
		return 0;
	if (host_etc_has_credentials(text, len)) {
		if (!has_suffix(name, ".list"))
			return 0;
		len = drop_lines(text, len);
	}
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (out < 0 || fdio_write_full(out, text, len) < 0 ||
		fchmod(out, (st.st_mode & S_IXOTH) ? 0755 : 0644) < 0 ||
		futimens(out, (struct timespec[2]){ st.st_mtim, st.st_mtim }) < 0)
		return err_set(hands->err, -errno, "/etc snapshot: cannot write %s: %s", name,
			strerror(errno));
	return 0;
}

static int copy_link(struct hands *hands, int from, const char *name, int to)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return 0;
	target[n] = '\0';
	return symlinkat(target, to, name) < 0
		       ? err_set(hands->err, -errno, "/etc snapshot: cannot link %s: %s", name,
				 strerror(errno))
		       : 0;
}

static int take(struct hands *hands, int from, const char *name, int to, unsigned int depth);

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted (the digest must not depend on the disk's order). NULL-ended. */
static int list_folder(int folder_fd, char ***ret)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	size_t count = 0, room = 64;
	char **names = calloc(room + 1, sizeof(*names));
	struct dirent *entry;

	if (!names)
		return -ENOMEM;
	if (!folder)
		close_keeping_errno(fd);
	while (folder && count < HOST_ETC_FILES_MAX && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (count == room) {
			char **bigger = realloc(names, (2 * room + 1) * sizeof(*names));

			if (!bigger)
				break;
			names = bigger;
			room *= 2;
		}
		names[count] = strdup(entry->d_name);
		if (!names[count])
			break;
		names[++count] = NULL;
	}
	qsort(names, count, sizeof(*names), compare_names);
	*ret = names;
	return 0;
}

static void free_names(char **names)
{
	for (char **p = names; p && *p; p++)
		free(*p);
	free(names);
}

/* to is -1 while counting. */
static int take_folder(struct hands *hands, int from, const char *name, int to, unsigned int depth)
{
	_cleanup_close_ int in = openat(
				    from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
			    out = -1;
	char **names = NULL;
	int r = 0;

	if (in < 0 || depth == 0)
		return 0;
	if (to >= 0) {
		if (mkdirat(to, name, 0755) < 0 && errno != EEXIST)
			return err_set(hands->err, -errno, "/etc snapshot: cannot make %s: %s",
				name, strerror(errno));
		out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (out < 0 || fchmod(out, 0755) < 0)
			return err_set(
				hands->err, -errno, "/etc snapshot: %s: %s", name, strerror(errno));
	}
	r = list_folder(in, &names);
	for (char **p = names; r == 0 && *p; p++)
		r = take(hands, in, *p, out, depth - 1);
	free_names(names);
	return r;
}

static int take(struct hands *hands, int from, const char *name, int to, unsigned int depth)
{
	struct stat st;
	int r;

	if (matches_any(name, never, ARRAY_SIZE(never)) ||
		fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode) && (st.st_mode & 0005) != 0005)
		return 0;
	r = count_file(hands, name, &st);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return take_folder(hands, from, name, to, depth);
	if (to < 0)
		return 0;
	if (S_ISLNK(st.st_mode))
		return copy_link(hands, from, name, to);
	return S_ISREG(st.st_mode) ? copy_file(hands, from, name, to) : 0;
}

/* Of one folder of the list, only the listed names in it: "apt/sources.list". */
static int take_inner(struct hands *hands, int from, const char *folder, int to)
{
	_cleanup_close_ int in = openat(
				    from, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
			    out = -1;
	size_t prefix = strlen(folder);
	struct stat st;
	int r = 0;

	if (in < 0 || fstat(in, &st) < 0 || (st.st_mode & 0001) == 0)
		return 0;
	if (to >= 0) {
		if (mkdirat(to, folder, 0755) < 0 && errno != EEXIST)
			return err_set(hands->err, -errno, "/etc snapshot: cannot make %s: %s",
				folder, strerror(errno));
		out = openat(to, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (out < 0 || fchmod(out, 0755) < 0)
			return err_set(hands->err, -errno, "/etc snapshot: %s: %s", folder,
				strerror(errno));
	}
	for (size_t i = 0; i < ARRAY_SIZE(listed) && r == 0; i++)
		if (strncmp(listed[i], folder, prefix) == 0 && listed[i][prefix] == '/')
			r = take(hands, in, listed[i] + prefix + 1, out, HOST_ETC_DEPTH_MAX);
	return r;
}

/* /etc/localtime leads into /usr/share/zoneinfo as a link; where it leads elsewhere its content is what counts. */
static int take_localtime(struct hands *hands, int from, int to)
{
	_cleanup_close_ int in = openat(from, "localtime",
				    O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
			    out = -1;
	char text[65536];
	struct stat st;
	ssize_t n;

	if (in < 0 || fstat(in, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH))
		return 0;
	if (to < 0)
		return count_file(hands, "localtime", &st);
	n = read(in, text, sizeof(text));
	if (n < 4 || memcmp(text, "TZif", 4) != 0)
		return 0;
	out = openat(to, "localtime", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (out < 0 || fdio_write_full(out, text, (size_t)n) < 0 || fchmod(out, 0644) < 0)
		return err_set(hands->err, -errno, "/etc snapshot: cannot write localtime: %s",
			strerror(errno));
	return 0;
}

static bool has_inner(const char *name)
{
	size_t prefix = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		if (strncmp(listed[i], name, prefix) == 0 && listed[i][prefix] == '/')
			return true;
	return false;
}

/* The whole of the list. to is -1 to count only. */
static int walk(struct hands *hands, int from, int to)
{
	char **names = NULL;
	int r = list_folder(from, &names);

	for (char **p = names; r == 0 && *p; p++)
		if (matches_any(*p, listed, ARRAY_SIZE(listed)))
			r = take(hands, from, *p, to, HOST_ETC_DEPTH_MAX);
		else if (has_inner(*p))
			r = take_inner(hands, from, *p, to);
	free_names(names);
	return r < 0 ? r : take_localtime(hands, from, to);
}

static int digest_source(int from, char ret_hex[static DIGEST_HEX_LEN + 1], struct err *err)
{
	struct hands hands = { .err = err };
	int r = digest_create(&hands.digest);

	if (r < 0)
		return err_set(err, r, "/etc snapshot: out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		digest_add(hands.digest, listed[i], strlen(listed[i]) + 1);
	r = walk(&hands, from, -1);
	if (r == 0 && (r = digest_final(hands.digest, ret_hex)) < 0)
		err_set(err, r, "/etc snapshot: OpenSSL failed");
	digest_destroy(hands.digest);
	return r;
}

static bool stamp_is(const char *stamp, const char *hex)
{
	_cleanup_free_ char *text = NULL;

	return fdio_read_file(AT_FDCWD, stamp, DIGEST_HEX_LEN, &text, NULL) == 0 &&
	       strcmp(text, hex) == 0;
}

static int remove_tree(int parent, const char *name, unsigned int depth)
{
	_cleanup_close_ int fd = -1;
	char **names = NULL;
	int r;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || depth == 0)
		return -errno;
	r = list_folder(fd, &names);
	for (char **p = names; r == 0 && *p; p++)
		r = remove_tree(fd, *p, depth - 1);
	free_names(names);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int host_etc_build(const char *source, const char *folder, struct err *err)
{
	_cleanup_close_ int from = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1;
	char stamp[PATH_MAX], hex[DIGEST_HEX_LEN + 1];
	struct hands hands = { .err = err };
	int r;

	if (from < 0)
		return err_set(err, -errno, "/etc snapshot: %s: %s", source, strerror(errno));
	if (snprintf(stamp, sizeof(stamp), "%s" STAMP, folder) >= (int)sizeof(stamp))
		return err_set(
			err, -ENAMETOOLONG, "/etc snapshot: %s: the path is too long", folder);
	r = digest_source(from, hex, err);
	if (r < 0 || stamp_is(stamp, hex))
		return r;
	unlink(stamp);
	r = remove_tree(AT_FDCWD, folder, HOST_ETC_DEPTH_MAX + 3);
	if (r == 0)
		r = fdio_mkdir_parents(folder, 0755);
	if (r < 0)
		return err_set(err, r, "/etc snapshot: %s: %s", folder, strerror(-r));
	to = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0 || fchmod(to, 0755) < 0)
		return err_set(err, -errno, "/etc snapshot: %s: %s", folder, strerror(errno));
	r = walk(&hands, from, to);
	if (r < 0)
		return r;
	r = fdio_write_file_atomic(AT_FDCWD, stamp, hex, DIGEST_HEX_LEN, 0600);
	return r < 0 ? err_set(err, r, "/etc snapshot: %s: %s", stamp, strerror(-r)) : 0;
}
