/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices/device_table.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/array.h"
#include "vmm/base/capped_log.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/fdio.h"
#include "vmm/base/log.h"
#include "vmm/devices/balloon.h"
#include "vmm/devices/blk.h"
#include "vmm/devices/console.h"
#include "vmm/devices/p9.h"
#include "vmm/devices/power.h"
#include "vmm/devices/rng.h"
#include "vmm/devices/serial.h"
#include "vmm/devices/vsock.h"
#include "vmm/virtio/mmio.h"

#define LOOPS_MAX	 (1 + DEVICES_DISKS_MAX + DEVICES_SHARES_MAX)
#define THREAD_NAME_SIZE 16 /* pthread_setname_np(3) */

struct device_loop {
	struct loop *loop;
	struct devices *devices;
	char name[THREAD_NAME_SIZE];
	pthread_t thread;
	bool running;
	bool borrowed; /* the loop is the caller's */
};

struct device_slot {
	struct virtio_device vdev;
	struct virtio_mmio mmio;
};

struct device_share {
	struct devices *devices;
	struct p9 *p9;
	struct loop_source *timer;
	uint64_t told; /* changes kept in memory, as told last */
	uint64_t refusals_told;
	unsigned int refused_told; /* of the files */
};

struct devices {
	struct machine *machine;
	struct devices_config config;
	struct device_loop loops[LOOPS_MAX]; /* the first is `devices` */
	unsigned int loop_count;
	struct device_slot slots[MACHINE_MMIO_DEVICES_MAX];
	unsigned int slot_count;

	bool console_capped;
	struct capped_log console_log;
	struct serial serial;
	bool serial_ready;
	int serial_irq_fd;
	int ack_fd; /* of all devices: KVM writes, nobody reads (virtio/mmio.h) */
	struct power power;
	struct console console;
	struct rng rng;
	struct balloon balloon;
	struct vsock_device *vsock;
	struct blk disks[DEVICES_DISKS_MAX];
	struct device_share shares[DEVICES_SHARES_MAX];
	size_t share_count;
};

static struct loop *common_loop(const struct devices *devices)
{
	return devices->loops[0].loop;
}

static struct loop *last_loop(const struct devices *devices)
{
	return devices->loops[devices->loop_count - 1].loop;
}

/* kind and index: the thread's name. */
static int add_loop(struct devices *devices, const char *kind, size_t index, struct err *err)
{
	struct device_loop *entry = &devices->loops[devices->loop_count];
	int r = loop_create(&entry->loop);

	if (r < 0)
		return err_set(err, r, "devices: cannot make a loop: %s", strerror(-r));
	entry->devices = devices;
	snprintf(entry->name, sizeof(entry->name), "%s %zu", kind, index);
	devices->loop_count++;
	return 0;
}

static int add_common_loop(struct devices *devices, struct err *err)
{
	struct device_loop *entry = &devices->loops[0];
	int r = 0;

	if (devices->config.loop) {
		*entry = (struct device_loop){
			.loop = devices->config.loop, .devices = devices, .borrowed = true
		};
		devices->loop_count = 1;
	} else {
		r = add_loop(devices, "devices", 0, err);
	}
	strcpy(entry->name, "devices");
	return r;
}

/* Serial and console print to the same place, from the same thread. */
static void print(void *data, const void *bytes, size_t len)
{
	struct devices *devices = data;

	if (devices->config.on_console)
		devices->config.on_console(devices->config.data, bytes, len);
	if (devices->console_capped)
		capped_log_write(&devices->console_log, bytes, len);
	else if (devices->config.console_fd >= 0 &&
		 fdio_write_full(devices->config.console_fd, bytes, len) < 0)
		devices->config.console_fd = -1; /* whoever listened is gone */
}

static void on_fault(void *data, struct virtio_device *vdev)
{
	struct devices *devices = data;

	if (devices->config.on_fault)
		devices->config.on_fault(devices->config.data, vdev->index, vdev->faults);
}

