/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: everything is built single-threaded and is constant once the vCPU threads exist. They are made
 * early, so that the jail can be closed around all threads at once, and wait at a gate.
 *
 * The end: `end` goes from NONE to a reason once. Whoever set it kicks every vCPU under the lock and then says
 * `kicked`; machine_join waits for that before it joins, so that nobody signals a thread that is gone.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/log.h"
#include "vmm/devices/power.h"
#include "vmm/devices/serial.h"
#include "vmm/machine/acpi.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/cpuid.h"
#include "vmm/machine/irq.h"
#include "vmm/machine/kvm.h"
#include "vmm/machine/mptable.h"
#include "vmm/machine/vcpu.h"

/* virtio-mmio windows lie in the hole, a page apart: registers and configuration space fill 0x200 bytes of each. */
#define MMIO_FIRST_GPA 0xd0000000ull
#define MMIO_STRIDE    0x1000ull
#define MMIO_SIZE      0x200ull

#define VCPU_STACK_BYTES (256u << 10)

struct machine {
	struct machine_config config; /* kvm_fd is not used after machine_create */
	int vm_fd;
	struct guest_memory memory;
	struct bus pio, mmio;
	struct machine_mmio_slot slots[MACHINE_MMIO_DEVICES_MAX];
	unsigned int slot_count;
	struct vcpu vcpus[MACHINE_VCPUS_MAX];
	pthread_t threads[MACHINE_VCPUS_MAX];
	unsigned int thread_count;
	atomic_int end; /* enum machine_end */

	pthread_mutex_t lock; /* guards all below; taken with no other lock held */
	pthread_cond_t changed;
	bool gate_open;
	bool kicked;
};

struct vcpu_thread {
	struct machine *machine;
	struct vcpu *vcpu;
};

