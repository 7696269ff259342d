/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/accounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/place.h"
#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"

#define SKELETON_FILE_MAX (64u << 10)
#define SKELETON_FILES	  16

/* The distribution's fixed numbers (base-passwd): files in /usr and packages rely on them. */
static const struct {
	const char *name, *home;
	uint16_t uid, gid;
} system_users[] = {
	{ "daemon", "/usr/sbin", 1, 1 },
	{ "bin", "/bin", 2, 2 },
	{ "sys", "/dev", 3, 3 },
	{ "games", "/usr/games", 5, 60 },
	{ "man", "/var/cache/man", 6, 12 },
	{ "lp", "/var/spool/lpd", 7, 7 },
	{ "mail", "/var/mail", 8, 8 },
	{ "news", "/var/spool/news", 9, 9 },
	{ "proxy", "/bin", 13, 13 },
	{ "www-data", "/var/www", 33, 33 },
	{ "backup", "/var/backups", 34, 34 },
	{ "_apt", "/nonexistent", 42, 65534 },
	{ "sshd", "/run/sshd", 104, 65534 },
	{ "nobody", "/nonexistent", 65534, 65534 },
};

static const struct {
	const char *name;
	uint16_t gid;
	bool joined; /* by the sandbox's user */
} system_groups[] = {
	{ "root", 0, false },
	{ "daemon", 1, false },
	{ "bin", 2, false },
	{ "sys", 3, false },
	{ "adm", 4, false },
	{ "tty", 5, false },
	{ "disk", 6, false },
	{ "lp", 7, false },
	{ "mail", 8, false },
	{ "news", 9, false },
	{ "man", 12, false },
	{ "proxy", 13, false },
	{ "kmem", 15, false },
	{ "dialout", 20, false },
	{ "cdrom", 24, false },
	{ "sudo", 27, false },
	{ "audio", 29, false },
	{ "www-data", 33, false },
	{ "backup", 34, false },
	{ "src", 40, false },
	{ "shadow", 42, false },
	{ "utmp", 43, false },
	{ "video", 44, false },
	{ "plugdev", 46, false },
	{ "staff", 50, false },
	{ "games", 60, false },
	{ "users", 100, true },
	{ "kvm", 104, true },
	{ "nogroup", 65534, false },
};

static void put_line(struct bytes_writer *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void put_line(struct bytes_writer *w, const char *format, ...)
{
	char line[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(line))
		w->failed = true;
	else
		bytes_put(w, line, (size_t)len);
}

void accounts_passwd(
	struct bytes_writer *w, const struct protocol_welcome *welcome, const char *shell)
{
	put_line(w, "root:x:0:0:root:/root:%s\n", shell);
	for (size_t i = 0; i < ARRAY_SIZE(system_users); i++)
		if (system_users[i].uid != welcome->uid)
			put_line(w, "%s:x:%u:%u:%s:%s:/usr/sbin/nologin\n", system_users[i].name,
				system_users[i].uid, system_users[i].gid, system_users[i].name,
				system_users[i].home);
	put_line(w, "%s:x:%u:%u:%s:/home/%s:%s\n", welcome->user, welcome->uid, welcome->gid,
		welcome->user, welcome->user, shell);
}

static void put_groups(struct bytes_writer *w, const struct protocol_welcome *welcome, bool shadow)
{
	bool sudo = welcome->flags & PROTOCOL_WELCOME_SUDO;

	for (size_t i = 0; i < ARRAY_SIZE(system_groups); i++) {
		bool joined = system_groups[i].joined || (sudo && system_groups[i].gid == 27);
		const char *member = joined ? welcome->user : "";

		if (shadow)
			put_line(w, "%s:*::%s\n", system_groups[i].name, member);
		else if (system_groups[i].gid != welcome->gid)
			put_line(w, "%s:x:%u:%s\n", system_groups[i].name, system_groups[i].gid,
				member);
	}
	if (shadow)
		put_line(w, "%s:!::\n", welcome->user);
	else
		put_line(w, "%s:x:%u:\n", welcome->user, welcome->gid);
}

void accounts_group(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	put_groups(w, welcome, false);
}

void accounts_gshadow(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	put_groups(w, welcome, true);
}

/* `*`: no password will do, and unlike `!` it does not lock the account, which an SSH server would mind. */
void accounts_shadow(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	put_line(w, "root:*:19700:0:99999:7:::\n");
	for (size_t i = 0; i < ARRAY_SIZE(system_users); i++)
		put_line(w, "%s:*:19700:0:99999:7:::\n", system_users[i].name);
	put_line(w, "%s:*:19700:0:99999:7:::\n", welcome->user);
}

void accounts_hosts(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	put_line(w, "127.0.0.1\tlocalhost\n");
	put_line(w, "127.0.1.1\t%s\n", welcome->hostname);
	put_line(w, "::1\tlocalhost ip6-localhost ip6-loopback\n");
}

void accounts_resolv_conf(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	if (welcome->flags & PROTOCOL_WELCOME_EGRESS)
		put_line(w, "nameserver 127.0.0.1\nnameserver ::1\n");
}

void accounts_sudoers(struct bytes_writer *w, const struct protocol_welcome *welcome)
{
	put_line(w, "Defaults\tenv_reset, !requiretty\n");
	put_line(w,
		"Defaults\tsecure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n");
	put_line(w, "root\tALL=(ALL:ALL) ALL\n");
	if (welcome->flags & PROTOCOL_WELCOME_SUDO)
		put_line(w, "%s\tALL=(ALL:ALL) NOPASSWD: ALL\n", welcome->user);
	put_line(w, "@includedir /etc/sudoers.d\n");
}

const char *accounts_shell(const char *root)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/usr/bin/bash", root);
	return access(path, X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

/* -- into the root -- */

struct placing {
	const char *root;
	int failed; /* the first errno */
};

static void place_etc(
	struct placing *p, const char *name, const void *content, size_t len, mode_t mode)
{
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/etc/%s", p->root, name);
	r = place_file(path, content, len, mode, 0, 0);
	if (r < 0) {
		log_warn("/etc/%s: %s", name, strerror(-r));
		p->failed = p->failed ? p->failed : r;
	}
}

static bool is_user(const struct protocol_welcome *welcome, const char *name, size_t len)
{
	if ((len && name[0] == '#') || (len == 4 && memcmp(name, "root", 4) == 0))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(system_users); i++)
		if (strlen(system_users[i].name) == len &&
			memcmp(system_users[i].name, name, len) == 0)
			return true;
	return strlen(welcome->user) == len && memcmp(welcome->user, name, len) == 0;
}

static bool is_group(const struct protocol_welcome *welcome, const char *name, size_t len)
{
	if (len && name[0] == '#')
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(system_groups); i++)
		if (strlen(system_groups[i].name) == len &&
			memcmp(system_groups[i].name, name, len) == 0)
			return true;
	return strlen(welcome->user) == len && memcmp(welcome->user, name, len) == 0;
}