static int connect_to_machine(struct devices *devices, struct virtio_mmio *mmio, struct err *err)
{
	struct machine_mmio_slot slot;
	int r = machine_add_mmio(devices->machine, &virtio_mmio_bus_ops, mmio, &slot, err);

	if (r < 0)
		return r;
	r = machine_add_irqfd(devices->machine, slot.gsi, mmio->irq_fd, err);
	if (r >= 0)
		r = machine_add_ioeventfd(devices->machine, slot.gpa + VIRTIO_MMIO_INTERRUPT_ACK,
			VIRTIO_MMIO_ACK_USED, devices->ack_fd, err);
	for (uint16_t i = 0; i < mmio->vdev->ops->queue_count && r >= 0; i++)
		r = machine_add_ioeventfd(devices->machine, slot.gpa + VIRTIO_MMIO_QUEUE_NOTIFY, i,
			mmio->kicks[i].fd, err);
	return r;
}

static int add_virtio(struct devices *devices, const struct virtio_device_ops *ops, void *state,
	struct loop *loop, struct err *err)
{
	struct device_slot *slot = &devices->slots[devices->slot_count];
	int r;

	if (devices->slot_count == MACHINE_MMIO_DEVICES_MAX)
		return err_set(err, -ENOSPC, "devices: more than %d virtio devices",
			MACHINE_MMIO_DEVICES_MAX);
	virtio_device_init(&slot->vdev, ops, state, loop, machine_memory(devices->machine));
	slot->vdev.index = devices->slot_count;
	slot->vdev.on_fault = on_fault;
	slot->vdev.on_fault_data = devices;
	r = virtio_mmio_init(&slot->mmio, &slot->vdev, err);
	if (r < 0)
		return r;
	devices->slot_count++;
	return connect_to_machine(devices, &slot->mmio, err);
}

static int add_console_log(struct devices *devices, struct err *err)
{
	uint64_t cap = devices->config.console_cap_bytes;
	struct stat st;
	int r;

	if (devices->config.console_fd < 0)
		return 0;
	if (fstat(devices->config.console_fd, &st) < 0)
		return err_set(err, -errno, "console log: %s", strerror(errno));
	devices->console_capped = S_ISREG(st.st_mode);
	if (!devices->console_capped)
		return 0;
	r = capped_log_init(&devices->console_log, devices->config.console_fd,
		cap ? cap : DEVICES_CONSOLE_CAP_BYTES);
	return r < 0 ? err_set(err, r, "console log: %s", strerror(-r)) : 0;
}

