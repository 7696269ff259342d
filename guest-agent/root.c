/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/root.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/accounts.h"
#include "guest-agent/mounts.h"
#include "guest-agent/place.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"

#define NEW_ROOT   "/newroot"
#define LAYERS	   "/layers"
#define LOWER	   "/lower"
#define LAYER_SIZE "mode=755,size=75%" /* of memory; one tmpfs, so that the cap counts once */
#define RUN_SIZE   "mode=755,size=20%"

static const struct {
	const char *path;
	mode_t mode;
} folders[] = {
	{ "/root", 0700 },
	{ "/home", 0755 },
	{ "/tmp", 01777 },
	{ "/mnt", 0755 },
	{ "/opt", 0755 },
	{ "/srv", 0755 },
	{ "/var/tmp", 01777 },
	{ "/var/log", 0755 },
	{ "/var/lib/apt/lists/partial", 0755 },
	{ "/var/cache/apt/archives/partial", 0755 },
	{ "/var/cache/man", 0755 },
	{ "/var/lib/misc", 0755 },
	{ "/var/mail", 02775 },
	{ "/var/spool", 0755 },
	{ "/var/backups", 0755 },
	{ "/etc", 0755 },
};

/* Those of the merged /usr; a link is made where the image has its folder. */
static const char *const usr_links[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32" };

static const struct {
	enum protocol_mount_role role;
	const char *name; /* of its layer */
	const char *target; /* in the new root */
} overlays[] = {
	{ PROTOCOL_ROLE_USR, "usr", "/usr" },
	{ PROTOCOL_ROLE_ETC, "etc", "/etc" },
	{ PROTOCOL_ROLE_DPKG, "dpkg", "/var/lib/dpkg" },
};

static const struct protocol_mount *find_role(
	const struct protocol_welcome *welcome, enum protocol_mount_role role)
{
	for (uint16_t i = 0; i < welcome->mount_count; i++)
		if (welcome->mount[i].role == role)
			return &welcome->mount[i];
	return NULL;
}

/* A share that may be missing only costs a bit. */
static int judge(const struct protocol_mount *share, int r, uint32_t *degraded, struct err *err)
{
	if (r >= 0 || !(share->flags & PROTOCOL_MOUNT_OPTIONAL))
		return r;
	log_warn("%s", err->text);
	*degraded |= PROTOCOL_DEGRADED_SHARE;
	return 0;
}

static int bind_layer(struct err *err)
{
	if (fdio_mkdir_parents(LAYERS, 0755) < 0 || fdio_mkdir_parents(NEW_ROOT, 0755) < 0 ||
		mount("tmpfs", LAYERS, "tmpfs", 0, LAYER_SIZE) < 0)
		return err_set(err, -errno, "the writable layer: %s", strerror(errno));
	if (fdio_mkdir_parents(LAYERS "/root", 0755) < 0 ||
		mount(LAYERS "/root", NEW_ROOT, NULL, MS_BIND, NULL) < 0)
		return err_set(err, -errno, "the new root: %s", strerror(errno));
	return 0;
}

static int mount_overlay(const struct protocol_mount *share, size_t which, struct err *err)
{
	char lower[64], upper[64], work[64], target[64], options[512];
	const char *name = overlays[which].name;
	int r;

	snprintf(lower, sizeof(lower), LOWER "/%s", name);
	snprintf(upper, sizeof(upper), LAYERS "/%s/upper", name);
	snprintf(work, sizeof(work), LAYERS "/%s/work", name);
	snprintf(target, sizeof(target), NEW_ROOT "%s", overlays[which].target);
	r = mount_share(share, lower, overlays[which].role == PROTOCOL_ROLE_USR, err);
	if (r < 0)
		return r;
	if (fdio_mkdir_parents(upper, 0755) < 0 || fdio_mkdir_parents(work, 0755) < 0 ||
		fdio_mkdir_parents(target, 0755) < 0 ||
		!mount_overlay_options(lower, upper, work, options, sizeof(options)))
		return err_set(
			err, -EIO, "%s: cannot make the overlay's folders", overlays[which].target);
	if (mount("overlay", target, "overlay", MS_NODEV, options) < 0)
		return err_set(err, -errno, "%s: cannot mount the overlay: %s",
			overlays[which].target, strerror(errno));
	return 0;
}

static int mount_overlays(
	const struct protocol_welcome *welcome, uint32_t *degraded, struct err *err)
{
	if (!find_role(welcome, PROTOCOL_ROLE_USR))
		return err_set(err, -EINVAL, "the host named no share for /usr");
	for (size_t i = 0; i < ARRAY_SIZE(overlays); i++) {
		const struct protocol_mount *share = find_role(welcome, overlays[i].role);
		int r = share ? judge(share, mount_overlay(share, i, err), degraded, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static void make_folders(const char *root)
{
	char path[PATH_MAX], target[64];
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i].path);
		(void)place_folder(path, folders[i].mode, 0, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(usr_links); i++) {
		snprintf(path, sizeof(path), "%s/usr/%s", root, usr_links[i]);
		if (stat(path, &st) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", root, usr_links[i]);
		snprintf(target, sizeof(target), "usr/%s", usr_links[i]);
		(void)place_link(path, target);
	}
	snprintf(path, sizeof(path), "%s/var/run", root);
	(void)place_link(path, "/run");
	snprintf(path, sizeof(path), "%s/var/lock", root);
	(void)place_link(path, "/run/lock");
	snprintf(path, sizeof(path), "%s/etc/mtab", root);
	(void)place_link(path, "../proc/self/mounts");
}

static void make_run(const char *root)
{
	static const struct {
		const char *path;
		mode_t mode;
	} parts[] = { { "", 0755 }, { "/lock", 01777 }, { "/sandbox", 0755 }, { "/user", 0755 },
		{ "/sshd", 0755 } };
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/run", root);
	(void)fdio_mkdir_parents(path, 0755);
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, RUN_SIZE) < 0)
		log_warn("/run: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		snprintf(path, sizeof(path), "%s/run%s", root, parts[i].path);
		(void)place_folder(path, parts[i].mode, 0, 0);
	}
}

/* What a login would have made: XDG_RUNTIME_DIR's place. */
static void make_user_run(const char *root, const struct protocol_welcome *welcome)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/run/user/%u", root, welcome->uid);
	(void)place_folder(path, 0700, welcome->uid, welcome->gid);
}

