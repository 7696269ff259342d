/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest does with its devices, for devices.sh; static, runs as root in a guest that has no other program.
 *
 * device_peer write DEVICE BYTES         writes the pattern past the page cache, flushes, reads it back
 * device_peer discard DEVICE FROM BYTES  discards a range; prints "zeroes" when it reads as such afterwards
 * device_peer refuse DEVICE              a device that may be read and not written
 * device_peer files DEVICE               mounts the ext4 on it, leaves a file and takes one away, trims, unmounts
 * device_peer memory MIB                 uses so much memory and gives it back
 * device_peer processors                 how many there are, and that a thread ran on each
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 20)

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_disk(const char *path, int flags)
{
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	return fd;
}

static uint8_t *chunk(void)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, CHUNK) != 0)
		fail("memory");
	return p;
}

/* The byte at each offset: what the host's side of the test checks as well. */
static void fill(uint8_t *p, uint64_t offset)
{
	for (uint32_t i = 0; i < CHUNK; i++)
		p[i] = (uint8_t)((offset + i) * 2654435761u >> 24);
}

static void write_pattern(const char *path, uint64_t bytes)
{
	int fd = open_disk(path, O_RDWR);
	uint8_t *out = chunk(), *in = chunk();

	for (uint64_t at = 0; at < bytes; at += CHUNK) {
		fill(out, at);
		if (pwrite(fd, out, CHUNK, (off_t)at) != CHUNK)
			fail("write");
	}
	if (fsync(fd) < 0)
		fail("flush");
	for (uint64_t at = 0; at < bytes; at += CHUNK) {
		fill(out, at);
		if (pread(fd, in, CHUNK, (off_t)at) != CHUNK || memcmp(in, out, CHUNK) != 0)
			fail("what was read");
	}
	puts("written");
}

static void discard(const char *path, uint64_t from, uint64_t bytes)
{
	uint64_t range[2] = { from, bytes };
	int fd = open_disk(path, O_RDWR);
	uint8_t *in = chunk();

	if (ioctl(fd, BLKDISCARD, range) < 0)
		fail("discard");
	for (uint64_t at = from; at < from + bytes; at += CHUNK) {
		if (pread(fd, in, CHUNK, (off_t)at) != CHUNK)
			fail("read");
		for (uint32_t i = 0; i < CHUNK; i++)
			if (in[i])
				fail("not zero");
	}
	puts("zeroes");
}

static void refuse(const char *path)
{
	uint8_t *p = chunk();
	int fd = open_disk(path, O_RDONLY);

	if (pread(fd, p, CHUNK, 0) != CHUNK)
		fail("read");
	/* The kernel may let it be opened, but no byte through. */
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd >= 0 && pwrite(fd, p, CHUNK, 0) >= 0)
		fail("written");
	puts("refused");
}

static void files(const char *path)
{
	struct fstrim_range range = { .len = UINT64_MAX };
	int fd;

	mkdir("/tmp/mnt", 0755);
	if (mount(path, "/tmp/mnt", "ext4", 0, NULL) < 0)
		fail("mount");
	fd = open("/tmp/mnt/left", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "by the guest\n", 13) != 13 || fsync(fd) < 0 || close(fd) < 0)
		fail("a file");
	if (unlink("/tmp/mnt/big") < 0)
		fail("unlink");
	sync();
	fd = open("/tmp/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FITRIM, &range) < 0 || close(fd) < 0)
		fail("trim");
	if (umount("/tmp/mnt") < 0)
		fail("umount");
	puts("left");
}

static void memory(uint64_t mib)
{
	uint8_t *p =
		mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("memory");
	for (uint64_t i = 0; i < mib << 20; i += 4096)
		p[i] = 1;
	puts("used");
	fflush(stdout);
	getchar(); /* until the host has looked */
}

static void processors(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN), ran = 0;
	cpu_set_t *set = CPU_ALLOC(1024);
	size_t size = CPU_ALLOC_SIZE(1024);

	for (long i = 0; i < count; i++) {
		CPU_ZERO_S(size, set);
		CPU_SET_S((size_t)i, size, set);
		ran += sched_setaffinity(0, size, set) == 0 && sched_getcpu() == i;
	}
	printf("%ld %ld\n", count, ran);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (!strcmp(word, "write") && argc == 4)
		write_pattern(argv[2], strtoull(argv[3], NULL, 0));
	else if (!strcmp(word, "discard") && argc == 5)
		discard(argv[2], strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
	else if (!strcmp(word, "refuse") && argc == 3)
		refuse(argv[2]);
	else if (!strcmp(word, "files") && argc == 3)
		files(argv[2]);
	else if (!strcmp(word, "memory") && argc == 3)
		memory(strtoull(argv[2], NULL, 0));
	else if (!strcmp(word, "processors"))
		processors();
	else
		return 2;
	return 0;
}
