/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole 9p server over a throw-away folder: the input is a program. An operation is one byte (which), then its
 * operands from further bytes: fids out of eight, names out of a list that is mostly hostile. Or a frame as it stands. What
 * must hold: nothing outside the shared folder changes, no set-id bit or special file becomes real in it, every reply is
 * whole, and fds stay below their cap.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/p9_client.h"
#include "tests/lib/share_dir.h"
#include "vmm/base/array.h"

#define STEPS_MAX 200
#define FIDS	  8
#define FDS_MAX	  64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	const char *text;
	uint16_t len;
} names[] = { { "a", 1 }, { "b", 1 }, { "d", 1 }, { "e", 1 }, { "link", 4 }, { "out", 3 },
	{ "..", 2 }, { ".", 1 }, { "", 0 }, { "/", 1 }, { "../outside", 10 }, { "a/b", 3 },
	{ "a\0b", 3 }, { "/etc/passwd", 11 }, { "user.x", 6 }, { "user.virtfs.uid", 15 } };

static const uint8_t types[] = { P9_TSTATFS, P9_TLOPEN, P9_TLCREATE, P9_TSYMLINK, P9_TMKNOD,
	P9_TRENAME, P9_TREADLINK, P9_TGETATTR, P9_TSETATTR, P9_TXATTRWALK, P9_TXATTRCREATE,
	P9_TREADDIR, P9_TFSYNC, P9_TLOCK, P9_TGETLOCK, P9_TLINK, P9_TMKDIR, P9_TRENAMEAT,
	P9_TUNLINKAT, P9_TATTACH, P9_TWALK, P9_TREAD, P9_TWRITE, P9_TCLUNK, P9_TREMOVE, P9_TFLUSH,
	P9_TVERSION };

struct program {
	struct bytes_reader in;
	struct p9_client *client;
};

static void require_(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}
#define require(condition) require_(condition, #condition)

static void put_fid(struct program *p)
{
	bytes_put_u32(&p->client->request, bytes_get_u8(&p->in) % FIDS);
}

static void put_name(struct program *p)
{
	uint8_t which = bytes_get_u8(&p->in) % ARRAY_SIZE(names);

	bytes_put_u16_blob(&p->client->request, names[which].text, names[which].len);
}

/* Small as a rule, the whole range now and then. */
static uint64_t number(struct program *p)
{
	uint8_t v = bytes_get_u8(&p->in);

	return v < 250	  ? v
	       : v == 250 ? UINT64_MAX
	       : v == 251 ? INT64_MAX
	       : v == 252 ? UINT32_MAX
			  : 1ull << v % 64;
}

static void put_u32(struct program *p)
{
	bytes_put_u32(&p->client->request, (uint32_t)number(p));
}

static void put_u64(struct program *p)
{
	bytes_put_u64(&p->client->request, number(p));
}

static void put_mode(struct program *p)
{
	bytes_put_u32(&p->client->request, bytes_get_u16(&p->in));
}

static void put_setattr(struct program *p)
{
	put_fid(p);
	bytes_put_u32(&p->client->request, bytes_get_u16(&p->in));
	put_mode(p);
	put_u32(p);
	put_u32(p);
	/* Not a file that fills the disk when somebody reads it back. */
	bytes_put_u64(&p->client->request, number(p) & 0xfffff);
	for (int i = 0; i < 4; i++)
		put_u64(p);
}

static void put_walk(struct program *p)
{
	uint16_t count = bytes_get_u8(&p->in) % 4;

	put_fid(p);
	put_fid(p);
	bytes_put_u16(&p->client->request, count);
	while (count--)
		put_name(p);
}

static void put_write(struct program *p)
{
	uint32_t count = bytes_get_u8(&p->in);
	static const uint8_t text[256] = "../outside";

	put_fid(p);
	bytes_put_u64(&p->client->request, number(p) & 0xffff);
	bytes_put_u32(&p->client->request, count);
	bytes_put(&p->client->request, text, count);
}

static void put_lock(struct program *p, bool get)
{
	put_fid(p);
	bytes_put_u8(&p->client->request, bytes_get_u8(&p->in) % 4);
	if (!get)
		put_u32(p);
	put_u64(p);
	put_u64(p);
	put_u32(p);
	put_name(p);
}

/* What the fields of each type are: f fid, n name, m mode, u u32, l u64. */
static const char *fields_of(uint8_t type)
{
	switch (type) {
	case P9_TLOPEN:
	case P9_TFSYNC:
		return "fm";
	case P9_TLCREATE:
		return "fnmmu";
	case P9_TSYMLINK:
		return "fnnu";
	case P9_TMKNOD:
		return "fnmuuu";
	case P9_TRENAME:
	case P9_TLINK:
	case P9_TXATTRWALK:
		return "ffn";
	case P9_TGETATTR:
		return "fl";
	case P9_TXATTRCREATE:
		return "fnlu";
	case P9_TREADDIR:
	case P9_TREAD:
		return "flu";
	case P9_TMKDIR:
		return "fnmu";
	case P9_TRENAMEAT:
		return "fnfn";
	case P9_TUNLINKAT:
		return "fnm";
	case P9_TVERSION:
		return "un";
	default:
		return "f";
	}
}