static int move_kernel_mounts(struct err *err)
{
	static const char *const moved[] = { "/proc", "/sys", "/dev" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		snprintf(path, sizeof(path), NEW_ROOT "%s", moved[i]);
		(void)mkdir(path, 0755);
		if (mount(moved[i], path, NULL, MS_MOVE, NULL) < 0)
			return err_set(err, -errno, "%s: cannot move it into the root: %s",
				moved[i], strerror(errno));
	}
	return 0;
}

/*
 * Folders of the user's home that lead to a share or to a file of ours are the user's; those of a file (keys) are closed to
 * others, and its own name is left to place_file().
 */
static void make_home_parents(
	const char *root, const struct protocol_welcome *welcome, const char *target, bool is_file)
{
	char home[PROTOCOL_NAME_MAX + 16], path[PATH_MAX];
	size_t len;

	snprintf(home, sizeof(home), "/home/%s/", welcome->user);
	len = strlen(home);
	if (strncmp(target, home, len) != 0)
		return;
	for (const char *at = strchr(target + len, '/');; at = strchr(at + 1, '/')) {
		if (!at && is_file)
			return;
		snprintf(path, sizeof(path), "%s%.*s", root,
			at ? (int)(at - target) : (int)strlen(target), target);
		if (mkdir(path, is_file ? 0700 : 0755) == 0)
			(void)!lchown(path, welcome->uid, welcome->gid);
		if (!at)
			return;
	}
}

static int mount_plain(const struct protocol_welcome *welcome, const char *root, uint32_t *degraded,
	struct err *err)
{
	for (uint16_t i = 0; i < welcome->mount_count; i++) {
		const struct protocol_mount *share = &welcome->mount[i];
		char path[PATH_MAX + 16];
		int r;

		if (share->role != PROTOCOL_ROLE_PLAIN && share->role != PROTOCOL_ROLE_TOOLS)
			continue;
		snprintf(path, sizeof(path), "%s%s", root,
			share->role == PROTOCOL_ROLE_TOOLS ? "/run/sandbox/tools" : share->target);
		make_home_parents(root, welcome, share->target, false);
		r = judge(share, mount_share(share, path, false, err), degraded, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* dropbear of the tools layer starts its sftp server by a fixed name. */
static void link_tools(const struct protocol_welcome *welcome, const char *root)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/usr/lib/sftp-server", root);
	if (find_role(welcome, PROTOCOL_ROLE_TOOLS))
		(void)place_link(path, "/run/sandbox/tools/libexec/sftp-server");
}

static int enter(struct err *err)
{
	/* The running program keeps its pages; the rest of the initramfs is memory to give back. */
	(void)unlink("/init");
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		return err_set(err, -errno, "cannot enter the new root: %s", strerror(errno));
	return 0;
}

static void write_files(const struct protocol_welcome *welcome, uint32_t *degraded)
{
	char instance[PROTOCOL_NAME_MAX + 2];

	snprintf(instance, sizeof(instance), "%s\n", welcome->instance);
	if (place_file("/run/sandbox/instance", instance, strlen(instance), 0444, 0, 0) < 0)
		*degraded |= PROTOCOL_DEGRADED_FILES;
	for (uint16_t i = 0; i < welcome->file_count; i++) {
		const struct protocol_file *f = &welcome->file[i];
		int r;

		make_home_parents("", welcome, f->path, true);
		r = place_file(f->path, f->content, f->content_len, f->mode, f->uid, f->gid);
		if (r < 0) {
			log_warn("%s: %s", f->path, strerror(-r));
			*degraded |= PROTOCOL_DEGRADED_FILES;
		}
	}
}

int root_build(const struct protocol_welcome *welcome, uint32_t *ret_degraded,
	enum protocol_stage *ret_stage, struct err *err)
{
	bool host = welcome->root == PROTOCOL_ROOT_HOST;
	const char *root = host ? NEW_ROOT : "";
	struct err own = {};
	int r = 0;

	err = err ? err : &own;
	*ret_stage = PROTOCOL_STAGE_ROOT;
	if (host)
		r = bind_layer(err);
	if (r == 0 && host)
		r = mount_overlays(welcome, ret_degraded, err);
	if (r < 0)
		return r;
	make_folders(root);
	make_run(root);
	make_user_run(root, welcome);
	*ret_degraded |= accounts_write(root, welcome);
	if (host)
		r = move_kernel_mounts(err);
	if (r < 0)
		return r;
	*ret_stage = PROTOCOL_STAGE_MOUNT;
	r = mount_plain(welcome, root, ret_degraded, err);
	if (r < 0)
		return r;
	link_tools(welcome, root);
	*ret_stage = PROTOCOL_STAGE_ROOT;
	if (host)
		r = enter(err);
	if (r < 0)
		return r;
	*ret_stage = PROTOCOL_STAGE_FILES;
	write_files(welcome, ret_degraded);
	return 0;
}