void accounts_overrides(struct bytes_writer *w, const struct protocol_welcome *welcome,
	const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		const char *next = stop ? stop + 1 : end;
		const char *user = memchr(text, ' ', (size_t)(next - text));
		const char *group = user ? memchr(user + 1, ' ', (size_t)(next - user - 1)) : NULL;

		if (group && is_user(welcome, text, (size_t)(user - text)) &&
			is_group(welcome, user + 1, (size_t)(group - user - 1)))
			bytes_put(w, text, (size_t)(next - text));
		text = next;
	}
}

static void place_packages(const char *root, const struct protocol_welcome *welcome)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	struct stat st;
	size_t len;

	/* apt warns of this folder's absence at each call. */
	snprintf(path, sizeof(path), "%s/etc/apt", root);
	if (stat(path, &st) == 0) {
		snprintf(path, sizeof(path), "%s/etc/apt/apt.conf.d", root);
		(void)place_folder(path, 0755, 0, 0);
	}
	snprintf(path, sizeof(path), "%s/var/lib/dpkg/statoverride", root);
	if (fdio_read_file(AT_FDCWD, path, ACCOUNTS_TEXT_MAX, &text, &len) == 0) {
		static uint8_t kept[ACCOUNTS_TEXT_MAX];
		struct bytes_writer w = bytes_writer(kept, sizeof(kept));

		accounts_overrides(&w, welcome, text, len);
		if (w.offset != len)
			(void)place_file(path, kept, w.offset, 0644, 0, 0);
	}
}

static bool etc_has(const struct placing *p, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/etc/%s", p->root, name);
	return lstat(path, &st) == 0;
}

static void place_missing(struct placing *p, const char *name, const char *content)
{
	if (!etc_has(p, name))
		place_etc(p, name, content, strlen(content), 0644);
}

typedef void accounts_text_fn(struct bytes_writer *w, const struct protocol_welcome *welcome);

static void place_text(struct placing *p, const char *name, mode_t mode, accounts_text_fn *fn,
	const struct protocol_welcome *welcome)
{
	static uint8_t text[ACCOUNTS_TEXT_MAX];
	struct bytes_writer w = bytes_writer(text, sizeof(text));

	fn(&w, welcome);
	if (w.failed)
		p->failed = p->failed ? p->failed : -EFBIG;
	else
		place_etc(p, name, text, w.offset, mode);
}

static void place_passwd(struct placing *p, const struct protocol_welcome *welcome)
{
	static uint8_t text[ACCOUNTS_TEXT_MAX];
	struct bytes_writer w = bytes_writer(text, sizeof(text));

	accounts_passwd(&w, welcome, accounts_shell(p->root));
	place_etc(p, "passwd", text, w.offset, 0644);
}

