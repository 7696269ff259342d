/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/p9_client.h"
#include "tests/lib/share_dir.h"
#include "tests/lib/virtq_driver.h"
#include "vmm/base/array.h"
#include "vmm/devices/p9.h"
#include "vmm/share/handles.h"

#define O_9P_WRONLY 01u
#define O_9P_RDWR   02u
#define O_9P_EXCL   0200u
#define O_9P_TRUNC  01000u
#define O_9P_APPEND 02000u

struct fixture {
	struct share_dir dir;
	struct p9_server *server;
	struct p9_client *client;
	uint32_t root; /* attached as `sandbox` */
};

static void start(struct fixture *f, enum idmap_kind kind, bool readonly, uint32_t fds_max)
{
	struct share_config config = {
		.root_fd = f->dir.share_fd,
		.proc_fd = f->dir.proc_fd,
		.proc_path = "/proc/self/fd",
		.kind = kind,
		.readonly = readonly,
		.fds_max = fds_max,
	};

	assert_int_equal(p9_server_create(&config, &f->server, NULL), 0);
	f->client = p9_client_create(f->server);
	assert_int_equal(p9_client_attach(f->client, IDMAP_GUEST_ID, &f->root), 0);
}

static int set_up_empty(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	share_dir_init(&f->dir);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	set_up_empty(state);
	start(*state, IDMAP_MAPPED, false, 0);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	p9_client_destroy(f->client);
	p9_server_destroy(f->server);
	share_dir_finish(&f->dir);
	free(f);
	return 0;
}

#define S(...)	 share_dir_path(&f->dir, "share/" __VA_ARGS__)
#define OUT(...) share_dir_path(&f->dir, "outside/" __VA_ARGS__)

static uint32_t walk(struct fixture *f, const char *path)
{
	uint32_t fid = 0;

	assert_int_equal(p9_client_walk(f->client, f->root, path, &fid), 0);
	return fid;
}

static uint32_t create_as(
	struct fixture *f, uint32_t root, const char *name, uint32_t mode, uint32_t gid)
{
	uint32_t fid = 0;

	assert_int_equal(p9_client_walk(f->client, root, "", &fid), 0);
	assert_int_equal(
		p9_client_create_file(f->client, fid, name, O_9P_RDWR | O_9P_EXCL, mode, gid), 0);
	return fid;
}

static uint32_t create(struct fixture *f, const char *name, uint32_t mode)
{
	return create_as(f, f->root, name, mode, IDMAP_GUEST_ID);
}

static struct p9_client_stat stat_fid(struct fixture *f, uint32_t fid)
{
	struct p9_client_stat st = {};

	assert_int_equal(p9_client_getattr(f->client, fid, &st), 0);
	return st;
}

static struct p9_client_stat stat_path(struct fixture *f, const char *path)
{
	uint32_t fid = walk(f, path);
	struct p9_client_stat st = stat_fid(f, fid);

	assert_int_equal(p9_client_clunk(f->client, fid), 0);
	return st;
}

static struct stat host_stat(const char *path)
{
	struct stat st = {};

	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	uint32_t fid = create(f, "a", 0644);
	char data[16];

	assert_int_equal(p9_client_write(f->client, fid, 0, "hello", 5), 5);
	assert_int_equal(p9_client_write(f->client, fid, 5, " you", 4), 4);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, sizeof(data)), 9);
	assert_memory_equal(data, "hello you", 9);
	assert_int_equal(p9_client_read(f->client, fid, 9, data, sizeof(data)), 0);
	assert_int_equal(stat_fid(f, fid).size, 9);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 0644);
	assert_int_equal(p9_client_clunk(f->client, fid), 0);
	assert_int_equal(p9_client_clunk(f->client, fid), -EBADF);
	assert_string_equal(share_dir_read(S("a")), "hello you");
	/* The host edits; the guest sees it. */
	share_dir_write(S("a"), "host");
	fid = walk(f, "a");
	assert_int_equal(p9_client_write(f->client, fid, 0, "x", 1), -EBADF);
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_int_equal(p9_client_open(f->client, fid, 0), -EBADF);
	assert_int_equal(p9_client_write(f->client, fid, 0, "x", 1), -EBADF);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, sizeof(data)), 4);
	assert_int_equal(p9_client_clunk(f->client, fid), 0);
	fid = walk(f, "a");
	assert_int_equal(p9_client_open(f->client, fid, O_9P_WRONLY | O_9P_APPEND), 0);
	assert_int_equal(p9_client_write(f->client, fid, 0, "++", 2), 2);
	assert_string_equal(share_dir_read(S("a")), "host++");
}

/* One piece, pieces of one byte and of odd lengths: a chain is a byte stream (V3). */
static void test_bulk(void **state)
{
	static uint8_t out[300000], in[300000];
	static const size_t splits[] = { 0, 4096, 1000, 1, 13 };
	struct fixture *f = *state;
	uint32_t fid = create(f, "bulk", 0600);

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
		f->client->split = splits[i];
		out[0]++;
		assert_int_equal(p9_client_write(f->client, fid, 0, out, sizeof(out)), sizeof(out));
		memset(in, 0, sizeof(in));
		assert_int_equal(p9_client_read(f->client, fid, 0, in, sizeof(in)), sizeof(in));
		assert_memory_equal(in, out, sizeof(out));
	}
}

static void test_creating_what_exists(void **state)
{
	struct fixture *f = *state;
	uint32_t fid = walk(f, "");

	share_dir_write(S("there"), "old");
	assert_int_equal(
		p9_client_create_file(f->client, fid, "there", O_9P_EXCL | O_9P_RDWR, 0600, 1000),
		-EEXIST);
	assert_int_equal(p9_client_create_file(f->client, fid, "there", O_9P_RDWR, 0600, 1000), 0);
	assert_int_equal(p9_client_write(f->client, fid, 0, "n", 1), 1);
	assert_string_equal(share_dir_read(S("there")), "nld");
	fid = walk(f, "");
	assert_int_equal(
		p9_client_create_file(f->client, fid, "there", O_9P_RDWR | O_9P_TRUNC, 0600, 1000),
		0);
	assert_string_equal(share_dir_read(S("there")), "");
}

/* S1 */
static void test_names_lead_nowhere(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} names[] = { { "../outside", 10 }, { "/", 1 }, { "/etc", 4 }, { "a/b", 3 }, { "a\0b", 3 },
		{ "", 0 }, { ".", 1 }, { "a\0", 2 }, { "sub/..", 6 } };
	struct fixture *f = *state;
	char huge[300];
	uint32_t fid;

	memset(huge, 'x', sizeof(huge));
	share_dir_write(S("a"), "");
	mkdir(S("sub"), 0755);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_true(p9_client_walk_raw(
				    f->client, f->root, names[i].name, names[i].len, &fid) < 0);
	assert_int_equal(
		p9_client_walk_raw(f->client, f->root, huge, sizeof(huge), &fid), -ENAMETOOLONG);
	for (size_t i = 0; i < 2; i++) {
		const char *bad = i ? "../b" : "..";

		assert_int_equal(p9_client_mkdir(f->client, f->root, bad, 0755, 0), -EINVAL);
		assert_int_equal(p9_client_symlink(f->client, f->root, bad, "x"), -EINVAL);
		assert_int_equal(p9_client_mknod(f->client, f->root, bad, 0644, 0, 0), -EINVAL);
		assert_int_equal(p9_client_unlink(f->client, f->root, bad, true), -EINVAL);
		assert_int_equal(p9_client_rename(f->client, f->root, "a", f->root, bad), -EINVAL);
		assert_int_equal(p9_client_rename(f->client, f->root, bad, f->root, "z"), -EINVAL);
		assert_int_equal(p9_client_link(f->client, f->root, walk(f, "a"), bad), -EINVAL);
		assert_int_equal(
			p9_client_create_file(f->client, walk(f, ""), bad, O_9P_RDWR, 0644, 0),
			-EINVAL);
	}
}

