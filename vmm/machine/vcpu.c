/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/loop.h"

#define CR0_PE	     (1ull << 0)
#define CR0_MP	     (1ull << 1)
#define CR0_ET	     (1ull << 4)
#define CR0_NE	     (1ull << 5)
#define CR0_WP	     (1ull << 16)
#define CR0_AM	     (1ull << 18)
#define CR0_PG	     (1ull << 31)
#define CR4_PAE	     (1ull << 5)
#define EFER_LME     (1ull << 8)
#define EFER_LMA     (1ull << 10)
#define RFLAGS_FIXED 2ull

#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define GDT_SIZE      32

#define MSR_MISC_ENABLE		0x1a0
#define MISC_ENABLE_FAST_STRING 1ull
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MTRR_ENABLED_WRITE_BACK (1ull << 11 | 6)

/* V10: past this many bus locks each further one costs its vCPU a pause. */
#define BUS_LOCKS_FREE	  100
#define BUS_LOCK_PAUSE_NS 1000000

/* String instructions fast, all of memory write-back. Old KVMs may lack either register. */
void vcpu_set_firmware_state(struct vcpu *vcpu)
{
	kvm_set_msr(vcpu->fd, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING);
	kvm_set_msr(vcpu->fd, MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK);
}

int vcpu_init(struct vcpu *vcpu, int kvm_fd, int vm_fd, unsigned int id, const struct bus *pio,
	const struct bus *mmio, struct err *err)
{
	int r;

	*vcpu = (struct vcpu){ .id = id, .fd = -1, .pio = pio, .mmio = mmio };
	r = kvm_create_vcpu(vm_fd, id, &vcpu->fd, err);
	if (r < 0)
		return r;
	return kvm_map_run(kvm_fd, vcpu->fd, &vcpu->run, &vcpu->run_size, err);
}

void vcpu_finish(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, uint8_t l, uint8_t db)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = l,
		.db = db,
		.g = 1,
	};
}

static void enter_long_mode(struct kvm_sregs *s, const struct vcpu_entry *entry)
{
	struct kvm_segment data = flat_segment(DATA_SELECTOR, 3, 0, 1);

	s->cs = flat_segment(CODE_SELECTOR, 11, 1, 0);
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->gdt = (struct kvm_dtable){ .base = entry->gdt_gpa, .limit = GDT_SIZE - 1 };
	s->idt = (struct kvm_dtable){};
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	s->cr3 = entry->cr3_gpa;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

int vcpu_set_entry(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err)
{
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rsi = entry->rsi,
		.rsp = entry->rsp,
		.rflags = RFLAGS_FIXED,
	};
	struct kvm_sregs sregs;
	int r = kvm_get_sregs(vcpu->fd, &sregs, err);

	if (r < 0)
		return r;
	enter_long_mode(&sregs, entry);
	r = kvm_set_sregs(vcpu->fd, &sregs, err);
	return r < 0 ? r : kvm_set_regs(vcpu->fd, &regs, err);
}

static void kicked(int signal)
{
	(void)signal;
}

int vcpu_install_kick(struct err *err)
{
	struct sigaction action = { .sa_handler = kicked };

	if (sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0)
		return err_set(err, -errno, "vCPUs: cannot install the signal that stops them: %m");
	return 0;
}

void vcpu_kick(struct vcpu *vcpu, pthread_t thread)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(thread, VCPU_KICK_SIGNAL);
}

/* KVM fills these fields, not the guest; all the same nothing is read outside of the shared pages. */
static void handle_port(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t offset = run->io.data_offset;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, offset += size) {
		uint8_t *data = (uint8_t *)run + offset;

		if (offset + size > vcpu->run_size)
			return;
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(vcpu->pio, run->io.port, data, size);
		else
			bus_read(vcpu->pio, run->io.port, data, size);
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->mmio.len > sizeof(run->mmio.data))
		return;
	if (run->mmio.is_write)
		bus_write(vcpu->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(vcpu->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

/* V10: who locks the bus waits: this vCPU alone. */
static void handle_bus_lock(struct vcpu *vcpu)
{
	struct timespec pause = { .tv_nsec = BUS_LOCK_PAUSE_NS };

	if (++vcpu->bus_locks > BUS_LOCKS_FREE)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static enum machine_end handle_system_event(const struct kvm_run *run)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return MACHINE_END_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return MACHINE_END_REBOOT;
	case KVM_SYSTEM_EVENT_CRASH:
		return MACHINE_END_PANIC;
	default:
		return MACHINE_END_KVM_ERROR;
	}
}

static enum machine_end tell_kvm_error(const struct vcpu *vcpu, const char *what, uint64_t detail)
{
	struct kvm_regs regs = {};

	kvm_get_regs(vcpu->fd, &regs, NULL);
	log_error("vCPU %u: %s (%#llx) at rip %#llx", vcpu->id, what, (unsigned long long)detail,
		(unsigned long long)regs.rip);
	return MACHINE_END_KVM_ERROR;
}

static enum machine_end handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_port(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_X86_BUS_LOCK:
		handle_bus_lock(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_HLT:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		return MACHINE_END_TRIPLE_FAULT;
	case KVM_EXIT_SYSTEM_EVENT:
		return handle_system_event(run);
	case KVM_EXIT_FAIL_ENTRY:
		return tell_kvm_error(vcpu, "KVM cannot enter the guest",
			run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return tell_kvm_error(vcpu, "KVM met an internal error", run->internal.suberror);
	default:
		return tell_kvm_error(vcpu, "an exit that we never asked for", run->exit_reason);
	}
	return MACHINE_END_NONE;
}

/* After an error of KVM_RUN itself: whether the machine can go on. */
static enum machine_end handle_run_error(const struct vcpu *vcpu, int r)
{
	/* EAGAIN: a vCPU that waited to be started was woken. */
	if (r == -EINTR || r == -EAGAIN)
		return MACHINE_END_NONE;
	return tell_kvm_error(vcpu, strerrorname_np(-r), vcpu->run->exit_reason);
}

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

enum machine_end vcpu_loop(struct vcpu *vcpu, atomic_int *end)
{
	uint64_t left_ns = clock_monotonic_ns();
	enum machine_end reason;

	atomic_store_explicit(&vcpu->first_run_ns, left_ns, memory_order_relaxed);
	while ((reason = (enum machine_end)atomic_load(end)) == MACHINE_END_NONE) {
		int r;

		add(&vcpu->exit_ns, clock_monotonic_ns() - left_ns);
		r = kvm_run(vcpu->fd);
		left_ns = clock_monotonic_ns();
		add(&vcpu->exits, 1);
		reason = r < 0 ? handle_run_error(vcpu, r) : handle_exit(vcpu);
		if (vcpu->run->flags & KVM_RUN_X86_BUS_LOCK && r == 0)
			handle_bus_lock(vcpu);
		if (reason != MACHINE_END_NONE)
			break;
	}
	return reason;
}
