/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A VM as a library: what sandbox-vmm's main file strings together. Everything that is x86-64 lies behind this header.
 *
 * Order of calls: machine_create (opens nothing: takes the /dev/kvm fd) -> machine_add_* (devices) -> machine_load
 * (kernel, initramfs, command line, ACPI) -> machine_start (threads; vCPUs wait at a gate) -> [jail is closed here] ->
 * machine_run (opens the gate) -> ... -> machine_request_end from any thread -> machine_join -> machine_destroy.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/event.h"
#include "vmm/base/loop.h"
#include "vmm/machine/bus.h"
#include "vmm/machine/memory.h"

#define MACHINE_VCPUS_MAX	 32
#define MACHINE_CMDLINE_MAX	 2048
#define MACHINE_MMIO_DEVICES_MAX 19 /* GSIs 5..23 */

struct machine;

struct machine_config {
	int kvm_fd; /* borrowed until machine_create returns */
	unsigned int vcpus; /* 1..MACHINE_VCPUS_MAX */
	uint64_t memory_bytes;
	bool nested; /* V10: leave VMX/SVM in CPUID */
	/* Called once, from any thread, when the machine has come to its end by itself. */
	void (*on_end)(void *data, enum machine_end end);
	/* Called in each vCPU's thread when the gate opens, before its first KVM_RUN (a narrower jail). May be NULL. */
	int (*on_vcpu_thread)(void *data, struct err *err);
	void *data;
};

int machine_create(const struct machine_config *config, struct machine **ret, struct err *err);
void machine_destroy(struct machine *machine);

const struct guest_memory *machine_memory(const struct machine *machine);
/* Both are filled before machine_start and constant after it. */
struct bus *machine_pio(struct machine *machine);
struct bus *machine_mmio(struct machine *machine);

/*
 * A virtio-mmio slot: its register window and its interrupt. Announced in the DSDT (LNRO0005) and, with
 * cmdline_devices, by virtio_mmio.device= on the command line. The kick eventfd fires for a write of `queue` to
 * QueueNotify (ioeventfd); a write to the interrupt eventfd raises the slot's GSI (irqfd, edge-triggered).
 */
struct machine_mmio_slot {
	uint64_t gpa;
	uint64_t size;
	unsigned int gsi;
};
int machine_add_mmio(struct machine *machine, const struct bus_ops *ops, void *handler,
	struct machine_mmio_slot *ret, struct err *err);
int machine_add_ioeventfd(
	struct machine *machine, uint64_t gpa, uint32_t value, int event_fd, struct err *err);
int machine_add_irqfd(struct machine *machine, unsigned int gsi, int event_fd, struct err *err);

struct machine_boot {
	int kernel_fd; /* ELF vmlinux (images/kernel/extract unpacks a bzImage on the host) */
	int initramfs_fd; /* -1: none */
	const char *cmdline; /* the caller's words; the devices' are added where asked */
	bool cmdline_devices; /* virtio_mmio.device= words and an MP table, for kernels without ACPI */
};
int machine_load(struct machine *machine, const struct machine_boot *boot, struct err *err);

int machine_start(struct machine *machine, struct err *err);
void machine_run(struct machine *machine);
/*
 * Ends the machine for the given reason; the first reason wins. Any thread, also a bus handler; not a signal handler. Does
 * not wait.
 */
void machine_request_end(struct machine *machine, enum machine_end end);
/* Waits for the end and for the vCPU threads; gives the reason. Also before machine_run, if the end was requested. */
enum machine_end machine_join(struct machine *machine);

struct machine_counters {
	uint64_t exits; /* all vCPUs */
	uint64_t
		exit_ns; /* time spent in this process between an exit and the next KVM_RUN, all vCPUs */
	uint64_t first_run_ns; /* CLOCK_MONOTONIC of the first KVM_RUN; 0: not yet */
};
void machine_read_counters(const struct machine *machine, struct machine_counters *ret);