static void test_parents_end_at_the_root(void **state)
{
	struct fixture *f = *state;
	struct p9_client_stat root = stat_fid(f, f->root);
	uint32_t fid = walk(f, "..");

	assert_int_equal(stat_fid(f, fid).qid.path, root.qid.path);
	assert_int_equal(stat_path(f, "../../..").qid.path, root.qid.path);
	mkdir(S("d"), 0755);
	mkdir(S("d/e"), 0755);
	share_dir_write(S("d/file"), "");
	assert_int_equal(stat_path(f, "d/e/..").qid.path, stat_path(f, "d").qid.path);
	assert_int_equal(stat_path(f, "d/e/../..").qid.path, root.qid.path);
	/* A folder that was moved out of the share has no parent any more. */
	fid = walk(f, "d/e");
	assert_int_equal(rename(S("d/e"), OUT("e")), 0);
	assert_true(p9_client_walk(f->client, fid, "..", &fid) < 0);
}

/* S1: symlinks are read, never followed. */
static void test_symlinks(void **state)
{
	struct fixture *f = *state;
	char target[64];
	uint32_t fid, sub;

	share_dir_write(OUT("secret"), "secret");
	assert_int_equal(p9_client_symlink(f->client, f->root, "abs", f->dir.outside), 0);
	assert_int_equal(p9_client_symlink(f->client, f->root, "loop", "loop"), 0);
	assert_int_equal(p9_client_symlink(f->client, f->root, "up", "../outside/secret"), 0);
	fid = walk(f, "up");
	assert_int_equal(p9_client_readlink(f->client, fid, target, sizeof(target)), 0);
	assert_string_equal(target, "../outside/secret");
	assert_int_equal(stat_fid(f, fid).mode & S_IFMT, S_IFLNK);
	assert_int_equal(p9_client_open(f->client, fid, 0), -ELOOP);
	assert_true(p9_client_setattr(f->client, fid, P9_SET_SIZE, 0, 0, 0, 0) < 0);
	assert_int_equal(p9_client_walk(f->client, walk(f, "abs"), "secret", &sub), -ENOTDIR);
	assert_true(p9_client_walk(f->client, f->root, "abs/secret", &sub) < 0);
	assert_true(p9_client_walk(f->client, f->root, "loop/x", &sub) < 0);
	assert_true(p9_client_create_file(
			    f->client, walk(f, ""), "up", O_9P_RDWR | O_9P_TRUNC, 0644, 0) < 0);
	assert_string_equal(share_dir_read(OUT("secret")), "secret");
	/* A chmod of the link changes neither it nor what it names. */
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 0777, 0, 0, 0), 0);
	assert_int_equal(host_stat(OUT("secret")).st_mode & 0777, 0644);
}

/* S1: /proc inside a share (a bind mount in real life) has magic links; here, that none are followed by name. */
static void test_mounts_are_not_entered(void **state)
{
	struct fixture *f = *state;
	struct share_config config = {
		.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.proc_fd = f->dir.proc_fd,
		.proc_path = "/proc/self/fd",
		.kind = IDMAP_MAPPED,
	};
	struct p9_server *server;
	struct p9_client *client;
	uint32_t root, fid;

	assert_int_equal(p9_server_create(&config, &server, NULL), 0);
	client = p9_client_create(server);
	assert_int_equal(p9_client_attach(client, 0, &root), 0);
	assert_int_equal(p9_client_walk(client, root, "proc", &fid), -EXDEV);
	p9_client_destroy(client);
	p9_server_destroy(server);
}

/* S2: names swapped between two requests on fids of the old files. */
static void test_swaps(void **state)
{
	struct fixture *f = *state;
	uint32_t dir, file, fid;
	char data[16];

	mkdir(S("d"), 0755);
	share_dir_write(S("d/f"), "inside");
	share_dir_write(OUT("f"), "outside");
	dir = walk(f, "d");
	file = walk(f, "d/f");
	assert_int_equal(rename(S("d"), S("moved")), 0);
	assert_int_equal(symlink(f->dir.outside, S("d")), 0);
	/* The fid is the folder, wherever it is. */
	assert_int_equal(p9_client_walk(f->client, dir, "f", &fid), 0);
	assert_int_equal(p9_client_open(f->client, fid, O_9P_RDWR), 0);
	assert_int_equal(p9_client_write(f->client, fid, 0, "I", 1), 1);
	assert_int_equal(p9_client_open(f->client, file, 0), 0);
	assert_int_equal(p9_client_read(f->client, file, 0, data, 16), 6);
	assert_memory_equal(data, "Inside", 6);
	assert_string_equal(share_dir_read(OUT("f")), "outside");
	/* Replaced by a link under an unopened fid. */
	file = walk(f, "moved/f");
	assert_int_equal(rename(S("moved/f"), S("moved/g")), 0);
	assert_int_equal(symlink(OUT("f"), S("moved/f")), 0);
	assert_int_equal(p9_client_open(f->client, file, O_9P_WRONLY | O_9P_TRUNC), 0);
	assert_string_equal(share_dir_read(S("moved/g")), "");
	assert_string_equal(share_dir_read(OUT("f")), "outside");
	/* Tremove looks where the file is now, and never removes what took its name. */
	file = walk(f, "moved/g");
	assert_int_equal(rename(S("moved/g"), OUT("g")), 0);
	share_dir_write(S("moved/g"), "other");
	assert_true(p9_client_remove(f->client, file) < 0);
	assert_string_equal(share_dir_read(S("moved/g")), "other");
	assert_non_null(share_dir_read(OUT("g")));
}

