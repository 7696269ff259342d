/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/loop.h"
#include "vmm/machine/kvm.h"
#include "vmm/machine/vcpu.h"

/* The throw-away guest: 2 MiB, mapped to itself by one huge page that ring 3 may use too. */
#define RAM_SIZE	(2ull << 20)
#define PAGE_TABLES_GPA 0x1000ull
#define CODE_GPA	0x8000ull
#define DATA_GPA	0x9000ull
#define STACK_GPA	0xfff0ull
#define PTE_ALL		0x07 /* present, writable, user */
#define PTE_HUGE	0x80

#define DONE_PORT     0x10
#define RFLAGS_IOPL_3 0x3002ull /* ring 3 may use ports */
#define MANY	      (1ull << 62)

/* 1: dec rcx; jnz 1b; out DONE_PORT, al */
static const uint8_t loop_code[] = { 0x48, 0xff, 0xc9, 0x75, 0xfb, 0xe6, DONE_PORT };
/* lock cmpxchg16b [rdi]; out DONE_PORT, al */
static const uint8_t cmpxchg16b_code[] = { 0xf0, 0x48, 0x0f, 0xc7, 0x0f, 0xe6, DONE_PORT };

struct probe {
	int kvm_fd, vm_fd;
	uint8_t *ram;
	struct vcpu vcpu;
};

static void probe_finish(struct probe *probe)
{
	vcpu_finish(&probe->vcpu);
	close_keeping_errno(probe->vm_fd);
	if (probe->ram)
		munmap(probe->ram, RAM_SIZE);
}

static int make_ram(struct probe *probe, struct err *err)
{
	uint8_t *ram =
		mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		return err_set(err, -errno, "KVM: no memory to measure with: %m");
	probe->ram = ram;
	store_le64(ram + PAGE_TABLES_GPA, (PAGE_TABLES_GPA + 0x1000) | PTE_ALL);
	store_le64(ram + PAGE_TABLES_GPA + 0x1000, (PAGE_TABLES_GPA + 0x2000) | PTE_ALL);
	store_le64(ram + PAGE_TABLES_GPA + 0x2000, PTE_ALL | PTE_HUGE);
	return kvm_add_memory(probe->vm_fd, 0, 0, RAM_SIZE, ram, err);
}

static int set_cpuid(struct probe *probe, struct err *err)
{
	struct kvm_cpuid_entry2 entries[KVM_CPUID_ENTRIES_MAX];
	uint32_t count;
	int r = kvm_get_supported_cpuid(probe->kvm_fd, entries, ARRAY_SIZE(entries), &count, err);

	return r < 0 ? r : kvm_set_cpuid(probe->vcpu.fd, entries, count, err);
}

static int probe_init(struct probe *probe, struct err *err)
{
	int r = kvm_create_vm(probe->kvm_fd, &probe->vm_fd, err);

	if (r == 0)
		r = make_ram(probe, err);
	if (r == 0)
		r = vcpu_init(&probe->vcpu, probe->kvm_fd, probe->vm_fd, 0, NULL, NULL, err);
	if (r == 0)
		r = set_cpuid(probe, err);
	return r;
}

/* Flat 64-bit segments of the ring asked for; no GDT is needed as nothing loads a selector. */
static int enter_ring(struct probe *probe, unsigned int ring, struct err *err)
{
	const struct vcpu_entry entry = {
		.rip = CODE_GPA,
		.rsp = STACK_GPA,
		.cr3_gpa = PAGE_TABLES_GPA,
		.gdt_gpa = 0,
	};
	struct kvm_sregs s;
	int r = vcpu_set_entry(&probe->vcpu, &entry, err);

	if (r == 0 && ring == 3)
		r = kvm_get_sregs(probe->vcpu.fd, &s, err);
	if (r < 0 || ring == 0)
		return r;
	s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
	s.cs.selector |= 3;
	s.ss.selector |= 3;
	return kvm_set_sregs(probe->vcpu.fd, &s, err);
}

static int set_regs(struct probe *probe, struct err *err)
{
	const struct kvm_regs regs = {
		.rip = CODE_GPA,
		.rsp = STACK_GPA,
		.rcx = MANY,
		.rdi = DATA_GPA,
		.rflags = RFLAGS_IOPL_3,
	};

	return kvm_set_regs(probe->vcpu.fd, &regs, err);
}

static int load(
	struct probe *probe, unsigned int ring, const uint8_t *code, size_t size, struct err *err)
{
	int r;

	memcpy(probe->ram + CODE_GPA, code, size);
	r = enter_ring(probe, ring, err);
	return r < 0 ? r : set_regs(probe, err);
}

