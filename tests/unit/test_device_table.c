/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a whole machine, over a fake one: slots, event fds and buses are real, KVM is not. (The fake's functions
 * take the place of machine.c's, which is then not linked.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/virtq_driver.h"
#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/devices/device_table.h"
#include "vmm/devices/power.h"
#include "vmm/devices/serial.h"
#include "vmm/share/share.h"

#define MMIO_BASE 0xd0000000u
#define WINDOW	  0x1000u
#define KICKS_MAX 128

struct machine {
	struct fake_guest guest;
	struct bus pio, mmio;
	unsigned int slots;
	int irq_fds[32]; /* by gsi */
	struct {
		uint64_t gpa;
		uint32_t value;
		int fd;
	} kicks[KICKS_MAX];
	unsigned int kick_count;
	enum machine_end end;
};

const struct guest_memory *machine_memory(const struct machine *machine)
{
	return &machine->guest.memory;
}

struct bus *machine_pio(struct machine *machine)
{
	return &machine->pio;
}

int machine_add_mmio(struct machine *machine, const struct bus_ops *ops, void *handler,
	struct machine_mmio_slot *ret, struct err *err)
{
	if (machine->slots == MACHINE_MMIO_DEVICES_MAX)
		return err_set(err, -ENOSPC, "no slot");
	*ret = (struct machine_mmio_slot){
		.gpa = MMIO_BASE + machine->slots * WINDOW,
		.size = WINDOW,
		.gsi = 5 + machine->slots,
	};
	machine->slots++;
	return bus_add(&machine->mmio, ret->gpa, ret->size, ops, handler, err);
}

int machine_add_ioeventfd(
	struct machine *machine, uint64_t gpa, uint32_t value, int event_fd, struct err *err)
{
	(void)err;
	assert_true(machine->kick_count < KICKS_MAX);
	machine->kicks[machine->kick_count].gpa = gpa;
	machine->kicks[machine->kick_count].value = value;
	machine->kicks[machine->kick_count++].fd = event_fd;
	return 0;
}

int machine_add_irqfd(struct machine *machine, unsigned int gsi, int event_fd, struct err *err)
{
	(void)err;
	assert_true(gsi < 32 && machine->irq_fds[gsi] == 0);
	machine->irq_fds[gsi] = event_fd;
	return 0;
}

void machine_request_end(struct machine *machine, enum machine_end end)
{
	machine->end = end;
}

static struct machine machine_under_test;

static int setup(void **state)
{
	machine_under_test = (struct machine){};
	fake_guest_init(&machine_under_test.guest, 4u << 20);
	*state = &machine_under_test;
	return 0;
}

static int teardown(void **state)
{
	struct machine *machine = *state;

	fake_guest_finish(&machine->guest);
	return 0;
}

static void out(struct machine *machine, unsigned int slot, uint32_t reg, uint32_t value)
{
	uint8_t data[4];

	store_le32(data, value);
	bus_write(&machine->mmio, MMIO_BASE + slot * WINDOW + reg, data, 4);
}

static uint32_t in(struct machine *machine, unsigned int slot, uint32_t reg)
{
	uint8_t data[4];

	bus_read(&machine->mmio, MMIO_BASE + slot * WINDOW + reg, data, 4);
	return load_le32(data);
}

static void kick(struct machine *machine, unsigned int slot, uint32_t queue)
{
	uint64_t one = 1;

	for (unsigned int i = 0; i < machine->kick_count; i++)
		if (machine->kicks[i].gpa == MMIO_BASE + slot * WINDOW + 0x50 &&
			machine->kicks[i].value == queue) {
			assert_int_equal(write(machine->kicks[i].fd, &one, 8), 8);
			return;
		}
	fail();
}

/* An acknowledged interrupt costs no exit (virtio/mmio.h): KVM takes it, for an fd that is not a queue's. */
static void assert_acks_are_taken(const struct machine *machine, unsigned int slot)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < machine->kick_count; i++)
		if (machine->kicks[i].gpa == MMIO_BASE + slot * WINDOW + 0x64) {
			assert_int_equal(machine->kicks[i].value, 1);
			found++;
		}
	assert_int_equal(found, 1);
}