/* S3 */
static void test_nothing_special_becomes_real(void **state)
{
	static const uint32_t types[] = { S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	struct fixture *f = *state;
	uint32_t guest_root, fid;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%zu", i);
		assert_int_equal(
			p9_client_mknod(f->client, f->root, name, types[i] | 0666, 1, 5), 0);
		st = host_stat(S("%s", name));
		assert_int_equal(st.st_mode, S_IFREG | 0666);
		assert_int_equal(stat_path(f, name).mode, types[i] | 0666);
		assert_int_equal(stat_path(f, name).rdev, i < 2 ? makedev(1, 5) : 0);
	}
	fid = create(f, "suid", 04755);
	assert_int_equal(host_stat(S("suid")).st_mode, S_IFREG | 0755);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 04755);
	/* Written, and the bit is gone: by this fid and by another. */
	assert_int_equal(p9_client_write(f->client, fid, 0, "x", 1), 1);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 0755);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 06711, 0, 0, 0), 0);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 06711);
	assert_int_equal(host_stat(S("suid")).st_mode, S_IFREG | 0711);
	assert_int_equal(p9_client_write(f->client, fid, 0, "x", 1), 1);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 0711);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 04755, 0, 0, 0), 0);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_SIZE, 0, 0, 0, 0), 0);
	assert_int_equal(stat_fid(f, fid).mode, S_IFREG | 0755);
	/* Foreign owners. */
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_UID | P9_SET_GID, 0, 0, 5, 0), 0);
	assert_int_equal(stat_fid(f, fid).uid, 0);
	assert_int_equal(stat_fid(f, fid).gid, 5);
	assert_int_equal(host_stat(S("suid")).st_uid, geteuid());
	assert_int_equal(p9_client_attach(f->client, 0, &guest_root), 0);
	fid = create_as(f, guest_root, "roots", 0640, 0);
	assert_int_equal(stat_fid(f, fid).uid, 0);
	assert_int_equal(stat_fid(f, fid).gid, 0);
	assert_int_equal(host_stat(S("roots")).st_uid, geteuid());
	/* Not by attributes either. */
	assert_int_equal(
		p9_client_setxattr(f->client, fid, "security.capability", "x", 1, 0), -EOPNOTSUPP);
	assert_int_equal(p9_client_setxattr(f->client, fid, "trusted.overlay.opaque", "y", 1, 0),
		-EOPNOTSUPP);
	assert_int_equal(
		p9_client_setxattr(f->client, fid, "user.virtfs.uid", "0000", 4, 0), -EOPNOTSUPP);
}

static void test_fifos_of_the_host(void **state)
{
	struct fixture *f = *state;
	uint32_t fid;

	assert_int_equal(mkfifo(S("fifo"), 0666), 0);
	fid = walk(f, "fifo");
	assert_int_equal(stat_fid(f, fid).mode & S_IFMT, S_IFIFO);
	assert_int_equal(p9_client_open(f->client, fid, 0), -ENXIO);
	assert_int_equal(p9_client_open(f->client, fid, O_9P_WRONLY), -ENXIO);
}

/* S4 */
static void test_files_linked_outside(void **state)
{
	struct fixture *f = *state;
	struct p9_server_counters counters;
	uint32_t fid, mine;
	char data[8];

	share_dir_write(OUT("pnpm"), "store");
	assert_int_equal(link(OUT("pnpm"), S("dep")), 0);
	fid = walk(f, "dep");
	assert_int_equal(p9_client_open(f->client, fid, O_9P_WRONLY), -EPERM);
	assert_int_equal(p9_client_open(f->client, fid, O_9P_TRUNC), -EPERM);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_SIZE, 0, 0, 0, 0), -EPERM);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 0777, 0, 0, 0), -EPERM);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_UID, 0, 0, 0, 0), -EPERM);
	assert_int_equal(p9_client_setxattr(f->client, fid, "user.x", "y", 1, 0), -EPERM);
	assert_int_equal(p9_client_link(f->client, f->root, fid, "more"), -EPERM);
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 8), 5);
	p9_server_read_counters(f->server, &counters);
	assert_true(counters.linked_outside >= 6);
	/* Each file once, for status to name. */
	assert_int_equal(p9_server_share(f->server)->refused_count, 1);
	assert_int_equal(
		p9_server_share(f->server)->refused[0].inode, host_stat(OUT("pnpm")).st_ino);
	assert_int_equal(
		p9_server_share(f->server)->refused[0].device, host_stat(OUT("pnpm")).st_dev);
	/* Replaced by rename, as package managers do. */
	mine = create(f, "new", 0644);
	assert_int_equal(p9_client_rename(f->client, f->root, "new", f->root, "dep"), 0);
	assert_int_equal(p9_client_write(f->client, mine, 0, "mine", 4), 4);
	assert_string_equal(share_dir_read(OUT("pnpm")), "store");
	/* Links that the guest made stay its own, as many as they are. */
	assert_int_equal(p9_client_link(f->client, f->root, mine, "l1"), 0);
	assert_int_equal(p9_client_link(f->client, f->root, mine, "l2"), 0);
	assert_int_equal(p9_client_write(f->client, mine, 0, "MINE", 4), 4);
	assert_int_equal(p9_client_unlink(f->client, f->root, "l1", false), 0);
	assert_int_equal(p9_client_write(f->client, mine, 0, "mine", 4), 4);
	/* And one that the host adds is not. */
	assert_int_equal(link(S("l2"), OUT("backup")), 0);
	assert_int_equal(p9_client_write(f->client, mine, 0, "evil", 4), -EPERM);
	assert_string_equal(share_dir_read(OUT("backup")), "mine");
}

/* S4: what is held stays what it was when the name in the share goes, and the only one left is outside. Found by fuzzing. */
static void test_files_left_outside(void **state)
{
	struct fixture *f = *state;
	uint32_t held, opened, late, moved;

	share_dir_write(OUT("pnpm"), "store");
	assert_int_equal(link(OUT("pnpm"), S("dep")), 0);
	assert_int_equal(link(OUT("pnpm"), S("dep2")), 0);
	held = walk(f, "dep");
	opened = walk(f, "dep");
	assert_int_equal(p9_client_open(f->client, opened, 0), 0);
	assert_int_equal(p9_client_unlink(f->client, f->root, "dep", false), 0);
	assert_int_equal(unlink(S("dep2")), 0); /* by the host */
	assert_int_equal(p9_client_setattr(f->client, opened, P9_SET_SIZE, 0, 0, 0, 0), -EPERM);
	assert_int_equal(p9_client_open(f->client, held, O_9P_WRONLY), -EPERM);
	assert_int_equal(p9_client_setattr(f->client, held, P9_SET_MODE, 0777, 0, 0, 0), -EPERM);
	assert_int_equal(p9_client_setxattr(f->client, held, "user.x", "y", 1, 0), -EPERM);
	assert_int_equal(p9_client_link(f->client, f->root, held, "again"), -EPERM);
	/* A file of the guest's own that the host links away afterwards: the name goes by removal, and by rename. */
	late = create(f, "late", 0644);
	moved = create(f, "moved", 0644);
	p9_client_clunk(f->client, create(f, "other", 0644));
	assert_int_equal(link(S("late"), OUT("late")), 0);
	assert_int_equal(link(S("moved"), OUT("moved")), 0);
	assert_int_equal(p9_client_unlink(f->client, f->root, "late", false), 0);
	assert_int_equal(p9_client_rename(f->client, f->root, "other", f->root, "moved"), 0);
	assert_int_equal(p9_client_write(f->client, late, 0, "evil", 4), -EPERM);
	assert_int_equal(p9_client_write(f->client, moved, 0, "evil", 4), -EPERM);
	assert_string_equal(share_dir_read(OUT("late")), "");
	assert_string_equal(share_dir_read(OUT("moved")), "");
	assert_string_equal(share_dir_read(OUT("pnpm")), "store");
	/* Two names inside, one goes: the other is the only one, and the guest's. */
	share_dir_write(S("a"), "1");
	assert_int_equal(link(S("a"), S("b")), 0);
	held = walk(f, "b");
	assert_int_equal(p9_client_open(f->client, held, O_9P_WRONLY), -EPERM);
	assert_int_equal(p9_client_unlink(f->client, f->root, "a", false), 0);
	assert_int_equal(p9_client_open(f->client, held, O_9P_WRONLY), 0);
	assert_int_equal(p9_client_write(f->client, held, 0, "2", 1), 1);
}

