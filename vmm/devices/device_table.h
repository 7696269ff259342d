/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All devices of a machine: which there are, in which order they are built (the order of virtio-mmio slots, so of the
 * guest's names for them), and which loop runs each.
 *
 * Theory of operation. Two kinds of loop threads: one, `devices`, for serial, console, rng, balloon and vsock, which wait
 * for nobody; and one for each disk and each share, which may wait for the host's. Order of calls, around those of machine.h:
 *   devices_create()   after machine_create, before machine_load; opens nothing by path; makes every fd and all memory
 *   devices_start()    makes the loop threads; they wait for kicks that cannot come before machine_run()
 *   devices_stop()     after machine_join(): ends the loops. Not before: a vCPU thread that waits for a loop would wait for
 *                      ever (virtio/mmio.h). Hands over the serial port's last bytes.
 *   devices_destroy()  before machine_destroy
 *
 * Threads: the calls above are for one thread. Callbacks name theirs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/machine/machine.h"

#define DEVICES_DISKS_MAX	  8
#define DEVICES_SHARES_MAX	  16
#define DEVICES_CONSOLE_CAP_BYTES (4u << 20)

struct share_config;

struct devices_disk {
	const char *id; /* at most BLK_ID_BYTES are shown to the guest */
	int fd; /* borrowed; raw image or block device (V6) */
	bool read_only;
};

/* A file that a guest may not change, though it lies in a share of its (share_protect(), S10). */
struct devices_file_id {
	uint64_t device, inode;
};

struct devices_share {
	const char *tag;
	const struct share_config *config; /* vmm/share/share.h; its root_fd is taken over */
	const struct devices_file_id *protected_ids;
	size_t protected_count;
};

struct devices_config {
	struct machine *machine; /* borrowed */
	/* The loop that the thread `devices` runs: the caller may have sources of its own on it (signals, the lifeline).
	 * Borrowed, may be NULL: then one is made. */
	struct loop *loop;
	/* What serial and console print. A regular file is kept below the cap (V10), anything else just written. -1: none. */
	int console_fd; /* borrowed */
	uint64_t console_cap_bytes; /* 0: DEVICES_CONSOLE_CAP_BYTES */
	int vsock_fd; /* the broker's socket, borrowed; -1: no vsock device */
	uint64_t guest_cid;
	const struct devices_disk *disks;
	size_t disk_count;
	const struct devices_share *shares;
	size_t share_count;
	/* A guest broke a device's rules (V7): its index and how often so far. On that device's loop thread. May be NULL. */
	void (*on_fault)(void *data, unsigned int device, uint64_t faults);
	/*
	 * A share has changes that only memory holds (owners and modes that no attribute could take: design, Shares), and
	 * how many by now; told when it grew, at most every DEVICES_SHARE_LOOK_MS. On that share's loop thread. May be NULL.
	 */
	void (*on_share_loss)(void *data, unsigned int share, uint64_t kept_in_memory);
	/*
	 * A share refused changes of files linked outside (S4), `count` in all by now. Once for each file, as far as the share
	 * remembers them, and with device and inode 0 where only the count grew. When and where: as on_share_loss. May be NULL.
	 */
	void (*on_share_refusal)(
		void *data, unsigned int share, uint64_t count, uint64_t device, uint64_t inode);
	/* A look at what serial and console print: raw guest bytes. On the thread `devices`. May be NULL. */
	void (*on_console)(void *data, const void *bytes, size_t len);
	void *data;
};

#define DEVICES_STACK_BYTES (256u << 10) /* of each loop thread */

#define DEVICES_SHARE_LOOK_MS 5000

struct devices;

int devices_create(const struct devices_config *config, struct devices **ret, struct err *err);
int devices_start(struct devices *devices, struct err *err);
void devices_stop(struct devices *devices); /* also without a start, also twice */
void devices_destroy(struct devices *devices);

/* How many virtio devices there are, and what the one with this index is called ("blk"). NULL: there is none. */
unsigned int devices_count(const struct devices *devices);
const char *devices_name(const struct devices *devices, unsigned int index);