static void wait_irq(struct machine *machine, unsigned int slot)
{
	struct pollfd poll_fd = { .fd = machine->irq_fds[5 + slot], .events = POLLIN };
	uint64_t count;

	assert_int_equal(poll(&poll_fd, 1, 2000), 1);
	assert_int_equal(read(poll_fd.fd, &count, 8), 8);
}

/* As a guest's driver would: queue by queue through the registers. */
static void start_queue(
	struct machine *machine, unsigned int slot, uint32_t index, struct virtq_driver *queue)
{
	out(machine, slot, 0x70, 0);
	out(machine, slot, 0x70, 3);
	out(machine, slot, 0x24, 1);
	out(machine, slot, 0x20, 1); /* VERSION_1 */
	out(machine, slot, 0x70, 11);
	virtq_driver_init(queue, &machine->guest, 16, false);
	out(machine, slot, 0x30, index);
	out(machine, slot, 0x38, 16);
	out(machine, slot, 0x80, (uint32_t)queue->desc_gpa);
	out(machine, slot, 0x90, (uint32_t)queue->avail_gpa);
	out(machine, slot, 0xa0, (uint32_t)queue->used_gpa);
	out(machine, slot, 0x44, 1);
	out(machine, slot, 0x70, 15);
	assert_int_equal(in(machine, slot, 0x70), 15);
}

static void print_serial(struct machine *machine, const char *text)
{
	for (; *text; text++)
		bus_write(&machine->pio, SERIAL_PORT, (const uint8_t *)text, 1);
}

static void test_a_machine_full_of_devices(void **state)
{
	static const uint32_t ids[] = { 3, 4, 5, 19, 2, 2 };
	static const char *const names[] = { "console", "rng", "balloon", "vsock", "blk", "blk" };
	struct machine *machine = *state;
	int log_fd = memfd_create("log", MFD_CLOEXEC), disk_fd = memfd_create("disk", MFD_CLOEXEC);
	int broker[2], broker_made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, broker);
	const struct devices_disk disks[] = {
		{ .id = "root", .fd = disk_fd, .read_only = true },
		{ .id = "data", .fd = disk_fd },
	};
	const struct devices_config config = {
		.machine = machine,
		.console_fd = log_fd,
		.vsock_fd = broker[0],
		.guest_cid = 3,
		.disks = disks,
		.disk_count = 2,
	};
	struct virtq_driver queue;
	struct devices *devices;
	struct err err = {};
	uint8_t random[32] = {};
	uint32_t written;
	char log[64] = {};

	assert_int_equal(broker_made, 0);
	assert_int_equal(ftruncate(disk_fd, 1 << 20), 0);
	if (devices_create(&config, &devices, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(devices_count(devices), 6);
	assert_null(devices_name(devices, 6));
	assert_int_equal(devices_start(devices, NULL), 0);
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(in(machine, i, 8), ids[i]);
		assert_string_equal(devices_name(devices, i), names[i]);
		assert_true(machine->irq_fds[5 + i] > 0);
		assert_acks_are_taken(machine, i);
	}
	assert_true(machine->irq_fds[SERIAL_GSI] > 0);
	assert_int_equal(in(machine, 4, 0x100), (1 << 20) / 512);

	start_queue(machine, 1, 0, &queue);
	assert_true(virtq_driver_request(&queue, NULL, 0, sizeof(random), 0, false) >= 0);
	kick(machine, 1, 0);
	wait_irq(machine, 1);
	assert_true(virtq_driver_collect(&queue, NULL, &written, random, sizeof(random)));
	assert_int_equal(written, sizeof(random));

	start_queue(machine, 0, 1, &queue);
	assert_true(virtq_driver_request(&queue, "hvc0\n", 5, 0, 0, false) >= 0);
	kick(machine, 0, 1);
	wait_irq(machine, 0);
	assert_int_equal(pread(log_fd, log, 5, 0), 5);
	assert_memory_equal(log, "hvc0\n", 5);

	print_serial(machine, "last words");
	devices_stop(devices);
	assert_int_equal(pread(log_fd, log, sizeof(log), 0), 15);
	assert_memory_equal(log, "hvc0\nlast words", 15);
	bus_write(&machine->pio, POWER_RESET_PORT, (const uint8_t[]){ POWER_RESET_VALUE }, 1);
	assert_int_equal(machine->end, MACHINE_END_REBOOT);
	devices_destroy(devices);
	close(log_fd);
	close(disk_fd);
	close(broker[0]);
	close(broker[1]);
}