static void test_modes(void **state)
{
	struct fixture *f = *state;
	uint32_t fid = create(f, "ro", 0444);

	/* Owner read and write stay real; the guest sees what it asked for. */
	assert_int_equal(host_stat(S("ro")).st_mode & 07777, 0644);
	assert_int_equal(stat_fid(f, fid).mode & 07777, 0444);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 0555, 0, 0, 0), 0);
	assert_int_equal(host_stat(S("ro")).st_mode & 07777, 0755);
	assert_int_equal(stat_fid(f, fid).mode & 07777, 0555);
	/* A later chmod on the host wins, also one that looks like QEMU's mode or like what was there. */
	assert_int_equal(chmod(S("ro"), 0600), 0);
	assert_int_equal(stat_fid(f, fid).mode & 07777, 0600);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 0640, 0, 0, 0), 0);
	assert_int_equal(stat_fid(f, fid).mode & 07777, 0640);
	assert_int_equal(p9_client_mkdir(f->client, f->root, "d", 01777, 1000), 0);
	assert_int_equal(host_stat(S("d")).st_mode & 07777, 0777);
	assert_int_equal(stat_path(f, "d").mode, S_IFDIR | 01777);
	assert_int_equal(p9_client_mkdir(f->client, f->root, "e", 0500, 1000), 0);
	assert_int_equal(host_stat(S("e")).st_mode & 07777, 0700);
	assert_int_equal(stat_path(f, "e").mode, S_IFDIR | 0500);
	/* What was there before belongs to the guest's user. */
	share_dir_write(S("old"), "");
	assert_int_equal(stat_path(f, "old").uid, IDMAP_GUEST_ID);
	assert_int_equal(stat_path(f, "old").gid, IDMAP_GUEST_ID);
}

static void set_le(const char *path, const char *name, uint64_t value, size_t size)
{
	uint8_t data[8];

	store_le64(data, value);
	assert_int_equal(setxattr(path, name, data, size, 0), 0);
}

/* A tree that QEMU's mapped-xattr wrote. */
static void test_trees_of_qemu(void **state)
{
	struct fixture *f = *state;
	char target[32];
	uint32_t fid;

	if (!f->dir.xattrs)
		skip();
	share_dir_write(S("q"), "");
	assert_int_equal(chmod(S("q"), 0600), 0);
	set_le(S("q"), "user.virtfs.uid", 0, 4);
	set_le(S("q"), "user.virtfs.gid", 7, 4);
	set_le(S("q"), "user.virtfs.mode", S_IFREG | 04711, 4);
	assert_int_equal(stat_path(f, "q").mode, S_IFREG | 04711);
	assert_int_equal(stat_path(f, "q").uid, 0);
	assert_int_equal(stat_path(f, "q").gid, 7);
	share_dir_write(S("null"), "");
	assert_int_equal(chmod(S("null"), 0600), 0);
	set_le(S("null"), "user.virtfs.mode", S_IFCHR | 0666, 4);
	set_le(S("null"), "user.virtfs.rdev", makedev(1, 3), 8);
	assert_int_equal(stat_path(f, "null").mode, S_IFCHR | 0666);
	assert_int_equal(stat_path(f, "null").rdev, makedev(1, 3));
	share_dir_write(S("link"), "a/target");
	assert_int_equal(chmod(S("link"), 0600), 0);
	set_le(S("link"), "user.virtfs.mode", S_IFLNK | 0777, 4);
	fid = walk(f, "link");
	assert_int_equal(stat_fid(f, fid).mode & S_IFMT, S_IFLNK);
	assert_int_equal(p9_client_readlink(f->client, fid, target, sizeof(target)), 0);
	assert_string_equal(target, "a/target");
	/* The guest does not see how it is done. */
	assert_int_equal(p9_client_getxattr(f->client, walk(f, "q"), "", target, 32), 0);
	assert_int_equal(p9_client_getxattr(f->client, walk(f, "q"), "user.virtfs.uid", target, 32),
		-ENODATA);
}

static void test_xattrs(void **state)
{
	struct fixture *f = *state;
	uint32_t fid = create(f, "x", 04755), big;
	static uint8_t value[3000], back[4096];

	if (!f->dir.xattrs)
		skip();
	memset(value, 'v', sizeof(value));
	big = walk(f, "x");
	assert_int_equal(p9_client_setxattr(f->client, fid, "user.a", "1", 1, 0), -EBADF + EBADF);
	assert_int_equal(p9_client_setxattr(f->client, big, "user.b", value, sizeof(value), 0), 0);
	assert_int_equal(p9_client_getxattr(f->client, big, "user.b", back, sizeof(back)), 3000);
	assert_memory_equal(back, value, sizeof(value));
	assert_int_equal(p9_client_getxattr(f->client, big, "", back, sizeof(back)), 14);
	assert_int_equal(
		p9_client_setxattr(f->client, big, "user.a", "2", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(p9_client_setxattr(f->client, big, "user.a", "", 0, XATTR_REPLACE), 0);
	assert_int_equal(p9_client_getxattr(f->client, big, "user.a", back, 1), -ENODATA);
	assert_int_equal(p9_client_setxattr(f->client, big, "user.empty", "", 0, 0), 0);
	assert_int_equal(p9_client_getxattr(f->client, big, "user.empty", back, 1), 0);
	/* Caps: values that are begun, and their size. */
	for (uint32_t i = 0; i <= P9_XATTRS_MAX; i++) {
		uint32_t clone = walk(f, "x");

		p9_client_begin(f->client, P9_TXATTRCREATE);
		bytes_put_u32(&f->client->request, clone);
		bytes_put_text(&f->client->request, "user.c");
		bytes_put_u64(&f->client->request, i ? 1 : 65537);
		bytes_put_u32(&f->client->request, 0);
		assert_int_equal(p9_client_call(f->client), i ? 0 : -E2BIG);
	}
	assert_int_equal(p9_client_getxattr(f->client, big, "user.b", back, sizeof(back)), -ENOSPC);
}

/* S7 */
static void test_open_unlink_stat(void **state)
{
	struct fixture *f = *state;
	uint32_t fid = create(f, "gone", 0644), other;
	char data[8];

	assert_int_equal(p9_client_write(f->client, fid, 0, "data", 4), 4);
	other = walk(f, "gone");
	assert_int_equal(p9_client_unlink(f->client, f->root, "gone", false), 0);
	assert_int_equal(stat_fid(f, fid).nlink, 0);
	assert_int_equal(stat_fid(f, fid).size, 4);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 8), 4);
	assert_int_equal(
		p9_client_setattr(f->client, fid, P9_SET_SIZE | P9_SET_MODE, 0600, 0, 0, 2), 0);
	assert_int_equal(stat_fid(f, fid).size, 2);
	/* An fid from before can still be opened: it is the file. */
	assert_int_equal(p9_client_open(f->client, other, O_9P_RDWR), 0);
	assert_int_equal(p9_client_write(f->client, other, 2, "x", 1), 1);
	assert_int_equal(stat_fid(f, fid).size, 3);
	/* rename over an open file */
	fid = create(f, "over", 0644);
	assert_int_equal(p9_client_write(f->client, fid, 0, "old", 3), 3);
	p9_client_clunk(f->client, create(f, "fresh", 0644));
	assert_int_equal(p9_client_rename(f->client, f->root, "fresh", f->root, "over"), 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 8), 3);
	assert_int_equal(stat_path(f, "over").size, 0);
	/* by the number of the fid, old style */
	fid = walk(f, "over");
	assert_int_equal(p9_client_remove(f->client, fid), 0);
	assert_int_equal(p9_client_clunk(f->client, fid), -EBADF);
	assert_null(share_dir_read(S("over")));
}