static int give_memory(struct machine *machine, struct err *err)
{
	for (unsigned int i = 0; i < machine->memory.region_count; i++) {
		const struct guest_region *region = &machine->memory.regions[i];
		int r = kvm_add_memory(
			machine->vm_fd, i, region->gpa, region->size_bytes, region->host, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int set_cpuid(struct machine *machine, const struct kvm_cpuid_entry2 *supported,
	uint32_t supported_count, struct vcpu *vcpu, struct err *err)
{
	struct kvm_cpuid_entry2 entries[KVM_CPUID_ENTRIES_MAX + CPUID_ENTRIES_SPARE];
	struct cpuid_request request = {
		.vcpu = vcpu->id,
		.vcpus = machine->config.vcpus,
		.nested = machine->config.nested,
	};
	uint32_t count = supported_count;
	int r;

	memcpy(entries, supported, supported_count * sizeof(entries[0]));
	r = cpuid_filter(entries, &count, ARRAY_SIZE(entries), &request, err);
	return r < 0 ? r : kvm_set_cpuid(vcpu->fd, entries, count, err);
}

static int create_vcpus(struct machine *machine, struct err *err)
{
	struct kvm_cpuid_entry2 supported[KVM_CPUID_ENTRIES_MAX];
	int kvm_fd = machine->config.kvm_fd;
	uint32_t count;
	int r = kvm_get_supported_cpuid(kvm_fd, supported, ARRAY_SIZE(supported), &count, err);

	for (unsigned int i = 0; r == 0 && i < machine->config.vcpus; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];

		r = vcpu_init(vcpu, kvm_fd, machine->vm_fd, i, &machine->pio, &machine->mmio, err);
		if (r == 0)
			r = set_cpuid(machine, supported, count, vcpu, err);
		if (r == 0)
			vcpu_set_firmware_state(vcpu);
	}
	return r;
}

static int build(struct machine *machine, struct err *err)
{
	int r = kvm_check(machine->config.kvm_fd, err);

	if (r == 0)
		r = kvm_create_vm(machine->config.kvm_fd, &machine->vm_fd, err);
	if (r == 0)
		r = kvm_init_platform(machine->vm_fd, err);
	if (r == 0)
		r = guest_memory_init(&machine->memory, machine->config.memory_bytes, err);
	if (r == 0)
		r = give_memory(machine, err);
	if (r == 0)
		r = create_vcpus(machine, err);
	if (r == 0)
		r = vcpu_install_kick(err);
	return r;
}

int machine_create(const struct machine_config *config, struct machine **ret, struct err *err)
{
	struct machine *machine;
	int r;

	if (config->vcpus < 1 || config->vcpus > MACHINE_VCPUS_MAX)
		return err_set(err, -EINVAL, "machine: %u vCPUs: must be 1 to %d", config->vcpus,
			MACHINE_VCPUS_MAX);
	machine = calloc(1, sizeof(*machine));
	if (!machine)
		return err_set(err, -ENOMEM, "machine: no memory");
	machine->config = *config;
	machine->vm_fd = -1;
	for (unsigned int i = 0; i < MACHINE_VCPUS_MAX; i++)
		machine->vcpus[i].fd = -1;
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);
	r = build(machine, err);
	if (r < 0) {
		machine_destroy(machine);
		return r;
	}
	*ret = machine;
	return 0;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	if (machine->thread_count) {
		machine_request_end(machine, MACHINE_END_STOPPED);
		machine_join(machine);
	}
	for (unsigned int i = 0; i < MACHINE_VCPUS_MAX; i++)
		vcpu_finish(&machine->vcpus[i]);
	close_keeping_errno(machine->vm_fd);
	guest_memory_finish(&machine->memory);
	pthread_cond_destroy(&machine->changed);
	pthread_mutex_destroy(&machine->lock);
	free(machine);
}

const struct guest_memory *machine_memory(const struct machine *machine)
{
	return &machine->memory;
}

struct bus *machine_pio(struct machine *machine)
{
	return &machine->pio;
}

struct bus *machine_mmio(struct machine *machine)
{
	return &machine->mmio;
}

int machine_add_mmio(struct machine *machine, const struct bus_ops *ops, void *handler,
	struct machine_mmio_slot *ret, struct err *err)
{
	unsigned int index = machine->slot_count;
	struct machine_mmio_slot slot = {
		.gpa = MMIO_FIRST_GPA + index * MMIO_STRIDE,
		.size = MMIO_SIZE,
		.gsi = IRQ_FIRST_DEVICE_GSI + index,
	};
	int r;

	if (index == MACHINE_MMIO_DEVICES_MAX)
		return err_set(
			err, -ENOSPC, "machine: more than %d devices", MACHINE_MMIO_DEVICES_MAX);
	r = bus_add(&machine->mmio, slot.gpa, slot.size, ops, handler, err);
	if (r < 0)
		return r;
	machine->slots[machine->slot_count++] = slot;
	*ret = slot;
	return 0;
}

int machine_add_ioeventfd(
	struct machine *machine, uint64_t gpa, uint32_t value, int event_fd, struct err *err)
{
	return kvm_add_ioeventfd(machine->vm_fd, gpa, value, event_fd, err);
}

int machine_add_irqfd(struct machine *machine, unsigned int gsi, int event_fd, struct err *err)
{
	if (gsi >= IRQ_GSI_COUNT)
		return err_set(err, -EINVAL, "machine: there is no interrupt %u", gsi);
	return kvm_add_irqfd(machine->vm_fd, gsi, event_fd, err);
}

static int load_acpi(struct machine *machine, struct err *err)
{
	const struct acpi_request request = {
		.gpa = BOOT_ACPI_GPA,
		.vcpus = machine->config.vcpus,
		.slots = machine->slots,
		.slot_count = machine->slot_count,
		.sleep_control_port = POWER_SLEEP_CONTROL_PORT,
		.sleep_status_port = POWER_SLEEP_STATUS_PORT,
		.s5_sleep_type = POWER_S5_SLEEP_TYPE,
		.reset_port = POWER_RESET_PORT,
		.reset_value = POWER_RESET_VALUE,
		.pvpanic_port = PVPANIC_PORT,
		.serial_port = SERIAL_PORT,
		.serial_gsi = SERIAL_GSI,
	};
	void *out = guest_slice(&machine->memory, BOOT_ACPI_GPA, ACPI_TABLES_SIZE_MAX);
	size_t len;

	if (!out)
		return err_set(err, -ENOMEM, "ACPI: no guest memory where tables belong");
	return acpi_build(&request, out, ACPI_TABLES_SIZE_MAX, &len, err);
}

static int load_mptable(struct machine *machine, struct err *err)
{
	void *out = guest_slice(&machine->memory, BOOT_MPTABLE_GPA, MPTABLE_SIZE_MAX);
	size_t len;

	if (!out)
		return err_set(err, -ENOMEM, "MP table: no guest memory where it belongs");
	return mptable_build(
		BOOT_MPTABLE_GPA, machine->config.vcpus, out, MPTABLE_SIZE_MAX, &len, err);
}

/* The caller's words and, where asked for, those of the devices: virtio_mmio.device=<size>@<gpa>:<irq>. */
static int make_cmdline(const struct machine *machine, const struct machine_boot *boot,
	char out[static MACHINE_CMDLINE_MAX], struct err *err)
{
	unsigned int count = boot->cmdline_devices ? machine->slot_count : 0;
	size_t len = strlen(boot->cmdline);
	int n;

	if (len >= MACHINE_CMDLINE_MAX)
		return err_set(
			err, -E2BIG, "command line: longer than %d bytes", MACHINE_CMDLINE_MAX - 1);
	memcpy(out, boot->cmdline, len + 1);
	for (unsigned int i = 0; i < count; i++, len += (size_t)n) {
		const struct machine_mmio_slot *slot = &machine->slots[i];

		n = snprintf(out + len, MACHINE_CMDLINE_MAX - len,
			" virtio_mmio.device=%#llx@%#llx:%u", (unsigned long long)slot->size,
			(unsigned long long)slot->gpa, slot->gsi);
		if (n < 0 || (size_t)n >= MACHINE_CMDLINE_MAX - len)
			return err_set(err, -E2BIG,
				"command line: the devices make it longer than %d bytes",
				MACHINE_CMDLINE_MAX - 1);
	}
	return 0;
}

int machine_load(struct machine *machine, const struct machine_boot *boot, struct err *err)
{
	struct boot_file initramfs = {};
	struct elf_image image;
	char cmdline[MACHINE_CMDLINE_MAX];
	int r = make_cmdline(machine, boot, cmdline, err);

	if (r == 0)
		r = boot_load_kernel(&machine->memory, boot->kernel_fd, &image, err);
	if (r == 0 && boot->initramfs_fd >= 0)
		r = boot_load_initramfs(
			&machine->memory, boot->initramfs_fd, image.end_gpa, &initramfs, err);
	if (r == 0)
		r = load_acpi(machine, err);
	if (r == 0 && boot->cmdline_devices)
		r = load_mptable(machine, err);
	if (r == 0)
		r = boot_write(&machine->memory, cmdline, &initramfs, BOOT_ACPI_GPA, err);
	if (r == 0)
		r = vcpu_set_entry(&machine->vcpus[0],
			&(struct vcpu_entry){
				.rip = image.entry_gpa,
				.rsi = BOOT_PARAMS_GPA,
				.rsp = BOOT_STACK_GPA,
				.cr3_gpa = BOOT_PAGE_TABLES_GPA,
				.gdt_gpa = BOOT_GDT_GPA,
			},
			err);
	return r;
}

static void wait_at_gate(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	while (!machine->gate_open)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

/* Narrows this thread; says whether it may run. */
static bool prepare_thread(struct machine *machine, const struct vcpu *vcpu)
{
	struct err err = {};

	if (atomic_load(&machine->end) != MACHINE_END_NONE)
		return false;
	if (machine->config.on_vcpu_thread &&
		machine->config.on_vcpu_thread(machine->config.data, &err) < 0) {
		log_error("vCPU %u: %s", vcpu->id, err.text);
		machine_request_end(machine, MACHINE_END_DEVICE);
		return false;
	}
	return true;
}

static void *run_vcpu(void *data)
{
	struct vcpu_thread thread = *(struct vcpu_thread *)data;

	free(data);
	wait_at_gate(thread.machine);
	if (prepare_thread(thread.machine, thread.vcpu))
		machine_request_end(thread.machine, vcpu_loop(thread.vcpu, &thread.machine->end));
	return NULL;
}

/* A thread has its creator's name at first; so no thread needs a call of its own for it (prctl is not in its table). */
static int create_named_thread(
	struct machine *machine, struct vcpu_thread *thread, const pthread_attr_t *attr)
{
	char own[16] = "", name[16];
	int r;

	snprintf(name, sizeof(name), "vcpu%u", thread->vcpu->id);
	prctl(PR_GET_NAME, own, 0, 0, 0);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	r = pthread_create(&machine->threads[thread->vcpu->id], attr, run_vcpu, thread);
	prctl(PR_SET_NAME, own, 0, 0, 0);
	return r;
}

static int create_thread(
	struct machine *machine, struct vcpu *vcpu, const pthread_attr_t *attr, struct err *err)
{
	struct vcpu_thread *thread = malloc(sizeof(*thread));
	int r;

	if (!thread)
		return err_set(err, -ENOMEM, "vCPU %u: no memory", vcpu->id);
	*thread = (struct vcpu_thread){ machine, vcpu };
	r = create_named_thread(machine, thread, attr);
	if (r) {
		free(thread);
		return err_set(err, -r, "vCPU %u: no thread: %s", vcpu->id, strerror(r));
	}
	machine->thread_count++;
	return 0;
}

/* vCPU threads take the kick and nothing else: all other signals are the main thread's. */
int machine_start(struct machine *machine, struct err *err)
{
	pthread_attr_t attr;
	sigset_t all_but_kick;
	int r = 0;

	sigfillset(&all_but_kick);
	sigdelset(&all_but_kick, VCPU_KICK_SIGNAL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK_BYTES);
	pthread_attr_setsigmask_np(&attr, &all_but_kick);
	for (unsigned int i = 0; r == 0 && i < machine->config.vcpus; i++)
		r = create_thread(machine, &machine->vcpus[i], &attr, err);
	pthread_attr_destroy(&attr);
	return r;
}

static void open_gate(struct machine *machine)
{
	machine->gate_open = true;
	pthread_cond_broadcast(&machine->changed);
}

void machine_run(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	open_gate(machine);
	pthread_mutex_unlock(&machine->lock);
}

void machine_request_end(struct machine *machine, enum machine_end end)
{
	int none = MACHINE_END_NONE;

	if (end == MACHINE_END_NONE ||
		!atomic_compare_exchange_strong(&machine->end, &none, (int)end))
		return;
	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->thread_count; i++)
		vcpu_kick(&machine->vcpus[i], machine->threads[i]);
	machine->kicked = true;
	open_gate(machine);
	pthread_mutex_unlock(&machine->lock);
	if (machine->config.on_end)
		machine->config.on_end(machine->config.data, end);
}

enum machine_end machine_join(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	while (!machine->kicked)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
	for (unsigned int i = 0; i < machine->thread_count; i++)
		pthread_join(machine->threads[i], NULL);
	machine->thread_count = 0;
	return (enum machine_end)atomic_load(&machine->end);
}

void machine_read_counters(const struct machine *machine, struct machine_counters *ret)
{
	struct machine_counters sum = {};

	for (unsigned int i = 0; i < machine->config.vcpus; i++) {
		const struct vcpu *vcpu = &machine->vcpus[i];

		sum.exits += atomic_load_explicit(&vcpu->exits, memory_order_relaxed);
		sum.exit_ns += atomic_load_explicit(&vcpu->exit_ns, memory_order_relaxed);
	}
	sum.first_run_ns =
		atomic_load_explicit(&machine->vcpus[0].first_run_ns, memory_order_relaxed);
	*ret = sum;
}
