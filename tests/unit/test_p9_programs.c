/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S7: random programs of file operations, run twice: on a plain folder by system calls, and on a share, where each step is
 * taken by the guest (through 9p) or by the host (by system calls) as the dice fall. Each step must give the same result on
 * both sides, and in the end the two trees are the same, by the host's eyes and by the guest's.
 */
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
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/p9_client.h"
#include "tests/lib/share_dir.h"
#include "vmm/base/array.h"

#define PROGRAMS 30
#define STEPS	 600
#define SLOTS	 6
#define FILE_MAX 20000

static const char *const folders[] = { "", "d0", "d1", "d0/d2" };
static const char *const names[] = { "a", "b", "c", "d0", "d1", "d2" };

/* One opened file on both sides. */
struct slot {
	bool used;
	int plain_fd; /* in the plain folder */
	int host_fd; /* in the share, where the host opened it; -1: the guest did */
	uint32_t fid;
};

struct world {
	struct share_dir dir;
	struct p9_server *server;
	struct p9_client *client;
	uint32_t root;
	int plain, share; /* folders, for system calls */
	uint64_t random;
	struct slot slots[SLOTS];
	unsigned int ok, failed; /* steps */
};

static uint32_t roll(struct world *w, uint32_t below)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->random >> 33) % below;
}

/* A place in the tree. */
struct place {
	const char *folder, *name;
	char path[32];
};

static struct place pick(struct world *w)
{
	/* Folders seldom: a moved one takes its files out of reach. */
	uint32_t name = roll(w, 12) ? roll(w, 3) : 3 + roll(w, 3);
	struct place place = { folders[roll(w, ARRAY_SIZE(folders))], names[name], "" };

	snprintf(place.path, sizeof(place.path), "%s%s%s", place.folder, *place.folder ? "/" : "",
		place.name);
	return place;
}

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

/* The guest's way to a folder, or to a file: a fid, or -errno. */
static int64_t reach(struct world *w, const char *path)
{
	uint32_t fid;
	int r = p9_client_walk(w->client, w->root, path, &fid);

	return r < 0 ? r : (int64_t)fid;
}

static void let_go(struct world *w, int64_t fid)
{
	if (fid >= 0)
		assert_int_equal(p9_client_clunk(w->client, (uint32_t)fid), 0);
}

/* Names are resolved step by step on both sides; which of ENOENT and ENOTDIR a broken path gives is not compared. */
static int fold(int r)
{
	return r == -ENOTDIR ? -ENOENT : r;
}

static void same(struct world *w, const char *what, int plain, int shared)
{
	if (fold(plain) != fold(shared))
		fail_msg("%s: %d on a plain folder, %d on the share", what, plain, shared);
	if (plain < 0)
		w->failed++;
	else
		w->ok++;
}

static int guest_mkdir(struct world *w, const struct place *at)
{
	int64_t fid = reach(w, at->folder);
	int r = fid < 0 ? (int)fid
			: p9_client_mkdir(w->client, (uint32_t)fid, at->name, 0755, 1000);

	let_go(w, fid);
	return r;
}

static void step_mkdir(struct world *w, bool guest)
{
	struct place at = pick(w);

	same(w, "mkdir", result(mkdirat(w->plain, at.path, 0755)),
		guest ? guest_mkdir(w, &at) : result(mkdirat(w->share, at.path, 0755)));
}

static int guest_unlink(struct world *w, const struct place *at, bool folder)
{
	int64_t fid = reach(w, at->folder);
	int r = fid < 0 ? (int)fid : p9_client_unlink(w->client, (uint32_t)fid, at->name, folder);

	let_go(w, fid);
	return r;
}

static void step_unlink(struct world *w, bool guest)
{
	struct place at = pick(w);
	int folder = roll(w, 4) == 0 ? AT_REMOVEDIR : 0;

	same(w, "unlink", result(unlinkat(w->plain, at.path, folder)),
		guest ? guest_unlink(w, &at, folder) : result(unlinkat(w->share, at.path, folder)));
}