struct listing {
	unsigned int count, dots;
	char names[256][16];
	uint64_t root_path;
};

static void list(
	void *data, const char *name, uint8_t type, const struct p9_qid *qid, uint64_t offset)
{
	struct listing *listing = data;

	(void)offset;
	if (name[0] == '.') {
		listing->dots++;
		assert_int_equal(type, DT_DIR);
		assert_int_equal(qid->path, listing->root_path);
		return;
	}
	assert_true(listing->count < 256);
	snprintf(listing->names[listing->count++], 16, "%s", name);
}

static void test_readdir(void **state)
{
	static const uint32_t counts[] = { 65536, 4096, 400 };
	struct fixture *f = *state;
	uint32_t fid;

	for (int i = 0; i < 200; i++)
		share_dir_write(S("file%d", i), "");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct listing listing = { .root_path = stat_fid(f, f->root).qid.path };

		fid = walk(f, "");
		assert_int_equal(p9_client_open(f->client, fid, 0200000), 0);
		assert_int_equal(p9_client_readdir(f->client, fid, counts[i], list, &listing), 0);
		assert_int_equal(listing.count, 200);
		assert_int_equal(listing.dots, 2); /* `..` of the root is the root */
		for (int k = 0; k < 200; k++)
			for (int l = 0; l < k; l++)
				assert_string_not_equal(listing.names[k], listing.names[l]);
	}
	/* Too small for any entry: an error, not an end. */
	p9_client_begin(f->client, P9_TREADDIR);
	bytes_put_u32(&f->client->request, fid);
	bytes_put_u64(&f->client->request, 0);
	bytes_put_u32(&f->client->request, 20);
	assert_int_equal(p9_client_call(f->client), -EINVAL);
}

struct removal {
	struct fixture *f;
	unsigned int seen[200];
};

static void list_and_remove(
	void *data, const char *name, uint8_t type, const struct p9_qid *qid, uint64_t offset)
{
	struct removal *removal = data;

	(void)type, (void)qid, (void)offset;
	if (name[0] != 'f')
		return;
	removal->seen[atoi(name + 1)]++;
	/* On the host's side, while the listing goes on. */
	unlink(share_dir_path(&removal->f->dir, "share/%s", name));
}

/* rm -r: cookies stay good while entries go. */
static void test_readdir_while_files_go(void **state)
{
	struct fixture *f = *state;
	struct removal removal = { .f = f };
	uint32_t fid = walk(f, "");

	for (int i = 0; i < 200; i++)
		share_dir_write(S("f%d", i), "");
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_int_equal(p9_client_readdir(f->client, fid, 600, list_and_remove, &removal), 0);
	for (int i = 0; i < 200; i++)
		assert_int_equal(removal.seen[i], 1);
}

static int lock(struct fixture *f, uint32_t fid, uint8_t type, uint64_t start, uint64_t length)
{
	int r;

	p9_client_begin(f->client, P9_TLOCK);
	bytes_put_u32(&f->client->request, fid);
	bytes_put_u8(&f->client->request, type);
	bytes_put_u32(&f->client->request, 1);
	bytes_put_u64(&f->client->request, start);
	bytes_put_u64(&f->client->request, length);
	bytes_put_u32(&f->client->request, 1);
	bytes_put_text(&f->client->request, "me");
	r = p9_client_call(f->client);
	return r < 0 ? r : bytes_get_u8(&f->client->reply);
}

static void test_locks(void **state)
{
	struct fixture *f = *state;
	uint32_t a = create(f, "l", 0644), b = walk(f, "l");
	int host = open(S("l"), O_RDWR | O_CLOEXEC);
	struct flock want = { .l_type = F_WRLCK, .l_start = 5, .l_len = 1 };

	assert_int_equal(lock(f, b, P9_LOCK_WRITE, 0, 10), -EBADF);
	assert_int_equal(p9_client_open(f->client, b, O_9P_RDWR), 0);
	assert_int_equal(lock(f, a, P9_LOCK_WRITE, 0, 10), P9_LOCK_SUCCESS);
	assert_int_equal(lock(f, b, P9_LOCK_READ, 9, 0), P9_LOCK_BLOCKED);
	assert_int_equal(lock(f, b, P9_LOCK_READ, 10, 0), P9_LOCK_SUCCESS);
	assert_int_equal(fcntl(host, F_OFD_SETLK, &want), -1); /* the host sees it too */
	assert_int_equal(lock(f, a, 9, 0, 10), -EINVAL);
	for (uint8_t type = P9_LOCK_READ; type <= P9_LOCK_UNLOCK; type++) {
		p9_client_begin(f->client, P9_TGETLOCK);
		bytes_put_u32(&f->client->request, b);
		bytes_put_u8(&f->client->request, type);
		bytes_put_u64(&f->client->request, 0);
		bytes_put_u64(&f->client->request, UINT64_MAX);
		bytes_put_u32(&f->client->request, 1);
		bytes_put_text(&f->client->request, "me");
		assert_int_equal(p9_client_call(f->client), 0);
		assert_int_equal(bytes_get_u8(&f->client->reply), P9_LOCK_WRITE);
		assert_int_equal(bytes_get_u64(&f->client->reply), 0);
		assert_int_equal(bytes_get_u64(&f->client->reply), 10);
	}
	assert_int_equal(p9_client_clunk(f->client, a), 0);
	want = (struct flock){ .l_type = F_WRLCK, .l_start = 5, .l_len = 1 };
	assert_int_equal(fcntl(host, F_OFD_SETLK, &want), 0);
	close(host);
}

