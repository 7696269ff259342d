/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of a few instructions in a real VM: port and memory-mapped exits, ioeventfd, irqfd, each way to end. They run
 * also where KVM emulates ring 0. Skipped (77) where /dev/kvm cannot be opened.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/bytes.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/measure.h"

#define MIB	       (1ull << 20)
#define CODE_GPA       (16 * MIB)
#define SPARE_GPA      (8 * MIB)
#define TEST_TIMEOUT_S 60

struct fixture {
	int kvm_fd;
	struct machine *machine;
	struct machine_mmio_slot slot;
	unsigned int ends; /* calls of on_end */
	enum machine_end end;
	uint8_t port_written[8];
	unsigned int port_writes;
	uint64_t mmio_offset;
	uint32_t mmio_written;
	unsigned int mmio_writes;
};

static void port_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	(void)handler;
	(void)offset;
	memset(data, 0x5a, len);
}

/* Port 0 collects bytes, port 1 ends the machine for the reason written. */
static void port_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct fixture *f = handler;

	(void)len;
	if (offset == 1)
		machine_request_end(f->machine, (enum machine_end)data[0]);
	else if (f->port_writes < sizeof(f->port_written))
		f->port_written[f->port_writes++] = data[0];
}

static const struct bus_ops port_ops = {
	.name = "test port", .read = port_read, .write = port_write
};

static void mmio_read(void *handler, uint64_t offset, uint8_t *data, unsigned int len)
{
	(void)handler;
	(void)offset;
	memset(data, 0x77, len);
}

static void mmio_write(void *handler, uint64_t offset, const uint8_t *data, unsigned int len)
{
	struct fixture *f = handler;

	f->mmio_offset = offset;
	f->mmio_writes++;
	if (len == 4)
		memcpy(&f->mmio_written, data, 4);
}

static const struct bus_ops mmio_ops = {
	.name = "test mmio", .read = mmio_read, .write = mmio_write
};

static void on_end(void *data, enum machine_end end)
{
	struct fixture *f = data;

	f->ends++;
	f->end = end;
}

static int kernel_of(const uint8_t *code, size_t size)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p;
		uint8_t code[256];
	} file = {
		.e = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_entry = CODE_GPA,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.p = {
			.p_type = PT_LOAD,
			.p_offset = offsetof(typeof(file), code),
			.p_filesz = sizeof(file.code),
			.p_memsz = sizeof(file.code),
			.p_paddr = CODE_GPA,
		},
	};
	int fd = memfd_create("payload", MFD_CLOEXEC);

	assert_true(fd >= 0 && size <= sizeof(file.code));
	memcpy(file.code, code, size);
	assert_int_equal(fdio_write_full(fd, &file, sizeof(file)), 0);
	return fd;
}