static int guest_rename(struct world *w, const struct place *from, const struct place *to)
{
	int64_t a = reach(w, from->folder), b = reach(w, to->folder);
	int r = a < 0 ? (int)a : (int)b;

	if (a >= 0 && b >= 0)
		r = p9_client_rename(w->client, (uint32_t)a, from->name, (uint32_t)b, to->name);
	let_go(w, a);
	let_go(w, b);
	return r < 0 ? r : 0;
}

static void step_rename(struct world *w, bool guest)
{
	struct place from = pick(w), to = pick(w);

	same(w, "rename", result(renameat(w->plain, from.path, w->plain, to.path)),
		guest ? guest_rename(w, &from, &to)
		      : result(renameat(w->share, from.path, w->share, to.path)));
}

static int guest_link(struct world *w, const struct place *from, const struct place *to)
{
	int64_t file = reach(w, from->path), folder = reach(w, to->folder);
	int r = file < 0 ? (int)file : (int)folder;

	if (file >= 0 && folder >= 0)
		r = p9_client_link(w->client, (uint32_t)folder, (uint32_t)file, to->name);
	let_go(w, file);
	let_go(w, folder);
	return r < 0 ? r : 0;
}

static void step_link(struct world *w, bool guest)
{
	struct place from = pick(w), to = pick(w);

	/* Links of the host's count as made outside, and change what the guest may do: only the guest makes them. */
	(void)guest;
	same(w, "link", result(linkat(w->plain, from.path, w->plain, to.path, 0)),
		guest_link(w, &from, &to));
}

static int guest_symlink(struct world *w, const struct place *at, const char *target)
{
	int64_t fid = reach(w, at->folder);
	int r = fid < 0 ? (int)fid : p9_client_symlink(w->client, (uint32_t)fid, at->name, target);

	let_go(w, fid);
	return r;
}

static void step_symlink(struct world *w, bool guest)
{
	struct place at = pick(w);
	/* Dangling: steps through links are the guest's kernel's work, not the server's. */
	const char *target = roll(w, 2) ? "../nowhere" : "nowhere/at/all";

	same(w, "symlink", result(symlinkat(target, w->plain, at.path)),
		guest ? guest_symlink(w, &at, target)
		      : result(symlinkat(target, w->share, at.path)));
}

/* Opens without following; the guest's kernel follows links itself, by other walks. */
static int64_t guest_open(struct world *w, const struct place *at, int flags)
{
	int64_t fid = reach(w, flags & O_CREAT ? at->folder : at->path);
	int r;

	if (fid < 0)
		return fid;
	r = flags & O_CREAT ? p9_client_create_file(w->client, (uint32_t)fid, at->name,
				      (uint32_t)(flags & ~O_CREAT), 0644, 1000)
			    : p9_client_open(w->client, (uint32_t)fid, (uint32_t)flags);
	if (r < 0)
		let_go(w, fid);
	return r < 0 ? r : fid;
}