/* V5 */
static void test_readonly(void **state)
{
	struct fixture *f = *state;
	uint32_t fid;

	share_dir_write(S("a"), "keep");
	start(f, IDMAP_MAPPED, true, 0);
	fid = walk(f, "a");
	assert_int_equal(p9_client_open(f->client, fid, O_9P_WRONLY), -EROFS);
	assert_int_equal(p9_client_open(f->client, fid, O_9P_TRUNC), -EROFS);
	assert_int_equal(p9_client_open(f->client, fid, O_9P_RDWR), -EROFS);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MODE, 0, 0, 0, 0), -EROFS);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_SIZE, 0, 0, 0, 0), -EROFS);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_MTIME, 0, 0, 0, 0), -EROFS);
	assert_int_equal(p9_client_setxattr(f->client, fid, "user.a", "1", 1, 0), -EROFS);
	assert_int_equal(p9_client_mkdir(f->client, f->root, "d", 0755, 0), -EROFS);
	assert_int_equal(p9_client_symlink(f->client, f->root, "s", "t"), -EROFS);
	assert_int_equal(p9_client_mknod(f->client, f->root, "n", 0644, 0, 0), -EROFS);
	assert_int_equal(p9_client_link(f->client, f->root, fid, "l"), -EROFS);
	assert_int_equal(p9_client_rename(f->client, f->root, "a", f->root, "b"), -EROFS);
	assert_int_equal(p9_client_unlink(f->client, f->root, "a", false), -EROFS);
	assert_int_equal(p9_client_remove(f->client, walk(f, "a")), -EROFS);
	assert_int_equal(
		p9_client_create_file(f->client, walk(f, ""), "c", O_9P_RDWR, 0644, 0), -EROFS);
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_int_equal(p9_client_write(f->client, fid, 0, "x", 1), -EBADF);
	assert_string_equal(share_dir_read(S("a")), "keep");
}

/* S11 */
static void test_strangers_only(void **state)
{
	struct fixture *f = *state;
	uint32_t fid, sub;
	char data[8];

	share_dir_write(S("public"), "p");
	share_dir_write(S("token"), "canary");
	chmod(S("token"), 0640);
	mkdir(S("closed"), 0755);
	share_dir_write(S("closed/in"), "canary");
	chmod(S("closed"), 0750);
	mkdir(S("blind"), 0755);
	share_dir_write(S("blind/known"), "k");
	chmod(S("blind"), 0711);
	start(f, IDMAP_HOST, false, 0);
	fid = walk(f, "public");
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 8), 1);
	assert_int_equal(p9_client_open(f->client, walk(f, "token"), 0), -EACCES);
	assert_true(p9_client_walk(f->client, f->root, "closed/in", &sub) < 0);
	assert_int_equal(p9_client_open(f->client, walk(f, "closed"), 0), -EACCES);
	assert_int_equal(p9_client_open(f->client, walk(f, "blind"), 0), -EACCES);
	assert_int_equal(p9_client_open(f->client, walk(f, "blind/known"), 0), 0);
	/* A host's system is never written, whatever was asked for. */
	assert_int_equal(p9_client_open(f->client, walk(f, "public"), O_9P_WRONLY), -EROFS);
	/* Set-id bits stay visible; owners too. */
	chmod(S("public"), 04755);
	assert_int_equal(stat_path(f, "public").mode & 07777, 04755);
	assert_int_equal(stat_path(f, "public").uid, geteuid() == IDMAP_NOBODY ? 0 : geteuid());
	/* The door is shut behind one who is in already. */
	assert_int_equal(p9_client_walk(f->client, walk(f, "blind"), "known", &sub), 0);
	chmod(S("blind"), 0700);
	assert_int_equal(p9_client_walk(f->client, walk(f, "blind"), "known", &sub), -EACCES);
}

static void test_internal_is_roots(void **state)
{
	struct fixture *f = *state;

	share_dir_write(S("hosts"), "");
	chmod(S("hosts"), 04755);
	start(f, IDMAP_INTERNAL, false, 0);
	assert_int_equal(stat_path(f, "hosts").uid, 0);
	assert_int_equal(stat_path(f, "hosts").gid, 0);
	assert_int_equal(stat_path(f, "hosts").mode & 07777, 0755);
	assert_int_equal(p9_client_mkdir(f->client, f->root, "d", 0755, 0), -EROFS);
}

/* S8, V9: many files known: fds are given back and found again; many open: refused. */
static void test_many_fids(void **state)
{
	struct fixture *f = *state;
	struct p9_server_counters counters;
	uint32_t fids[400], open[64];
	unsigned int opened = 0;

	start(f, IDMAP_MAPPED, false, 64);
	mkdir(S("d"), 0755);
	for (int i = 0; i < 400; i++) {
		share_dir_write(S("d/f%d", i), "");
		fids[i] = walk(f, "d");
		p9_client_clunk(f->client, fids[i]);
		fids[i] = walk(f, share_dir_path(&f->dir, "d/f%d", i) + strlen(f->dir.top) + 1);
	}
	p9_server_read_counters(f->server, &counters);
	assert_true(counters.handle_fds <= 64);
	assert_true(counters.evictions > 300);
	for (int i = 0; i < 400; i++)
		assert_int_equal(stat_fid(f, fids[i]).size, 0);
	/* The root was unused for long; it is still there. */
	assert_int_equal(stat_path(f, "d").mode & S_IFMT, S_IFDIR);
	/* What was moved or replaced meanwhile is stale, never another file. */
	for (int i = 0; i < 400; i++)
		stat_fid(f, fids[i]);
	rename(S("d/f0"), S("d/g0"));
	share_dir_write(S("d/f0"), "another");
	p9_client_begin(f->client, P9_TGETATTR);
	bytes_put_u32(&f->client->request, fids[0]);
	bytes_put_u64(&f->client->request, 0);
	assert_int_equal(p9_client_call(f->client), -ESTALE);
	while (opened < 64 && p9_client_open(f->client, open[opened] = walk(f, "d/g0"), 0) == 0)
		opened++;
	/* What is open comes before what is only known. */
	assert_int_equal(opened, 64 - HANDLES_FDS_MIN);
	p9_server_read_counters(f->server, &counters);
	assert_true(counters.open_fds + counters.handle_fds <= 64);
	assert_int_equal(p9_client_open(f->client, open[opened], 0), -EMFILE);
	assert_int_equal(p9_client_clunk(f->client, open[0]), 0);
	assert_int_equal(p9_client_open(f->client, open[opened], 0), 0);
	for (int i = 1; i < 400; i++)
		assert_int_equal(stat_fid(f, fids[i]).size, 0);
	p9_server_read_counters(f->server, &counters);
	assert_true(counters.open_fds + counters.handle_fds <= 64);
	assert_int_equal(counters.refused, 2);
	/* Tversion gives all of it back. */
	assert_int_equal(p9_client_version(f->client, 8192), 0);
	p9_server_read_counters(f->server, &counters);
	assert_int_equal(
		counters.fids + counters.handles + counters.handle_fds + counters.open_fds, 0);
	assert_int_equal(p9_client_open(f->client, fids[1], 0), -EBADF);
}

/* A guest that never lets go of a name. */
static void test_fid_flood(void **state)
{
	struct fixture *f = *state;
	uint32_t fid;
	int r = 0;

	for (uint32_t i = 0; i < P9_FIDS_MAX + 10 && r >= 0; i++)
		r = p9_client_walk(f->client, f->root, "", &fid);
	assert_int_equal(r, -ENFILE);
	assert_int_equal(p9_client_clunk(f->client, fid), 0);
	assert_int_equal(p9_client_walk(f->client, f->root, "", &fid), 0);
}

