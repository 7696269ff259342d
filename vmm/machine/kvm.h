/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The only file that issues KVM ioctls (Documentation/virt/kvm/api.rst). Thin: one function, one ioctl or one group that
 * always goes together. What to ask for is decided by its callers.
 *
 * The machine KVM is asked for: LAPICs, IOAPIC and PIC in the kernel, no PIT (guests have kvm-clock and the TSC deadline
 * timer), so a halted vCPU sleeps in the kernel and an interrupt reaches it without this process.
 *
 * Errors: 0 or -errno, with the missing capability named. fds given back are the caller's, CLOEXEC.
 */
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

#define KVM_CPUID_ENTRIES_MAX 256

/* API version and every capability the machine stands on. */
int kvm_check(int kvm_fd, struct err *err);
bool kvm_has(int kvm_fd, unsigned int capability);

/* A bare VM: no interrupt controllers. */
int kvm_create_vm(int kvm_fd, int *ret_vm_fd, struct err *err);
/* Interrupt controllers, the pages Intel's real mode needs, bus lock exits where there are any (V10). */
int kvm_init_platform(int vm_fd, struct err *err);

int kvm_add_memory(
	int vm_fd, uint32_t slot, uint64_t gpa, uint64_t size_bytes, void *host, struct err *err);
/* A 4-byte write of value to gpa becomes a tick of event_fd. */
int kvm_add_ioeventfd(int vm_fd, uint64_t gpa, uint32_t value, int event_fd, struct err *err);
/* A tick of event_fd becomes an edge on the GSI. */
int kvm_add_irqfd(int vm_fd, uint32_t gsi, int event_fd, struct err *err);

/* What this KVM supports, at most capacity entries. */
int kvm_get_supported_cpuid(int kvm_fd, struct kvm_cpuid_entry2 *entries, uint32_t capacity,
	uint32_t *ret_count, struct err *err);

int kvm_create_vcpu(int vm_fd, unsigned int id, int *ret_vcpu_fd, struct err *err);
/* The vCPU's shared page(s); unmapped with munmap(*ret_run, *ret_size). */
int kvm_map_run(
	int kvm_fd, int vcpu_fd, struct kvm_run **ret_run, size_t *ret_size, struct err *err);
int kvm_set_cpuid(
	int vcpu_fd, const struct kvm_cpuid_entry2 *entries, uint32_t count, struct err *err);
int kvm_get_sregs(int vcpu_fd, struct kvm_sregs *ret, struct err *err);
int kvm_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs, struct err *err);
int kvm_get_regs(int vcpu_fd, struct kvm_regs *ret, struct err *err);
int kvm_set_regs(int vcpu_fd, const struct kvm_regs *regs, struct err *err);
/* -ENOENT where this KVM does not know the register. */
int kvm_set_msr(int vcpu_fd, uint32_t index, uint64_t value);

/* Enters the guest until it exits. -EINTR: a signal or immediate_exit. */
int kvm_run(int vcpu_fd);