static void put_fields(struct program *p, uint8_t type)
{
	for (const char *field = fields_of(type); *field; field++) {
		switch (*field) {
		case 'f':
			put_fid(p);
			break;
		case 'n':
			put_name(p);
			break;
		case 'm':
			put_mode(p);
			break;
		case 'u':
			put_u32(p);
			break;
		default:
			put_u64(p);
			break;
		}
	}
}

static void attach(struct program *p)
{
	struct bytes_writer *w = &p->client->request;

	put_fid(p);
	bytes_put_u32(w, P9_NOFID);
	bytes_put_u32(w, 0); /* two empty names */
	bytes_put_u32(w, bytes_get_u8(&p->in) & 1 ? 1000 : 0);
}

static void step(struct program *p)
{
	uint8_t type = types[bytes_get_u8(&p->in) % ARRAY_SIZE(types)];

	p9_client_begin(p->client, type);
	if (type == P9_TATTACH)
		attach(p);
	else if (type == P9_TSETATTR)
		put_setattr(p);
	else if (type == P9_TWALK)
		put_walk(p);
	else if (type == P9_TWRITE)
		put_write(p);
	else if (type == P9_TLOCK || type == P9_TGETLOCK)
		put_lock(p, type == P9_TGETLOCK);
	else if (type == P9_TFLUSH)
		bytes_put_u16(&p->client->request, 1);
	else
		put_fields(p, type);
	p9_client_call(p->client);
}

static void raw_frame(struct program *p)
{
	size_t len = bytes_get_u8(&p->in), room = bytes_get_u8(&p->in);
	const uint8_t *frame = bytes_get(&p->in, len);

	if (frame) {
		int64_t n = p9_client_raw(p->client, frame, len, room);

		require(n == -EPROTO || (n >= P9_HEADER_BYTES && (size_t)n <= room));
	}
}

static int check_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path, (void)flag, (void)ftw;
	require(!(st->st_mode & (S_ISUID | S_ISGID | S_ISVTX)));
	require(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode));
	require(st->st_uid == geteuid());
	return 0;
}

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	require(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void check_outside(const struct share_dir *dir, unsigned int fds_before)
{
	const char *text = share_dir_read(share_dir_path(dir, "outside/canary"));

	require(text && !strcmp(text, "canary"));
	require(!access(share_dir_path(dir, "outside/only"), F_OK));
	nftw(dir->share, check_one, 16, FTW_PHYS);
	require(count_fds() <= fds_before + FDS_MAX + 2);
}

static void prepare(struct share_dir *dir)
{
	share_dir_init(dir);
	share_dir_write(share_dir_path(dir, "outside/canary"), "canary");
	require(!mkdir(share_dir_path(dir, "outside/only"), 0755));
	require(!mkdir(share_dir_path(dir, "share/d"), 0755));
	share_dir_write(share_dir_path(dir, "share/a"), "a");
	require(!symlink("../outside", share_dir_path(dir, "share/link")));
	require(!link(share_dir_path(dir, "outside/canary"), share_dir_path(dir, "share/out")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program program = { .in = bytes_reader(data, size) };
	struct share_config config = { .proc_path = "/proc/self/fd", .fds_max = FDS_MAX };
	struct p9_server *server;
	struct share_dir dir;
	unsigned int fds;
	uint8_t flags = bytes_get_u8(&program.in);
	uint32_t fid;

	prepare(&dir);
	fds = count_fds();
	config.root_fd = dir.share_fd;
	config.proc_fd = dir.proc_fd;
	config.kind = flags & 1 ? IDMAP_HOST : IDMAP_MAPPED;
	config.readonly = flags & 2;
	require(p9_server_create(&config, &server, NULL) == 0);
	program.client = p9_client_create(server);
	program.client->split = flags >> 4;
	program.client->next_fid = 0;
	require(p9_client_attach(program.client, 1000, &fid) == 0);
	for (int i = 0; i < STEPS_MAX && bytes_left(&program.in); i++) {
		if (bytes_get_u8(&program.in) == 0xff)
			raw_frame(&program);
		else
			step(&program);
	}
	check_outside(&dir, fds);
	p9_client_destroy(program.client);
	p9_server_destroy(server);
	require(count_fds() <= fds);
	share_dir_finish(&dir);
	return 0;
}
