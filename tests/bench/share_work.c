/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_work FOLDER FILES MIB: in a guest, on a share: times each phase and prints "phase seconds" lines. FILES small files are
 * created (100 bytes each, 100 to a folder), stat'ed, read, listed with stat, unlinked; then MIB MiB are written and read in
 * 1 MiB steps. Run by root, who drops the page cache between phases, and works as the user `sandbox`, whose FOLDER is. Static,
 * so that a bare initramfs can run it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PER_FOLDER 100
#define STEP	   (1u << 20)
#define SANDBOX	   1000

static int files;
static long failures;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	if (fd >= 0) {
		if (write(fd, "3", 1) != 1)
			failures++;
		close(fd);
	}
}

static void name_of(int i, char *name, size_t size)
{
	snprintf(name, size, "d%d/f%d", i / PER_FOLDER, i);
}

static void create_one(const char *name)
{
	static const char text[100] = "a small file\n";
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text))
		failures++;
	if (fd >= 0)
		close(fd);
}

static void stat_one(const char *name)
{
	struct stat st;

	if (stat(name, &st) < 0 || st.st_size != 100)
		failures++;
}

static void read_one(const char *name)
{
	char text[128];
	int fd = open(name, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text)) != 100)
		failures++;
	if (fd >= 0)
		close(fd);
}

static void unlink_one(const char *name)
{
	if (unlink(name) < 0)
		failures++;
}

static void each_file(void (*work)(const char *name))
{
	char name[64];

	for (int i = 0; i < files; i++) {
		name_of(i, name, sizeof(name));
		work(name);
	}
}

static void list_folder(int number)
{
	char name[64];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(name, sizeof(name), "d%d", number);
	dir = opendir(name);
	if (!dir) {
		failures++;
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			failures++;
	closedir(dir);
}

static void create_all(void)
{
	char name[64];

	for (int i = 0; i < files; i += PER_FOLDER) {
		snprintf(name, sizeof(name), "d%d", i / PER_FOLDER);
		if (mkdir(name, 0755) < 0)
			failures++;
	}
	each_file(create_one);
}

static void stat_all(void)
{
	each_file(stat_one);
}

static void read_all(void)
{
	each_file(read_one);
}

static void list_all(void)
{
	for (int i = 0; i < files; i += PER_FOLDER)
		list_folder(i / PER_FOLDER);
}

static void unlink_all(void)
{
	each_file(unlink_one);
}

static int mib;
static char buffer[STEP];

static void write_bulk(void)
{
	int fd = open("bulk", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	for (int i = 0; fd >= 0 && i < mib; i++)
		if (write(fd, buffer, STEP) != STEP)
			failures++;
	if (fd < 0 || fsync(fd) < 0 || close(fd) < 0)
		failures++;
}

static void read_bulk(void)
{
	int fd = open("bulk", O_RDONLY);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buffer, STEP)) > 0)
		continue;
	if (fd < 0 || close(fd) < 0)
		failures++;
}

/* The effective ids alone: root drops the caches between the phases. */
static bool become(uid_t uid, gid_t gid)
{
	return uid ? setegid(gid) == 0 && seteuid(uid) == 0
		   : seteuid(uid) == 0 && setegid(gid) == 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} phases[] = {
		{ "create", create_all },
		{ "stat", stat_all },
		{ "read", read_all },
		{ "list", list_all },
		{ "unlink", unlink_all },
		{ "write-bulk", write_bulk },
		{ "read-bulk", read_bulk },
	};

	if (argc != 4 || chdir(argv[1]) < 0)
		return 2;
	files = atoi(argv[2]);
	mib = atoi(argv[3]);
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		double began;

		drop_caches();
		if (!become(SANDBOX, SANDBOX))
			return 2;
		began = now_s();
		phases[i].run();
		printf("%s %.6f\n", phases[i].name, now_s() - began);
		if (!become(0, 0))
			return 2;
		fflush(stdout);
	}
	return failures ? 1 : 0;
}
