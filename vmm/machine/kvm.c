/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"

/* Pages that Intel's KVM wants for guests in real mode; in the hole below 4 GiB, where no RAM and no device is. */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA		 0xfffbd000ul

#define API_VERSION 12

static const struct {
	unsigned int capability;
	const char *name;
} required[] = {
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
	{ KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

bool kvm_has(int kvm_fd, unsigned int capability)
{
	return ioctl(kvm_fd, KVM_CHECK_EXTENSION, (unsigned long)capability) > 0;
}

int kvm_check(int kvm_fd, struct err *err)
{
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_set(err, -errno, "KVM: not a KVM device: %m");
	if (version != API_VERSION)
		return err_set(err, -ENOTSUP, "KVM: API version %d, need %d", version, API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (!kvm_has(kvm_fd, required[i].capability))
			return err_set(
				err, -ENOTSUP, "KVM: this kernel's KVM lacks %s", required[i].name);
	return 0;
}

int kvm_create_vm(int kvm_fd, int *ret_vm_fd, struct err *err)
{
	int fd;

	/* The call gives up with EINTR under a signal storm; the kernel asks to try again. */
	do
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0ul);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return err_set(err, -errno, "KVM: cannot create a VM: %m");
	*ret_vm_fd = fd;
	return 0;
}

/* V10: a locked access over two cache lines stops the whole host's bus: it exits, and vcpu.c makes it slow. */
static void enable_bus_lock_exit(int vm_fd)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_BUS_LOCK_EXIT,
		.args = { KVM_BUS_LOCK_DETECTION_EXIT },
	};
	int modes = ioctl(vm_fd, KVM_CHECK_EXTENSION, (unsigned long)KVM_CAP_X86_BUS_LOCK_EXIT);

	if (modes > 0 && modes & KVM_BUS_LOCK_DETECTION_EXIT)
		ioctl(vm_fd, KVM_ENABLE_CAP, &cap);
}

int kvm_init_platform(int vm_fd, struct err *err)
{
	uint64_t identity_map = IDENTITY_MAP_GPA;

	if (ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		return err_set(err, -errno, "KVM: cannot place the identity map: %m");
	if (ioctl(vm_fd, KVM_SET_TSS_ADDR, TSS_GPA) < 0)
		return err_set(err, -errno, "KVM: cannot place the TSS: %m");
	if (ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0ul) < 0)
		return err_set(err, -errno, "KVM: cannot create interrupt controllers: %m");
	enable_bus_lock_exit(vm_fd);
	return 0;
}

int kvm_add_memory(
	int vm_fd, uint32_t slot, uint64_t gpa, uint64_t size_bytes, void *host, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size_bytes,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_set(err, -errno, "KVM: cannot give the guest %llu MiB at %#llx: %m",
			(unsigned long long)(size_bytes >> 20), (unsigned long long)gpa);
	return 0;
}

int kvm_add_ioeventfd(int vm_fd, uint64_t gpa, uint32_t value, int event_fd, struct err *err)
{
	struct kvm_ioeventfd ioeventfd = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	if (ioctl(vm_fd, KVM_IOEVENTFD, &ioeventfd) < 0)
		return err_set(err, -errno, "KVM: cannot watch writes of %u to %#llx: %m", value,
			(unsigned long long)gpa);
	return 0;
}

int kvm_add_irqfd(int vm_fd, uint32_t gsi, int event_fd, struct err *err)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd, .gsi = gsi };

	if (ioctl(vm_fd, KVM_IRQFD, &irqfd) < 0)
		return err_set(err, -errno, "KVM: cannot bind an event to interrupt %u: %m", gsi);
	return 0;
}

static struct kvm_cpuid2 *cpuid_alloc(uint32_t count)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + count * sizeof(struct kvm_cpuid_entry2));

	if (cpuid)
		cpuid->nent = count;
	return cpuid;
}

int kvm_get_supported_cpuid(int kvm_fd, struct kvm_cpuid_entry2 *entries, uint32_t capacity,
	uint32_t *ret_count, struct err *err)
{
	_cleanup_free_ struct kvm_cpuid2 *cpuid = cpuid_alloc(capacity);

	if (!cpuid)
		return err_set(err, -ENOMEM, "KVM: no memory for CPUID");
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return err_set(err, -errno, "KVM: cannot read the supported CPUID: %m");
	memcpy(entries, cpuid->entries, cpuid->nent * sizeof(entries[0]));
	*ret_count = cpuid->nent;
	return 0;
}

int kvm_set_cpuid(
	int vcpu_fd, const struct kvm_cpuid_entry2 *entries, uint32_t count, struct err *err)
{
	_cleanup_free_ struct kvm_cpuid2 *cpuid = cpuid_alloc(count);

	if (!cpuid)
		return err_set(err, -ENOMEM, "KVM: no memory for CPUID");
	memcpy(cpuid->entries, entries, count * sizeof(entries[0]));
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		return err_set(err, -errno, "KVM: refuses our CPUID: %m");
	return 0;
}

int kvm_create_vcpu(int vm_fd, unsigned int id, int *ret_vcpu_fd, struct err *err)
{
	int fd = ioctl(vm_fd, KVM_CREATE_VCPU, (unsigned long)id);

	if (fd < 0)
		return err_set(err, -errno, "KVM: cannot create vCPU %u: %m", id);
	*ret_vcpu_fd = fd;
	return 0;
}

int kvm_map_run(
	int kvm_fd, int vcpu_fd, struct kvm_run **ret_run, size_t *ret_size, struct err *err)
{
	int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (size < (int)sizeof(struct kvm_run))
		return err_set(err, -ENOTSUP, "KVM: a vCPU's shared page is too small");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED)
		return err_set(err, -errno, "KVM: cannot map a vCPU's shared page: %m");
	*ret_run = run;
	*ret_size = (size_t)size;
	return 0;
}

int kvm_get_sregs(int vcpu_fd, struct kvm_sregs *ret, struct err *err)
{
	if (ioctl(vcpu_fd, KVM_GET_SREGS, ret) < 0)
		return err_set(err, -errno, "KVM: cannot read a vCPU's system registers: %m");
	return 0;
}

int kvm_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs, struct err *err)
{
	if (ioctl(vcpu_fd, KVM_SET_SREGS, sregs) < 0)
		return err_set(err, -errno, "KVM: cannot set a vCPU's system registers: %m");
	return 0;
}

int kvm_get_regs(int vcpu_fd, struct kvm_regs *ret, struct err *err)
{
	if (ioctl(vcpu_fd, KVM_GET_REGS, ret) < 0)
		return err_set(err, -errno, "KVM: cannot read a vCPU's registers: %m");
	return 0;
}

int kvm_set_regs(int vcpu_fd, const struct kvm_regs *regs, struct err *err)
{
	if (ioctl(vcpu_fd, KVM_SET_REGS, regs) < 0)
		return err_set(err, -errno, "KVM: cannot set a vCPU's registers: %m");
	return 0;
}

int kvm_set_msr(int vcpu_fd, uint32_t index, uint64_t value)
{
	/* One entry behind the header; the kernel's struct ends in a flexible array. */
	union {
		struct kvm_msrs head;
		uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = { .head = { .nmsrs = 1 } };
	struct kvm_msr_entry entry = { .index = index, .data = value };
	int done;

	memcpy(msrs.bytes + sizeof(msrs.head), &entry, sizeof(entry));
	done = ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
	if (done < 0)
		return -errno;
	return done == 1 ? 0 : -ENOENT;
}

int kvm_run(int vcpu_fd)
{
	return ioctl(vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
}