static void step_open(struct world *w, bool guest)
{
	static const int flags[] = { O_RDWR, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT,
		O_RDWR | O_CREAT | O_TRUNC, O_RDWR | O_APPEND, O_RDWR | O_TRUNC };
	struct slot *slot = &w->slots[roll(w, SLOTS)];
	struct place at = pick(w);
	int how = flags[roll(w, ARRAY_SIZE(flags))], plain, r;

	if (slot->used)
		return;
	plain = openat(w->plain, at.path, how | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = plain < 0 ? -errno : 0;
	slot->host_fd = -1;
	if (guest) {
		int64_t fid = guest_open(w, &at, how);

		same(w, "open", r, fid < 0 ? (int)fid : 0);
		slot->fid = (uint32_t)fid;
	} else {
		slot->host_fd = openat(w->share, at.path, how | O_NOFOLLOW | O_CLOEXEC, 0644);
		same(w, "open by the host", r, slot->host_fd < 0 ? -errno : 0);
	}
	slot->used = plain >= 0;
	slot->plain_fd = plain;
}

static void step_close(struct world *w, bool guest)
{
	struct slot *slot = &w->slots[roll(w, SLOTS)];

	(void)guest;
	if (!slot->used)
		return;
	close(slot->plain_fd);
	if (slot->host_fd >= 0)
		close(slot->host_fd);
	else
		let_go(w, slot->fid);
	slot->used = false;
}

static void step_write(struct world *w, bool guest)
{
	struct slot *slot = &w->slots[roll(w, SLOTS)];
	uint64_t offset = roll(w, FILE_MAX / 2);
	uint32_t count = roll(w, FILE_MAX / 2);
	static uint8_t data[FILE_MAX];
	int64_t n;

	(void)guest;
	if (!slot->used)
		return;
	/* A kernel appends where it believes the end to be. */
	if (fcntl(slot->plain_fd, F_GETFL) & O_APPEND)
		offset = (uint64_t)lseek(slot->plain_fd, 0, SEEK_END);
	memset(data, (int)roll(w, 256), count);
	n = slot->host_fd >= 0 ? pwrite(slot->host_fd, data, count, (off_t)offset)
			       : p9_client_write(w->client, slot->fid, offset, data, count);
	assert_int_equal(pwrite(slot->plain_fd, data, count, (off_t)offset), n);
	w->ok++;
}

static void step_read(struct world *w, bool guest)
{
	struct slot *slot = &w->slots[roll(w, SLOTS)];
	uint64_t offset = roll(w, FILE_MAX / 2);
	static uint8_t data[FILE_MAX], plain[FILE_MAX];
	struct p9_client_stat st;
	struct stat plain_st;
	int64_t n;

	(void)guest;
	if (!slot->used || slot->host_fd >= 0)
		return;
	n = p9_client_read(w->client, slot->fid, offset, data, sizeof(data));
	assert_int_equal(pread(slot->plain_fd, plain, sizeof(plain), (off_t)offset), n);
	assert_memory_equal(data, plain, (size_t)n);
	/* Also when the name is long gone. */
	assert_int_equal(p9_client_getattr(w->client, slot->fid, &st), 0);
	assert_int_equal(fstat(slot->plain_fd, &plain_st), 0);
	assert_int_equal(st.size, plain_st.st_size);
	assert_int_equal(st.nlink, plain_st.st_nlink);
	assert_int_equal(st.mode, plain_st.st_mode);
	w->ok++;
}

static void step_truncate(struct world *w, bool guest)
{
	struct slot *slot = &w->slots[roll(w, SLOTS)];
	uint64_t size = roll(w, FILE_MAX);

	(void)guest;
	if (!slot->used)
		return;
	same(w, "truncate", result(ftruncate(slot->plain_fd, (off_t)size)),
		slot->host_fd >= 0
			? result(ftruncate(slot->host_fd, (off_t)size))
			: p9_client_setattr(w->client, slot->fid, P9_SET_SIZE, 0, 0, 0, size));
}

static int guest_chmod(struct world *w, const char *path, mode_t mode)
{
	int64_t fid = reach(w, path);
	int r = fid < 0 ? (int)fid
			: p9_client_setattr(w->client, (uint32_t)fid, P9_SET_MODE, mode, 0, 0, 0);

	let_go(w, fid);
	return r;
}

static bool is_link(struct world *w, const char *path)
{
	struct stat st;

	return fstatat(w->plain, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static void step_chmod(struct world *w, bool guest)
{
	struct place at = pick(w);
	mode_t mode = 0700 | roll(w, 0100);

	if (is_link(w, at.path))
		return;
	same(w, "chmod", result(fchmodat(w->plain, at.path, mode, 0)),
		guest ? guest_chmod(w, at.path, mode)
		      : result(fchmodat(w->share, at.path, mode, 0)));
}

static void (*const steps[])(struct world *w, bool guest) = { step_mkdir, step_unlink, step_rename,
	step_link, step_symlink, step_open, step_open, step_open, step_close, step_write,
	step_write, step_read, step_read, step_truncate, step_chmod };

/* The end: both trees, name by name. */

struct entries {
	unsigned int count;
	char names[64][16];
	uint8_t types[64];
};

static void add_entry(
	void *data, const char *name, uint8_t type, const struct p9_qid *qid, uint64_t offset)
{
	struct entries *entries = data;

	(void)qid, (void)offset;
	if (name[0] == '.')
		return;
	assert_true(entries->count < 64);
	entries->types[entries->count] = type;
	snprintf(entries->names[entries->count++], 16, "%s", name);
}

static void check_content(struct world *w, int plain, uint32_t fid, const char *name)
{
	static uint8_t data[2 * FILE_MAX], want[2 * FILE_MAX];
	int fd = openat(plain, name, O_RDONLY | O_CLOEXEC);
	int64_t n;

	assert_int_equal(p9_client_open(w->client, fid, 0), 0);
	n = p9_client_read(w->client, fid, 0, data, sizeof(data));
	assert_int_equal(read(fd, want, sizeof(want)), n);
	assert_memory_equal(data, want, (size_t)n);
	close(fd);
}

static void check_folder(struct world *w, int plain, uint32_t parent);

static void check_entry(struct world *w, int plain, uint32_t parent, const char *name)
{
	char target[32], want[32] = "";
	struct p9_client_stat st;
	struct stat plain_st;
	uint32_t fid;

	assert_int_equal(p9_client_walk(w->client, parent, name, &fid), 0);
	assert_int_equal(p9_client_getattr(w->client, fid, &st), 0);
	assert_int_equal(fstatat(plain, name, &plain_st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.mode, plain_st.st_mode);
	assert_int_equal(st.nlink, plain_st.st_nlink);
	if (S_ISDIR(st.mode)) {
		int sub = openat(plain, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		check_folder(w, sub, fid);
		close(sub);
	} else if (S_ISLNK(st.mode)) {
		assert_int_equal(p9_client_readlink(w->client, fid, target, sizeof(target)), 0);
		assert_true(readlinkat(plain, name, want, sizeof(want) - 1) > 0);
		assert_string_equal(target, want);
	} else {
		check_content(w, plain, fid, name);
	}
	let_go(w, fid);
}

static void check_folder(struct world *w, int plain, uint32_t parent)
{
	struct entries entries = {};
	unsigned int count = 0;
	struct dirent *entry;
	uint32_t fid;
	DIR *dir;

	assert_int_equal(p9_client_walk(w->client, parent, "", &fid), 0);
	assert_int_equal(p9_client_open(w->client, fid, 0), 0);
	assert_int_equal(p9_client_readdir(w->client, fid, 500, add_entry, &entries), 0);
	let_go(w, fid);
	dir = fdopendir(openat(plain, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(entries.count, count);
	for (unsigned int i = 0; i < entries.count; i++)
		check_entry(w, plain, parent, entries.names[i]);
}

static void run_program(uint64_t seed)
{
	struct world w = { .random = seed };
	struct share_config config = { .proc_path = "/proc/self/fd", .kind = IDMAP_MAPPED };
	struct p9_server_counters counters;

	share_dir_init(&w.dir);
	config.root_fd = w.dir.share_fd;
	config.proc_fd = w.dir.proc_fd;
	/* Few fds: handles come and go all the time. Not below what the slots and a step use. */
	config.fds_max = seed % 2 ? SHARE_FDS_MIN : 0;
	w.plain = open(w.dir.outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.share = open(w.dir.share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(p9_server_create(&config, &w.server, NULL), 0);
	w.client = p9_client_create(w.server);
	w.client->split = seed % 3 ? 0 : 700;
	assert_int_equal(p9_client_attach(w.client, 1000, &w.root), 0);
	for (int i = 1; i < (int)ARRAY_SIZE(folders); i++) {
		mkdirat(w.plain, folders[i], 0755);
		mkdirat(w.share, folders[i], 0755);
	}
	for (int i = 0; i < STEPS; i++)
		steps[roll(&w, ARRAY_SIZE(steps))](&w, roll(&w, 3) > 0);
	assert_in_range(w.ok, STEPS / 8, STEPS); /* the dice are fair */
	check_folder(&w, w.plain, w.root);
	for (int i = 0; i < SLOTS * 100; i++)
		step_close(&w, true);
	p9_server_read_counters(w.server, &counters);
	assert_int_equal(counters.fids, 1);
	assert_int_equal(counters.handles, 1);
	assert_int_equal(counters.open_fds, 0);
	close(w.plain);
	close(w.share);
	p9_client_destroy(w.client);
	p9_server_destroy(w.server);
	share_dir_finish(&w.dir);
}

static void test_programs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= PROGRAMS; seed++)
		run_program(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_programs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