/* In libc's place: a flush that lasts as long as the test wants. */
static int flush_gate[2] = { -1, -1 };

int fdatasync(int fd)
{
	char go;

	(void)fd;
	return flush_gate[0] < 0 || read(flush_gate[0], &go, 1) == 1 ? 0 : -1;
}

static bool interrupted(const struct machine *machine, unsigned int slot)
{
	struct pollfd poll_fd = { .fd = machine->irq_fds[5 + slot], .events = POLLIN };

	return poll(&poll_fd, 1, 100) == 1;
}

/* What waits for a disk holds up neither the other devices nor the other disk. */
static void test_a_slow_flush_stalls_its_own_disk_only(void **state)
{
	static const uint8_t flush[16] = { 4 };
	struct machine *machine = *state;
	int disk_fd = memfd_create("disk", MFD_CLOEXEC);
	const struct devices_disk disks[] = { { .id = "slow", .fd = disk_fd },
		{ .id = "other", .fd = disk_fd, .read_only = true } };
	const struct devices_config config = { .machine = machine,
		.console_fd = -1,
		.vsock_fd = -1,
		.disks = disks,
		.disk_count = 2 };
	struct virtq_driver slow, other, rng;
	struct devices *devices;
	uint8_t answer[1 + 512];
	uint32_t written;

	assert_int_equal(ftruncate(disk_fd, 1 << 20), 0);
	assert_int_equal(devices_create(&config, &devices, NULL), 0);
	assert_int_equal(devices_start(devices, NULL), 0);
	start_queue(machine, 1, 0, &rng);
	start_queue(machine, 3, 0, &slow);
	start_queue(machine, 4, 0, &other);
	assert_int_equal(pipe(flush_gate), 0);
	assert_true(virtq_driver_request(&slow, flush, sizeof(flush), 1, 0, false) >= 0);
	kick(machine, 3, 0);

	assert_true(virtq_driver_request(&rng, NULL, 0, 16, 0, false) >= 0);
	kick(machine, 1, 0);
	wait_irq(machine, 1);
	assert_true(virtq_driver_request(&other, (const uint8_t[16]){}, 16, 513, 0, false) >= 0);
	kick(machine, 4, 0);
	wait_irq(machine, 4);
	assert_true(virtq_driver_collect(&other, NULL, &written, answer, sizeof(answer)));
	assert_int_equal(written, 513);
	assert_false(interrupted(machine, 3));

	assert_int_equal(write(flush_gate[1], "", 1), 1);
	wait_irq(machine, 3);
	assert_true(virtq_driver_collect(&slow, NULL, &written, answer, sizeof(answer)));
	assert_int_equal(answer[0], 0);
	devices_stop(devices);
	devices_destroy(devices);
	close(flush_gate[0]);
	close(flush_gate[1]);
	flush_gate[0] = -1;
	close(disk_fd);
}

struct told {
	unsigned int device;
	uint64_t faults;
	char console[16];
	int pipe[2];
};

static void tell_fault(void *data, unsigned int device, uint64_t faults)
{
	struct told *told = data;

	told->device = device;
	told->faults = faults;
}

static void tell_console(void *data, const void *bytes, size_t len)
{
	struct told *told = data;

	assert_true(len < sizeof(told->console));
	memcpy(told->console, bytes, len);
}

