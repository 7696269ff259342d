/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One virtual CPU: its KVM fd, its shared page, its thread's run loop. The loop ends when the machine does: for a reason
 * of the guest's (triple fault), of KVM's, or because somebody set the end and kicked.
 *
 * Kicking (V7, H1): vcpu_kick() sets immediate_exit in the shared page, then signals the thread. Whether the thread is
 * before, in or behind KVM_RUN, KVM_RUN returns -EINTR. The flag is never cleared: a kick means the end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "vmm/base/event.h"
#include "vmm/machine/bus.h"
#include "vmm/machine/kvm.h"

/* Ordinary signals are the main program's; real-time ones are nobody's. */
#define VCPU_KICK_SIGNAL (SIGRTMIN + 1)

struct vcpu {
	unsigned int id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	const struct bus *pio, *mmio; /* borrowed */
	/* Written by the vCPU's thread only, read by anybody. */
	atomic_uint_fast64_t exits, exit_ns, first_run_ns;
	uint64_t bus_locks;
};

/* Where vCPU 0 begins; the others wait in the kernel for the guest to start them. */
struct vcpu_entry {
	uint64_t rip, rsi, rsp;
	uint64_t cr3_gpa, gdt_gpa;
};

int vcpu_init(struct vcpu *vcpu, int kvm_fd, int vm_fd, unsigned int id, const struct bus *pio,
	const struct bus *mmio, struct err *err);
void vcpu_finish(struct vcpu *vcpu); /* NULL fields and an fd of -1 are allowed */
/* What firmware would have set, on every vCPU, after its CPUID. */
void vcpu_set_firmware_state(struct vcpu *vcpu);
/* 64-bit mode with paging on, interrupts off, flat segments of the GDT at gdt_gpa (0x10 code, 0x18 data). */
int vcpu_set_entry(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err);

/* Once per process, before the first kick: a handler that does nothing. */
int vcpu_install_kick(struct err *err);
void vcpu_kick(struct vcpu *vcpu, pthread_t thread);

/*
 * Runs until *end is not MACHINE_END_NONE or the guest ends itself; gives why. The caller's thread is the vCPU's from
 * here on, with VCPU_KICK_SIGNAL unblocked. An error of KVM's is told on the log (no guest bytes in it).
 */
enum machine_end vcpu_loop(struct vcpu *vcpu, atomic_int *end);