/* Linux's client adds 2 to a qid path to make an inode number: git's index, read on both sides, knows files by it. */
static void test_inode_numbers_are_the_hosts(void **state)
{
	struct fixture *f = *state;
	struct stat s;

	share_dir_write(S("file"), "");
	assert_int_equal(stat(S("file"), &s), 0);
	assert_int_equal(stat_path(f, "file").qid.path + 2, s.st_ino);
}

static void test_fid_rules(void **state)
{
	struct fixture *f = *state;
	struct p9_request dummy;
	uint32_t fid = create(f, "f", 0644), clone;

	(void)dummy;
	/* A created fid can be cloned; an opened one does not move. */
	assert_int_equal(p9_client_walk(f->client, fid, "", &clone), 0);
	assert_int_equal(stat_fid(f, clone).qid.path, stat_fid(f, fid).qid.path);
	for (int same = 0; same < 2; same++) {
		p9_client_begin(f->client, P9_TWALK);
		bytes_put_u32(&f->client->request, fid);
		bytes_put_u32(&f->client->request, same ? fid : clone);
		bytes_put_u16(&f->client->request, 0);
		assert_int_equal(p9_client_call(f->client), -EBADF);
	}
	/* Attach: no number twice, no NOFID, no auth. */
	for (int i = 0; i < 3; i++) {
		p9_client_begin(f->client, P9_TATTACH);
		bytes_put_u32(&f->client->request, i == 0 ? fid : i == 1 ? P9_NOFID : 12345);
		bytes_put_u32(&f->client->request, i == 2 ? fid : P9_NOFID);
		bytes_put_text(&f->client->request, "");
		bytes_put_text(&f->client->request, "");
		bytes_put_u32(&f->client->request, 0);
		assert_int_equal(p9_client_call(f->client), i == 2 ? -EOPNOTSUPP : -EBADF);
	}
	/* A walk that stops half-way makes no fid. */
	mkdir(S("d"), 0755);
	p9_client_begin(f->client, P9_TWALK);
	bytes_put_u32(&f->client->request, f->root);
	bytes_put_u32(&f->client->request, 777);
	bytes_put_u16(&f->client->request, 2);
	bytes_put_text(&f->client->request, "d");
	bytes_put_text(&f->client->request, "nothing");
	assert_int_equal(p9_client_call(f->client), 0);
	assert_int_equal(bytes_get_u16(&f->client->reply), 1);
	assert_int_equal(bytes_left(&f->client->reply), P9_QID_BYTES);
	assert_int_equal(p9_client_clunk(f->client, 777), -EBADF);
}

/* V7: frames that no kernel sends. */
static void test_bad_frames(void **state)
{
	static const uint8_t short_size[] = { 6, 0, 0, 0, P9_TCLUNK, 0, 0, 0, 0, 0, 0 };
	static const uint8_t long_size[] = { 200, 0, 0, 0, P9_TCLUNK, 0, 0, 0, 0, 0, 0 };
	static const uint8_t unknown[] = { 7, 0, 0, 0, 200, 1, 0 };
	static const uint8_t reply[] = { 11, 0, 0, 0, P9_TCLUNK + 1, 1, 0, 0, 0, 0, 0 };
	static const uint8_t write[] = { 23, 0, 0, 0, P9_TWRITE, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0xff, 0xff, 0xff, 0xff };
	struct fixture *f = *state;

	assert_int_equal(p9_client_raw(f->client, short_size, sizeof(short_size), 100), -EPROTO);
	assert_int_equal(p9_client_raw(f->client, unknown, 3, 100), -EPROTO);
	assert_int_equal(p9_client_raw(f->client, unknown, sizeof(unknown), 10), -EPROTO);
	assert_int_equal(p9_client_raw(f->client, unknown, sizeof(unknown), 0), -EPROTO);
	assert_int_equal(p9_client_raw(f->client, long_size, sizeof(long_size), 100), 11);
	assert_int_equal(load_le32(f->client->in + 7), EPROTO);
	assert_int_equal(p9_client_raw(f->client, unknown, sizeof(unknown), 11), 11);
	assert_int_equal(load_le32(f->client->in + 7), EOPNOTSUPP);
	assert_int_equal(p9_client_raw(f->client, reply, sizeof(reply), 100), 11);
	assert_int_equal(load_le32(f->client->in + 7), EOPNOTSUPP);
	assert_int_equal(p9_client_raw(f->client, write, sizeof(write), 100), 11);
	assert_int_equal(load_le32(f->client->in + 7), EPROTO);
	/* Room for an error but not for the answer. */
	p9_client_begin(f->client, P9_TGETATTR);
	bytes_put_u32(&f->client->request, f->root);
	bytes_put_u64(&f->client->request, 0);
	p9_end(&f->client->request, 0);
	assert_int_equal(
		p9_client_raw(f->client, f->client->out, f->client->request.offset, 50), 11);
	assert_int_equal(load_le32(f->client->in + 7), EMSGSIZE);
	/* No session yet, and one with too small a message. */
	p9_server_reset(f->server);
	assert_true(p9_client_clunk(f->client, f->root) < 0);
	assert_int_equal(p9_client_version(f->client, 100), -EMSGSIZE);
	assert_int_equal(p9_client_version(f->client, UINT32_MAX), 0);
	assert_int_equal(bytes_get_u32(&f->client->reply), P9_MSIZE_MAX);
}

/* S10: binaries of ours inside a share. */
static void test_protected_files(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	uint32_t fid;

	mkdir(S("build"), 0755);
	share_dir_write(S("build/vmm"), "binary");
	st = host_stat(S("build/vmm"));
	assert_int_equal(share_protect(p9_server_share(f->server), st.st_dev, st.st_ino), 0);
	st = host_stat(S("build"));
	assert_int_equal(share_protect(p9_server_share(f->server), st.st_dev, st.st_ino), 0);
	fid = walk(f, "build/vmm");
	assert_int_equal(p9_client_open(f->client, fid, O_9P_WRONLY), -EROFS);
	assert_int_equal(p9_client_setattr(f->client, fid, P9_SET_SIZE, 0, 0, 0, 0), -EROFS);
	assert_int_equal(p9_client_link(f->client, f->root, fid, "x"), -EROFS);
	assert_int_equal(p9_client_unlink(f->client, walk(f, "build"), "vmm", false), -EROFS);
	assert_int_equal(p9_client_remove(f->client, walk(f, "build/vmm")), -EROFS);
	assert_int_equal(p9_client_rename(f->client, f->root, "build", f->root, "old"), -EROFS);
	p9_client_clunk(f->client, create(f, "evil", 0755));
	assert_int_equal(
		p9_client_rename(f->client, f->root, "evil", walk(f, "build"), "vmm"), -EROFS);
	assert_int_equal(p9_client_open(f->client, fid, 0), 0);
	assert_string_equal(share_dir_read(S("build/vmm")), "binary");
	/* The rest of the folder is the guest's. */
	assert_int_equal(
		p9_client_rename(f->client, f->root, "evil", walk(f, "build"), "other"), 0);
}

static uint32_t opened_version(
	struct fixture *f, const char *name, uint32_t flags, uint32_t *ret_fid)
{
	*ret_fid = walk(f, name);
	assert_int_equal(p9_client_open(f->client, *ret_fid, flags), 0);
	bytes_get_u8(&f->client->reply);
	return bytes_get_u32(&f->client->reply);
}