static void test_faults_and_output_are_told(void **state)
{
	struct machine *machine = *state;
	struct told told = {};
	struct devices_config config = {
		.machine = machine,
		.vsock_fd = -1,
		.on_fault = tell_fault,
		.on_console = tell_console,
		.data = &told,
	};
	struct loop *loop;
	struct virtq_driver queue;
	struct devices *devices;
	char text[8] = {};

	assert_int_equal(pipe(told.pipe), 0);
	assert_int_equal(loop_create(&loop), 0);
	config.loop = loop;
	config.console_fd = told.pipe[1]; /* no regular file: just written */
	assert_int_equal(devices_create(&config, &devices, NULL), 0);
	assert_int_equal(devices_count(devices), 3);
	assert_int_equal(devices_start(devices, NULL), 0);
	start_queue(machine, 1, 0, &queue);
	virtq_driver_offer_head(&queue, 999);
	kick(machine, 1, 0);
	wait_irq(machine, 1);
	assert_int_equal(in(machine, 1, 0x70), 15 | 64);
	print_serial(machine, "hi\n");
	assert_int_equal(read(told.pipe[0], text, sizeof(text)), 3);
	devices_stop(devices);
	assert_string_equal(text, "hi\n");
	assert_string_equal(told.console, "hi\n");
	assert_int_equal(told.device, 1);
	assert_int_equal(told.faults, 1);
	devices_destroy(devices);
	loop_destroy(loop);
	close(told.pipe[0]);
	close(told.pipe[1]);
}

static void ignore_loss(void *data, unsigned int share, uint64_t kept)
{
	(void)data;
	(void)share;
	(void)kept;
}

/* Each share has a slot and a loop of its own; a 9p version handshake goes through. */
static void test_shares(void **state)
{
	static const uint8_t version[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0, 0x20, 0, 0, 8, 0, '9',
		'P', '2', '0', '0', '0', '.', 'L' };
	struct machine *machine = *state;
	int proc_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct share_config shares[] = {
		{ .root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
			.proc_fd = proc_fd,
			.proc_path = "/proc/self/fd",
			.kind = IDMAP_HOST,
			.readonly = true },
		{ .root_fd = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC),
			.proc_fd = proc_fd,
			.proc_path = "/proc/self/fd",
			.kind = IDMAP_INTERNAL,
			.readonly = true },
	};
	const struct devices_share listed[] = { { .tag = "usr", .config = &shares[0] },
		{ .tag = "etc", .config = &shares[1] } };
	const struct devices_config config = {
		.machine = machine,
		.console_fd = -1,
		.vsock_fd = -1,
		.shares = listed,
		.share_count = 2,
		.on_share_loss = ignore_loss,
	};
	struct virtq_driver queue;
	struct devices *devices;
	struct err err = {};
	uint8_t answer[64] = {};
	uint32_t written;

	if (devices_create(&config, &devices, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(devices_count(devices), 5);
	assert_int_equal(devices_start(devices, NULL), 0);
	for (unsigned int slot = 3; slot < 5; slot++) {
		assert_int_equal(in(machine, slot, 8), 9);
		start_queue(machine, slot, 0, &queue);
		assert_true(virtq_driver_request(&queue, version, sizeof(version), sizeof(answer),
				    0, false) >= 0);
		kick(machine, slot, 0);
		wait_irq(machine, slot);
		assert_true(virtq_driver_collect(&queue, NULL, &written, answer, sizeof(answer)));
		assert_int_equal(written, 21);
		assert_int_equal(answer[4], 101);
	}
	devices_stop(devices);
	devices_destroy(devices);
	close(proc_fd);
}

static void test_errors_leave_nothing_behind(void **state)
{
	struct machine *machine = *state;
	const struct devices_disk disk = { .id = "none", .fd = -1 };
	struct devices_config config = {
		.machine = machine,
		.console_fd = -1,
		.vsock_fd = -1,
		.disks = &disk,
		.disk_count = 1,
	};
	struct devices *devices = NULL;
	struct err err = {};

	assert_int_equal(devices_create(&config, &devices, &err), -EBADF);
	assert_null(devices);
	assert_non_null(strstr(err.text, "disk none"));
	devices_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_machine_full_of_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults_and_output_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_slow_flush_stalls_its_own_disk_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_leave_nothing_behind, setup, teardown),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