/* sudo asks PAM even where its own rules ask for no password. Others than root and sudo's users have no way in here. */
static void place_pam(struct placing *p)
{
	static const char *const permit =
		"auth required pam_permit.so\naccount required pam_permit.so\n"
		"session required pam_permit.so\n";
	static const char *const rootok =
		"auth sufficient pam_rootok.so\nauth required pam_deny.so\n"
		"account required pam_permit.so\nsession required pam_permit.so\n";
	static const char *const deny =
		"auth required pam_deny.so\naccount required pam_permit.so\n"
		"password required pam_deny.so\nsession required pam_permit.so\n";

	place_etc(p, "pam.d/sudo", permit, strlen(permit), 0644);
	place_etc(p, "pam.d/sudo-i", permit, strlen(permit), 0644);
	place_etc(p, "pam.d/su", rootok, strlen(rootok), 0644);
	place_etc(p, "pam.d/su-l", rootok, strlen(rootok), 0644);
	place_etc(p, "pam.d/runuser", rootok, strlen(rootok), 0644);
	/* sshd in inetd mode: keys only, judged by itself. */
	place_etc(p, "pam.d/sshd", permit, strlen(permit), 0644);
	place_etc(p, "pam.d/other", deny, strlen(deny), 0644);
}

static uint32_t place_sudo(struct placing *p, const struct protocol_welcome *welcome)
{
	char path[PATH_MAX];
	int before = p->failed;
	struct stat st;

	snprintf(path, sizeof(path), "%s/etc/sudoers.d", p->root);
	(void)place_folder(path, 0750, 0, 0);
	place_text(p, "sudoers", 0440, accounts_sudoers, welcome);
	place_pam(p);
	snprintf(path, sizeof(path), "%s/usr/bin/sudo", p->root);
	if (p->failed != before || !(welcome->flags & PROTOCOL_WELCOME_SUDO))
		return p->failed != before ? PROTOCOL_DEGRADED_SUDO : 0;
	return stat(path, &st) == 0 && (st.st_mode & S_ISUID) && st.st_uid == 0
		       ? 0
		       : PROTOCOL_DEGRADED_SUDO;
}

static void place_names(struct placing *p, const struct protocol_welcome *welcome)
{
	char line[256];

	place_text(p, "hosts", 0644, accounts_hosts, welcome);
	snprintf(line, sizeof(line), "%s\n", welcome->hostname);
	place_etc(p, "hostname", line, strlen(line), 0644);
	place_text(p, "resolv.conf", 0644, accounts_resolv_conf, welcome);
	snprintf(line, sizeof(line), "%s:100000:65536\n", welcome->user);
	place_etc(p, "subuid", line, strlen(line), 0644);
	place_etc(p, "subgid", line, strlen(line), 0644);
	place_missing(p, "nsswitch.conf",
		"passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\n"
		"networks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n");
	place_missing(p, "shells", "/bin/sh\n/bin/bash\n/usr/bin/bash\n/usr/bin/sh\n");
	place_missing(p, "host.conf", "multi on\n");
	/*
	 * A workspace's index holds what the host's git saw of each file: its uid, device, inode and change time, all different
	 * here. By time and size the guest's git need not read every file anew after the host's has looked at them.
	 */
	place_missing(p, "gitconfig", "[core]\n\tcheckStat = minimal\n");
}

static void place_skeleton(const char *root, const struct protocol_welcome *welcome)
{
	char path[PATH_MAX];
	_cleanup_closedir_ DIR *list = NULL;
	struct dirent *entry;
	int left = SKELETON_FILES;

	snprintf(path, sizeof(path), "%s/etc/skel", root);
	list = opendir(path);
	while (list && (entry = readdir(list)) != NULL && left-- > 0) {
		_cleanup_free_ char *text = NULL;
		struct stat st;
		size_t len;

		if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		if (fdio_read_file(dirfd(list), entry->d_name, SKELETON_FILE_MAX, &text, &len) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/home/%s/%s", root, welcome->user, entry->d_name);
		(void)place_file(path, text, len, 0644, welcome->uid, welcome->gid);
	}
}

uint32_t accounts_write(const char *root, const struct protocol_welcome *welcome)
{
	struct placing p = { .root = root };
	char path[PATH_MAX];
	uint32_t degraded;

	place_passwd(&p, welcome);
	place_text(&p, "group", 0644, accounts_group, welcome);
	place_text(&p, "shadow", 0600, accounts_shadow, welcome);
	place_text(&p, "gshadow", 0600, accounts_gshadow, welcome);
	place_names(&p, welcome);
	degraded = place_sudo(&p, welcome);
	snprintf(path, sizeof(path), "%s/home/%s", root, welcome->user);
	if (place_folder(path, 0755, welcome->uid, welcome->gid) < 0)
		degraded |= PROTOCOL_DEGRADED_FILES;
	place_skeleton(root, welcome);
	place_packages(root, welcome);
	return degraded | (p.failed ? PROTOCOL_DEGRADED_ETC : 0);
}