/* Version 0 keeps newer kernels from caching. */
static void test_what_the_guest_may_cache(void **state)
{
	struct fixture *f = *state;
	uint32_t fid, late_root;

	share_dir_write(S("small"), "x");
	share_dir_write(S("large"), "x");
	assert_int_equal(truncate(S("large"), 1 << 20), 0);
	assert_int_equal(stat_path(f, "large").qid.version, 0);
	assert_int_equal(opened_version(f, "large", 0, &fid), 0);
	assert_int_equal(opened_version(f, "large", O_9P_RDWR | O_9P_TRUNC, &fid), 0);
	assert_int_equal(
		p9_client_attach_as(f->client, IDMAP_GUEST_ID, "late-writes", &late_root), 0);
	assert_int_equal(truncate(S("large"), 1 << 20), 0);
	assert_int_equal(stat_path(f, "large").qid.version, 0);
	assert_int_equal(opened_version(f, "small", 0, &fid), 0);
	assert_int_not_equal(opened_version(f, "small", O_9P_RDWR, &fid), 0);
	assert_int_not_equal(opened_version(f, "large", 0, &fid), 0);
	assert_int_equal(p9_client_link(f->client, f->root, walk(f, "small"), "other"), 0);
	assert_int_equal(opened_version(f, "other", O_9P_RDWR, &fid), 0);
	assert_int_not_equal(opened_version(f, "large", O_9P_RDWR, &fid), 0);
	assert_int_not_equal(opened_version(f, "large", O_9P_RDWR | O_9P_TRUNC, &fid), 0);
}

/* Who appends: the host, for a client that says where from when it is sent; a client that writes late, itself. */
static void test_appending(void **state)
{
	struct fixture *f = *state;
	uint32_t first, second, late_root;

	share_dir_write(S("log"), "0");
	opened_version(f, "log", O_9P_WRONLY | O_9P_APPEND, &first);
	opened_version(f, "log", O_9P_WRONLY | O_9P_APPEND, &second);
	assert_int_equal(p9_client_write(f->client, first, 1, "1", 1), 1);
	assert_int_equal(p9_client_write(f->client, second, 1, "2", 1), 1);
	assert_string_equal(share_dir_read(S("log")), "012");
	assert_int_equal(
		p9_client_attach_as(f->client, IDMAP_GUEST_ID, "late-writes", &late_root), 0);
	opened_version(f, "log", O_9P_RDWR | O_9P_APPEND, &second);
	assert_int_equal(p9_client_write(f->client, second, 1, "34", 2), 2);
	assert_string_equal(share_dir_read(S("log")), "034");
}

/* A kernel that believes a file longer than it is asks for the rest without end; who waits for a file to grow does not. */
static void test_endless_rest(void **state)
{
	struct fixture *f = *state;
	uint32_t fid;
	uint8_t data[64];
	int r = 0, asked;

	share_dir_write(S("cut"), "0123456789");
	opened_version(f, "cut", 0, &fid);
	for (asked = 0; asked < 3000 && r == 0; asked++)
		r = p9_client_read(f->client, fid, 10, data, sizeof(data));
	assert_int_equal(r, 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 30), 10);
	for (asked = 0; asked < 900 && r == 0; asked++)
		r = p9_client_read(f->client, fid, 10, data, 20);
	assert_int_equal(r, 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 30), 10);
	for (asked = 0; asked < 3000 && r == 0; asked++)
		r = p9_client_read(f->client, fid, 10, data, 20);
	assert_int_equal(r, -ESTALE);
	assert_int_equal(p9_client_read(f->client, fid, 10, data, 20), 0);
	assert_int_equal(p9_client_read(f->client, fid, 0, data, 30), 10);
}

/* The whole device, over a queue. */
static void test_device(void **state)
{
	struct fixture *f = *state;
	struct share_config config = {
		.root_fd = f->dir.share_fd,
		.proc_fd = f->dir.proc_fd,
		.proc_path = "/proc/self/fd",
		.kind = IDMAP_MAPPED,
	};
	static const uint8_t version[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0x00, 0xd0, 0x07, 0x00, 8,
		0, '9', 'P', '2', '0', '0', '0', '.', 'L' };
	struct fake_guest guest;
	struct virtio_device vdev;
	struct virtio_driver driver;
	uint8_t in[64] = {};
	struct p9 *p9;

	assert_int_equal(p9_create(&config, "workspace", &p9, NULL), 0);
	fake_guest_init(&guest, 1 << 20);
	virtio_device_init(&vdev, &p9_device_ops, p9, NULL, &guest.memory);
	virtio_driver_init(&driver, &guest, &vdev);
	assert_int_equal(virtio_driver_start(&driver, UINT64_MAX), 0);
	virtio_device_config_read(&vdev, 0, in, 11);
	assert_int_equal(load_le16(in), 9);
	assert_memory_equal(in + 2, "workspace", 9);
	for (size_t split = 0; split < 9; split++) {
		assert_int_equal(virtio_driver_call(&driver, 0, version, sizeof(version), in,
					 sizeof(in), split, split & 1),
			sizeof(version));
		assert_int_equal(in[4], P9_TVERSION + 1);
		assert_int_equal(load_le32(in + 7), 512000);
	}
	/* No room for any reply: the device needs a reset, and gets one. */
	assert_int_equal(
		virtio_driver_call(&driver, 0, version, sizeof(version), in, 4, 0, false), -EIO);
	assert_int_equal(vdev.faults, 1);
	virtio_driver_reset(&driver);
	assert_int_equal(virtio_driver_start(&driver, UINT64_MAX), 0);
	assert_int_equal(virtio_driver_call(&driver, 0, version, sizeof(version), in, 64, 0, false),
		sizeof(version));
	virtio_driver_reset(&driver);
	p9_destroy(p9);
	fake_guest_finish(&guest);
}

#define TEST(name)	 cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_EMPTY(name) cmocka_unit_test_setup_teardown(name, set_up_empty, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files),
		TEST(test_bulk),
		TEST(test_creating_what_exists),
		TEST(test_names_lead_nowhere),
		TEST(test_parents_end_at_the_root),
		TEST(test_symlinks),
		TEST(test_mounts_are_not_entered),
		TEST(test_swaps),
		TEST(test_nothing_special_becomes_real),
		TEST(test_fifos_of_the_host),
		TEST(test_files_linked_outside),
		TEST(test_files_left_outside),
		TEST(test_modes),
		TEST(test_trees_of_qemu),
		TEST(test_xattrs),
		TEST(test_open_unlink_stat),
		TEST(test_readdir),
		TEST(test_readdir_while_files_go),
		TEST(test_locks),
		TEST_EMPTY(test_readonly),
		TEST_EMPTY(test_strangers_only),
		TEST_EMPTY(test_internal_is_roots),
		TEST_EMPTY(test_many_fids),
		TEST(test_fid_flood),
		TEST(test_inode_numbers_are_the_hosts),
		TEST(test_fid_rules),
		TEST(test_bad_frames),
		TEST(test_protected_files),
		TEST(test_what_the_guest_may_cache),
		TEST(test_appending),
		TEST(test_endless_rest),
		TEST_EMPTY(test_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
