/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox-vmm's shares, from its command line to what the devices take: where each folder is bound in the empty root, and the
 * roots, opened from inside (design: the order of a jail). The structs live as long as the machine.
 */
#include "vmm/devices/device_table.h"
#include "vmm/jail/jail.h"
#include "vmm/machine/vmm_options.h"
#include "vmm/share/share.h"

struct vmm_shares {
	char targets[VMM_SHARES_MAX][16]; /* "/share/0" ... */
	struct jail_bind binds[VMM_SHARES_MAX];
	struct share_config configs[VMM_SHARES_MAX];
	struct devices_share shares[VMM_SHARES_MAX];
	int proc_fd; /* /proc/self/fd, held for the process's life */
};

/* Fills binds: the plan's, for jail_build_root(). */
void vmm_shares_plan(const struct vmm_options *options, struct vmm_shares *shares);
/* Opens the roots, in the new root; jailed false (tests): by their own paths. */
int vmm_shares_open(
	const struct vmm_options *options, bool jailed, struct vmm_shares *shares, struct err *err);