static void create(struct fixture *f, unsigned int vcpus)
{
	const struct machine_config config = {
		.kvm_fd = f->kvm_fd,
		.vcpus = vcpus,
		.memory_bytes = 64 * MIB,
		.on_end = on_end,
		.data = f,
	};
	struct err err = {};

	if (machine_create(&config, &f->machine, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(bus_add(machine_pio(f->machine), 0x3f8, 2, &port_ops, f, NULL), 0);
	assert_int_equal(machine_add_mmio(f->machine, &mmio_ops, f, &f->slot, NULL), 0);
}

/* The boot tables map the first GiB; payloads also want the fourth, where devices and interrupt controllers are. */
static void map_devices(struct fixture *f)
{
	uint8_t *pdpt = guest_slice(machine_memory(f->machine), BOOT_PAGE_TABLES_GPA + 4096, 4096);
	uint8_t *pd = guest_slice(machine_memory(f->machine), SPARE_GPA, 4096);

	store_le64(pdpt + 3 * 8, SPARE_GPA | 3);
	for (uint64_t i = 0; i < 512; i++)
		store_le64(pd + i * 8, (0xc0000000 + i * 2 * MIB) | 0x83);
}

static void load(struct fixture *f, const uint8_t *code, size_t size)
{
	_cleanup_close_ int kernel = kernel_of(code, size);
	const struct machine_boot boot = { .kernel_fd = kernel, .initramfs_fd = -1, .cmdline = "" };
	struct err err = {};

	if (machine_load(f->machine, &boot, &err) < 0)
		fail_msg("%s", err.text);
	map_devices(f);
}

static enum machine_end run(struct fixture *f)
{
	assert_int_equal(machine_start(f->machine, NULL), 0);
	machine_run(f->machine);
	return machine_join(f->machine);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
	*state = &f;
	alarm(TEST_TIMEOUT_S);
	return f.kvm_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	machine_destroy(f->machine);
	close(f->kvm_fd);
	return 0;
}

static void test_exits_reach_their_handlers(void **state)
{
	static const uint8_t code[] = {
		0x66, 0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
		0xb0, 'A', 0xee, /* mov al, 'A'; out dx, al */
		0xec, 0xee, /* in al, dx; out dx, al */
		0xbf, 0x00, 0x00, 0x00, 0xd0, /* mov edi, 0xd0000000: the first slot */
		0x8b, 0x47, 0x04, /* mov eax, [rdi + 4] */
		0x89, 0x47, 0x08, /* mov [rdi + 8], eax */
		0x66, 0xba, 0xf9, 0x03, /* mov dx, 0x3f9 */
		0xb0, MACHINE_END_POWEROFF, 0xee, /* end */
		0xeb, 0xfe, /* 1: jmp 1b */
	};
	struct fixture *f = *state;
	struct machine_counters counters;

	create(f, 1);
	assert_int_equal(f->slot.gpa, 0xd0000000);
	load(f, code, sizeof(code));
	assert_int_equal(run(f), MACHINE_END_POWEROFF);
	assert_int_equal(f->port_writes, 2);
	assert_memory_equal(f->port_written, "A\x5a", 2);
	assert_int_equal(f->mmio_writes, 1);
	assert_int_equal(f->mmio_offset, 8);
	assert_int_equal(f->mmio_written, 0x77777777);
	assert_int_equal(f->ends, 1);
	assert_int_equal(f->end, MACHINE_END_POWEROFF);
	machine_read_counters(f->machine, &counters);
	assert_true(counters.exits >= 6);
	assert_true(counters.first_run_ns > 0);
}

static void test_kicks_by_eventfd(void **state)
{
	static const uint8_t code[] = {
		0xbf,
		0x50,
		0x00,
		0x00,
		0xd0, /* mov edi, 0xd0000050 */
		0xc7,
		0x07,
		0x01,
		0x00,
		0x00,
		0x00, /* mov dword [rdi], 1: watched */
		0xc7,
		0x07,
		0x02,
		0x00,
		0x00,
		0x00, /* mov dword [rdi], 2: not watched */
		0x66,
		0xba,
		0xf9,
		0x03, /* mov dx, 0x3f9 */
		0xb0,
		MACHINE_END_REBOOT,
		0xee, /* end */
		0xeb,
		0xfe,
	};
	_cleanup_close_ int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fixture *f = *state;
	uint64_t ticks = 0;

	create(f, 1);
	assert_int_equal(machine_add_ioeventfd(f->machine, f->slot.gpa + 0x50, 1, kick, NULL), 0);
	load(f, code, sizeof(code));
	assert_int_equal(run(f), MACHINE_END_REBOOT);
	assert_int_equal(read(kick, &ticks, sizeof(ticks)), sizeof(ticks));
	assert_int_equal(ticks, 1);
	assert_int_equal(f->mmio_writes, 1);
	assert_int_equal(f->mmio_written, 2);
}

/* The payload polls the local APIC's request register, having opened the I/O APIC's input and the LAPIC. */
static void test_interrupts_by_eventfd(void **state)
{
	static const uint8_t code[] = {
		0xbe,
		0x00,
		0x00,
		0xe0,
		0xfe, /* mov esi, 0xfee00000 */
		0xc7,
		0x86,
		0xf0,
		0x00,
		0x00,
		0x00,
		0xff,
		0x01,
		0x00,
		0x00, /* mov dword [rsi + 0xf0], 0x1ff */
		0xbf,
		0x00,
		0x00,
		0xc0,
		0xfe, /* mov edi, 0xfec00000 */
		0xc7,
		0x07,
		0x1a,
		0x00,
		0x00,
		0x00, /* mov dword [rdi], 0x10 + 2 * 5: input 5 */
		0xc7,
		0x47,
		0x10,
		0x40,
		0x00,
		0x00,
		0x00, /* mov dword [rdi + 0x10], 0x40: vector 64, edge */
		0x66,
		0xba,
		0xf8,
		0x03,
		0xee, /* mov dx, 0x3f8; out dx, al: ready */
		0xf7,
		0x86,
		0x20,
		0x02,
		0x00,
		0x00,
		0x01,
		0x00,
		0x00,
		0x00, /* 1: test dword [rsi + 0x220], 1 */
		0x74,
		0xf4, /* jz 1b */
		0x66,
		0xba,
		0xf9,
		0x03, /* mov dx, 0x3f9 */
		0xb0,
		MACHINE_END_POWEROFF,
		0xee, /* end */
		0xeb,
		0xfe,
	};
	_cleanup_close_ int irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1;
	struct fixture *f = *state;

	create(f, 1);
	assert_int_equal(f->slot.gsi, 5);
	assert_int_equal(machine_add_irqfd(f->machine, f->slot.gsi, irq, NULL), 0);
	assert_int_equal(machine_add_irqfd(f->machine, 24, irq, NULL), -EINVAL);
	load(f, code, sizeof(code));
	assert_int_equal(machine_start(f->machine, NULL), 0);
	machine_run(f->machine);
	while (__atomic_load_n(&f->port_writes, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	assert_int_equal(write(irq, &one, sizeof(one)), sizeof(one));
	assert_int_equal(machine_join(f->machine), MACHINE_END_POWEROFF);
}

static void test_a_triple_fault_ends_it(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2, with no IDT */
	struct fixture *f = *state;

	create(f, 1);
	load(f, code, sizeof(code));
	assert_int_equal(run(f), MACHINE_END_TRIPLE_FAULT);
}

static void *end_later(void *data)
{
	struct fixture *f = data;

	usleep(50000);
	machine_request_end(f->machine, MACHINE_END_STOPPED);
	machine_request_end(f->machine, MACHINE_END_PANIC); /* too late to matter */
	return NULL;
}

/* One vCPU in an endless loop, three that were never started. */
static void test_another_thread_ends_it(void **state)
{
	static const uint8_t code[] = { 0xeb, 0xfe };
	struct fixture *f = *state;
	pthread_t thread;

	create(f, 4);
	load(f, code, sizeof(code));
	assert_int_equal(pthread_create(&thread, NULL, end_later, f), 0);
	assert_int_equal(run(f), MACHINE_END_STOPPED);
	pthread_join(thread, NULL);
	assert_int_equal(f->ends, 1);
}

static void test_an_end_before_the_start(void **state)
{
	static const uint8_t code[] = { 0xeb, 0xfe };
	struct fixture *f = *state;

	create(f, 2);
	load(f, code, sizeof(code));
	assert_int_equal(machine_start(f->machine, NULL), 0);
	machine_request_end(f->machine, MACHINE_END_STOPPED);
	assert_int_equal(machine_join(f->machine), MACHINE_END_STOPPED);
}

static int refuse_thread(void *data, struct err *err)
{
	(void)data;
	return err_set(err, -EPERM, "refused by the test");
}

/* H4: a vCPU that cannot narrow itself does not run. */
static void test_no_vcpu_without_its_jail(void **state)
{
	struct fixture *f = *state;
	const struct machine_config config = {
		.kvm_fd = f->kvm_fd,
		.vcpus = 2,
		.memory_bytes = 64 * MIB,
		.on_vcpu_thread = refuse_thread,
	};
	static const uint8_t code[] = { 0xeb, 0xfe };

	assert_int_equal(machine_create(&config, &f->machine, NULL), 0);
	load(f, code, sizeof(code));
	assert_int_equal(run(f), MACHINE_END_DEVICE);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct machine_config config = {
		.kvm_fd = f->kvm_fd, .vcpus = 0, .memory_bytes = 64 * MIB
	};
	char cmdline[MACHINE_CMDLINE_MAX + 1];
	_cleanup_close_ int kernel = kernel_of((const uint8_t *)"\xf4", 1);
	const struct machine_boot boot = {
		.kernel_fd = kernel, .initramfs_fd = -1, .cmdline = cmdline
	};
	struct machine_mmio_slot slot;

	assert_int_equal(machine_create(&config, &f->machine, NULL), -EINVAL);
	config.vcpus = MACHINE_VCPUS_MAX + 1;
	assert_int_equal(machine_create(&config, &f->machine, NULL), -EINVAL);
	config.vcpus = 1;
	config.memory_bytes = 63 * MIB;
	assert_int_equal(machine_create(&config, &f->machine, NULL), -EINVAL);
	create(f, 1);
	for (unsigned int i = 1; i < MACHINE_MMIO_DEVICES_MAX; i++)
		assert_int_equal(machine_add_mmio(f->machine, &mmio_ops, f, &slot, NULL), 0);
	assert_int_equal(slot.gsi, 23);
	assert_int_equal(machine_add_mmio(f->machine, &mmio_ops, f, &slot, NULL), -ENOSPC);
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	cmdline[MACHINE_CMDLINE_MAX] = '\0';
	assert_int_equal(machine_load(f->machine, &boot, NULL), -E2BIG);
}

static void test_measuring_comes_to_a_verdict(void **state)
{
	struct measure_result result;
	struct err err = {};

	(void)state;
	measure_kvm("/dev/kvm", &result, &err);
	assert_true(result.verdict == MEASURE_FIT || result.verdict == MEASURE_EMULATED);
	assert_true(result.ring3_per_s > 0);
	measure_kvm("/nonexistent/kvm", &result, &err);
	assert_int_equal(result.verdict, MEASURE_ABSENT);
	measure_kvm("/dev/null", &result, &err);
	assert_int_equal(result.verdict, MEASURE_EMULATED);
}

#define VM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VM_TEST(test_exits_reach_their_handlers),
		VM_TEST(test_kicks_by_eventfd),
		VM_TEST(test_interrupts_by_eventfd),
		VM_TEST(test_a_triple_fault_ends_it),
		VM_TEST(test_another_thread_ends_it),
		VM_TEST(test_an_end_before_the_start),
		VM_TEST(test_no_vcpu_without_its_jail),
		VM_TEST(test_limits),
		VM_TEST(test_measuring_comes_to_a_verdict),
	};

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		printf("skipped: /dev/kvm: %m\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