static void raise_serial_irq(void *data)
{
	const struct devices *devices = data;
	uint64_t one = 1;

	if (write(devices->serial_irq_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: KVM takes it all the same. */
	}
}

static int add_serial(struct devices *devices, struct err *err)
{
	const struct serial_config config = {
		.loop = common_loop(devices),
		.output = print,
		.output_data = devices,
		.raise_irq = raise_serial_irq,
		.irq_data = devices,
	};
	int r;

	devices->serial_irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (devices->serial_irq_fd < 0)
		return err_set(err, -errno, "serial: cannot make an eventfd: %s", strerror(errno));
	r = serial_init(&devices->serial, &config, err);
	if (r < 0)
		return r;
	devices->serial_ready = true;
	r = serial_add(&devices->serial, machine_pio(devices->machine), err);
	if (r < 0)
		return r;
	return machine_add_irqfd(devices->machine, SERIAL_GSI, devices->serial_irq_fd, err);
}

static void end_machine(void *data, enum machine_end end)
{
	machine_request_end(data, end);
}

static int add_power(struct devices *devices, struct err *err)
{
	power_init(&devices->power, end_machine, devices->machine);
	return power_add(&devices->power, machine_pio(devices->machine), err);
}

static int add_console(struct devices *devices, struct err *err)
{
	console_init(&devices->console, print, devices);
	return add_virtio(
		devices, &console_device_ops, &devices->console, common_loop(devices), err);
}

static int add_rng(struct devices *devices, struct err *err)
{
	rng_init(&devices->rng);
	return add_virtio(devices, &rng_device_ops, &devices->rng, common_loop(devices), err);
}

static int add_balloon(struct devices *devices, struct err *err)
{
	balloon_init(&devices->balloon);
	return add_virtio(
		devices, &balloon_device_ops, &devices->balloon, common_loop(devices), err);
}

static int add_vsock(struct devices *devices, struct err *err)
{
	const struct devices_config *config = &devices->config;
	int r;

	if (config->vsock_fd < 0)
		return 0;
	r = vsock_create(
		common_loop(devices), config->vsock_fd, config->guest_cid, &devices->vsock, err);
	if (r < 0)
		return r;
	return add_virtio(devices, &vsock_device_ops, devices->vsock, common_loop(devices), err);
}

static int add_disks(struct devices *devices, struct err *err)
{
	const struct devices_config *config = &devices->config;

	if (config->disk_count > DEVICES_DISKS_MAX)
		return err_set(err, -ENOSPC, "disks: more than %d", DEVICES_DISKS_MAX);
	for (size_t i = 0; i < config->disk_count; i++) {
		const struct devices_disk *disk = &config->disks[i];
		struct blk *blk = &devices->disks[i];
		int r = blk_init(blk, disk->fd, disk->read_only, disk->id, err);

		if (r == 0)
			r = add_loop(devices, "disk", i, err);
		if (r < 0)
			return r;
		r = add_virtio(devices, &blk_device_ops, blk, last_loop(devices), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int protect_files(struct p9 *p9, const struct devices_share *share, struct err *err)
{
	for (size_t i = 0; i < share->protected_count; i++) {
		const struct devices_file_id *id = &share->protected_ids[i];
		int r = share_protect(p9_share(p9), id->device, id->inode);

		if (r < 0)
			return err_set(err, r, "share %s: too many protected files", share->tag);
	}
	return 0;
}

static void look_for_losses(struct device_share *share)
{
	struct devices *devices = share->devices;
	struct p9_server_counters counters;

	p9_read_counters(share->p9, &counters);
	if (counters.kept_in_memory + counters.lost <= share->told)
		return;
	share->told = counters.kept_in_memory + counters.lost;
	devices->config.on_share_loss(
		devices->config.data, (unsigned int)(share - devices->shares), share->told);
}

static void look_for_refusals(struct device_share *share)
{
	const struct devices_config *config = &share->devices->config;
	unsigned int index = (unsigned int)(share - share->devices->shares);
	const struct share *files = p9_share(share->p9);

	if (files->linked_outside == share->refusals_told)
		return;
	share->refusals_told = files->linked_outside;
	if (share->refused_told == files->refused_count)
		config->on_share_refusal(config->data, index, files->linked_outside, 0, 0);
	for (; share->refused_told < files->refused_count; share->refused_told++)
		config->on_share_refusal(config->data, index, files->linked_outside,
			files->refused[share->refused_told].device,
			files->refused[share->refused_told].inode);
}

static void look_at_share(void *data)
{
	struct device_share *share = data;

	if (share->devices->config.on_share_loss)
		look_for_losses(share);
	if (share->devices->config.on_share_refusal)
		look_for_refusals(share);
	loop_timer_set(share->timer, DEVICES_SHARE_LOOK_MS);
}

static int add_share_timer(struct device_share *share, struct loop *loop, struct err *err)
{
	int r;

	if (!share->devices->config.on_share_loss && !share->devices->config.on_share_refusal)
		return 0;
	r = loop_add_timer(loop, look_at_share, share, &share->timer);
	if (r >= 0)
		r = loop_timer_set(share->timer, DEVICES_SHARE_LOOK_MS);
	return r < 0 ? err_set(err, r, "share: no timer: %s", strerror(-r)) : 0;
}

static int add_share(struct devices *devices, const struct devices_share *config, struct err *err)
{
	struct device_share *share = &devices->shares[devices->share_count];
	struct loop *loop;
	int r = add_loop(devices, "share", devices->share_count, err);

	if (r < 0)
		return r;
	loop = last_loop(devices);
	share->devices = devices;
	r = p9_create(config->config, config->tag, &share->p9, err);
	if (r < 0)
		return r;
	devices->share_count++;
	r = protect_files(share->p9, config, err);
	if (r >= 0)
		r = add_virtio(devices, &p9_device_ops, share->p9, loop, err);
	return r < 0 ? r : add_share_timer(share, loop, err);
}

static int add_shares(struct devices *devices, struct err *err)
{
	const struct devices_config *config = &devices->config;

	if (config->share_count > DEVICES_SHARES_MAX)
		return err_set(err, -ENOSPC, "shares: more than %d", DEVICES_SHARES_MAX);
	for (size_t i = 0; i < config->share_count; i++) {
		int r = add_share(devices, &config->shares[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The order of construction, and of the guest's slots. */
static const struct {
	const char *name;
	int (*add)(struct devices *devices, struct err *err);
} device_table[] = {
	{ "console log", add_console_log },
	{ "serial", add_serial },
	{ "power", add_power },
	{ "console", add_console },
	{ "rng", add_rng },
	{ "balloon", add_balloon },
	{ "vsock", add_vsock },
	{ "blk", add_disks },
	{ "p9", add_shares },
};

DEFINE_CLEANUP(devices, devices_destroy)

int devices_create(const struct devices_config *config, struct devices **ret, struct err *err)
{
	_cleanup_(cleanup_devices_) struct devices *devices = calloc(1, sizeof(*devices));
	int r;

	if (!devices)
		return err_set(err, -ENOMEM, "devices: no memory");
	devices->machine = config->machine;
	devices->config = *config;
	devices->serial_irq_fd = -1;
	devices->ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (devices->ack_fd < 0)
		return err_set(err, -errno, "devices: cannot make an eventfd: %s", strerror(errno));
	r = add_common_loop(devices, err);
	for (size_t i = 0; i < ARRAY_SIZE(device_table) && r >= 0; i++) {
		log_debug("devices: %s", device_table[i].name);
		r = device_table[i].add(devices, err);
	}
	if (r < 0)
		return r;
	/* Borrowed for the call only. */
	devices->config.disks = NULL;
	devices->config.shares = NULL;
	*ret = TAKE_PTR(devices);
	return 0;
}

static void *run_loop(void *data)
{
	struct device_loop *entry = data;

	/* A machine whose devices stand still is over. */
	if (loop_run(entry->loop) < 0)
		machine_request_end(entry->devices->machine, MACHINE_END_DEVICE);
	return NULL;
}

/* A thread takes its name from the one that makes it: it may find itself sealed before its first line (jail/jail.h). */
static int start_loop(struct device_loop *entry)
{
	char ours[THREAD_NAME_SIZE] = "";
	pthread_attr_t attr;
	int r;

	pthread_getname_np(pthread_self(), ours, sizeof(ours));
	pthread_setname_np(pthread_self(), entry->name);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, DEVICES_STACK_BYTES);
	r = pthread_create(&entry->thread, &attr, run_loop, entry);
	pthread_attr_destroy(&attr);
	pthread_setname_np(pthread_self(), ours);
	if (r)
		return -r;
	entry->running = true;
	return 0;
}

int devices_start(struct devices *devices, struct err *err)
{
	sigset_t all, before;
	int r = 0;

	/* Signals are for the thread that called us. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = 0; i < devices->loop_count && r >= 0; i++)
		r = start_loop(&devices->loops[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? err_set(err, r, "devices: cannot make a thread: %s", strerror(-r)) : 0;
}

void devices_stop(struct devices *devices)
{
	for (unsigned int i = 0; i < devices->loop_count; i++) {
		struct device_loop *entry = &devices->loops[i];

		if (!entry->running)
			continue;
		loop_stop(entry->loop, 0);
		pthread_join(entry->thread, NULL);
		entry->running = false;
	}
	if (devices->serial_ready)
		serial_flush(&devices->serial);
}

void devices_destroy(struct devices *devices)
{
	if (!devices)
		return;
	devices_stop(devices);
	for (unsigned int i = 0; i < devices->slot_count; i++)
		virtio_mmio_finish(&devices->slots[i].mmio);
	vsock_destroy(devices->vsock);
	for (size_t i = 0; i < devices->share_count; i++) {
		loop_remove(devices->shares[i].timer);
		p9_destroy(devices->shares[i].p9);
	}
	if (devices->serial_ready)
		serial_finish(&devices->serial);
	close_keeping_errno(devices->serial_irq_fd);
	close_keeping_errno(devices->ack_fd);
	for (unsigned int i = 0; i < devices->loop_count; i++)
		if (!devices->loops[i].borrowed)
			loop_destroy(devices->loops[i].loop);
	free(devices);
}

unsigned int devices_count(const struct devices *devices)
{
	return devices->slot_count;
}

const char *devices_name(const struct devices *devices, unsigned int index)
{
	return index < devices->slot_count ? devices->slots[index].vdev.ops->name : NULL;
}