/* Fires VCPU_KICK_SIGNAL at this process, again and again in case the first comes before KVM_RUN. */
static int timer_start(unsigned int slice_ms, timer_t *ret, struct err *err)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = VCPU_KICK_SIGNAL };
	const struct itimerspec slice = {
		.it_value = { .tv_nsec = slice_ms * 1000000l },
		.it_interval = { .tv_nsec = slice_ms * 1000000l },
	};

	if (timer_create(CLOCK_MONOTONIC, &event, ret) < 0)
		return err_set(err, -errno, "KVM: no timer to measure with: %m");
	timer_settime(*ret, 0, &slice, NULL);
	return 0;
}

/* Runs the loop for a slice of time; how many turns it made a second, if more than in an earlier round. */
static int time_loop(struct probe *probe, unsigned int ring, unsigned int slice_ms,
	uint64_t *best_per_s, struct err *err)
{
	struct kvm_regs regs;
	uint64_t began_ns, took_ns, per_s;
	timer_t timer;
	int r = load(probe, ring, loop_code, sizeof(loop_code), err);

	if (r == 0)
		r = timer_start(slice_ms, &timer, err);
	if (r < 0)
		return r;
	began_ns = clock_monotonic_ns();
	r = kvm_run(probe->vcpu.fd);
	took_ns = clock_monotonic_ns() - began_ns;
	timer_delete(timer);
	if (r != -EINTR)
		return err_set(err, -EIO, "KVM: a loop in ring %u ended with exit %u", ring,
			probe->vcpu.run->exit_reason);
	r = kvm_get_regs(probe->vcpu.fd, &regs, err);
	if (r < 0)
		return r;
	per_s = (MANY - regs.rcx) * 1000000 / (took_ns / 1000 + 1);
	if (per_s > *best_per_s)
		*best_per_s = per_s;
	return 0;
}

static bool try_cmpxchg16b(struct probe *probe)
{
	const struct kvm_run *run = probe->vcpu.run;

	if (load(probe, 0, cmpxchg16b_code, sizeof(cmpxchg16b_code), NULL) < 0)
		return false;
	return kvm_run(probe->vcpu.fd) == 0 && run->exit_reason == KVM_EXIT_IO &&
	       run->io.port == DONE_PORT;
}

static bool loops_are_fit(const struct measure_result *m)
{
	return m->ring0_per_s && m->ring0_per_s >= m->ring3_per_s / 10;
}

/* A loop that was often taken off its processor looks ten times slower, not a hundred times: that is software. */
static bool loops_are_clear(const struct measure_result *m, unsigned int rounds)
{
	return loops_are_fit(m) || (rounds >= 4 && m->ring0_per_s < m->ring3_per_s / 100);
}

static int run_probe(struct probe *probe, struct measure_result *ret, struct err *err)
{
	int r = probe_init(probe, err);

	for (unsigned int i = 0; r == 0 && i < MEASURE_ROUNDS && !loops_are_clear(ret, i); i++) {
		r = time_loop(probe, 3, MEASURE_SLICE_MS << i, &ret->ring3_per_s, err);
		if (r == 0)
			r = time_loop(probe, 0, MEASURE_SLICE_MS << i, &ret->ring0_per_s, err);
	}
	if (r == 0)
		ret->cmpxchg16b = try_cmpxchg16b(probe);
	return r;
}

static enum measure_verdict judge(const struct measure_result *m, struct err *err)
{
	if (loops_are_fit(m) && m->cmpxchg16b)
		return MEASURE_FIT;
	err_set(err, -ENOTSUP,
		"KVM: it runs guest kernels in software: %llu turns a second in ring 0, %llu in ring 3%s",
		(unsigned long long)m->ring0_per_s, (unsigned long long)m->ring3_per_s,
		m->cmpxchg16b ? "" : ", cmpxchg16b fails");
	return MEASURE_EMULATED;
}

void measure_kvm(const char *path, struct measure_result *ret, struct err *err)
{
	_cleanup_close_ int kvm_fd = open(path, O_RDWR | O_CLOEXEC);
	struct probe probe = { .kvm_fd = kvm_fd, .vm_fd = -1, .vcpu = { .fd = -1 } };
	int r;

	*ret = (struct measure_result){ .verdict = MEASURE_ABSENT };
	if (kvm_fd < 0) {
		err_set(err, -errno, "%s: %m", path);
		if (errno == EACCES || errno == EPERM)
			ret->verdict = MEASURE_NO_PERMISSION;
		return;
	}
	r = kvm_check(kvm_fd, err);
	if (r == 0)
		r = vcpu_install_kick(err);
	if (r == 0)
		r = run_probe(&probe, ret, err);
	ret->verdict = r < 0 ? MEASURE_EMULATED : judge(ret, err);
	probe_finish(&probe);
}
