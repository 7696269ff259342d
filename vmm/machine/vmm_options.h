/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-vmm's command line: argv to one struct. Pure. Words come from the supervisor, never from a guest, but are
 * checked like foreign ones. Strings borrow from argv.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/devices/device_table.h"

#define VMM_SHARES_MAX	  16
#define VMM_DISKS_MAX	  8
#define VMM_PROTECTED_MAX 64
#define VMM_TAG_MAX	  31 /* of a share, of a disk's id: [a-z0-9-], the first a letter */
#define VMM_PATH_MAX	  4095

enum vmm_share_kind {
	VMM_SHARE_MAPPED, /* the owner's files are the guest's `sandbox` user's */
	VMM_SHARE_HOST, /* the host's /usr: owners as they are, S11's filter */
	VMM_SHARE_INTERNAL, /* a folder the supervisor made: all of it root's */
};

struct vmm_share_option {
	char tag[VMM_TAG_MAX + 1];
	bool readonly;
	enum vmm_share_kind kind;
	bool trust_hardlinks; /* lifts S4 */
	uint64_t device, inode; /* what path must be (H13); 0, 0: anything */
	const char *path; /* absolute */
};

struct vmm_disk_option {
	char id[VMM_TAG_MAX + 1];
	bool readonly;
	int fd;
};

struct vmm_options {
	bool help, measure_kvm;
	const char *name; /* "sandbox" unless told */
	unsigned int cpus; /* 1 unless told */
	uint64_t memory_mib; /* 512 unless told */
	int kvm_fd, kernel_fd, initramfs_fd; /* -1: not given, as below */
	int lifeline_fd, event_fd, console_fd, vsock_fd, lock_fd;
	const char *cmdline; /* "" unless told */
	bool cmdline_devices, nested;
	bool unjailed; /* tests and benches only; refused beside event_fd, so never under a supervisor (H4) */
	bool owner_given;
	uid_t owner_uid;
	gid_t owner_gid;
	uint64_t guest_cid; /* 3 unless told */
	struct vmm_share_option shares[VMM_SHARES_MAX];
	size_t share_count;
	struct vmm_disk_option disks[VMM_DISKS_MAX];
	size_t disk_count;
	struct devices_file_id protected_ids[VMM_PROTECTED_MAX]; /* S10 */
	size_t protected_count;
};

/* -EINVAL with the word that was wrong. */
int vmm_options_parse(int argc, char *const argv[], struct vmm_options *ret, struct err *err);
/* One line per option, for --help. */
void vmm_options_print_help(void);
