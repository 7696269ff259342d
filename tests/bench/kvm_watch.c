/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD, in our VMM and in QEMU alike: counts what a VMM itself costs, in the file that KVM_WATCH names (made by
 * the bench): u64 first KVM_RUN (CLOCK_MONOTONIC, ns), u64 ns spent by vCPU threads outside KVM_RUN since their own first
 * one, u64 exits. The file is mapped by the constructor, before any jail closes.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct watch {
	_Atomic uint64_t first_run_ns, outside_ns, exits;
};

static struct watch *watch;
static __thread uint64_t left_ns;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((constructor)) static void map_watch(void)
{
	const char *path = getenv("KVM_WATCH");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(struct watch), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		watch = map;
}

int ioctl(int fd, unsigned long request, ...);

int ioctl(int fd, unsigned long request, ...)
{
	uint64_t before, none = 0;
	va_list args;
	void *arg;
	long r;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request != KVM_RUN || !watch)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	before = now_ns();
	atomic_compare_exchange_strong(&watch->first_run_ns, &none, before);
	if (left_ns)
		atomic_fetch_add(&watch->outside_ns, before - left_ns);
	r = syscall(SYS_ioctl, fd, request, arg);
	left_ns = now_ns();
	atomic_fetch_add(&watch->exits, 1);
	return (int)r;
}
