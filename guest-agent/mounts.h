/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Mounting: what every guest needs before anything else, and the host's shares. Option texts are built by pure functions.
 */
#include "guest-agent/protocol/messages.h"
#include "vmm/base/err.h"

#define MOUNT_OPTIONS_MAX 256
#define MOUNT_P9_MSIZE	  512000

/* /proc, /sys, /dev and what stands in them; missing ones of the second rank are passed over. */
int mounts_early(struct err *err);
/* cgroup2 with its controllers handed down. False: not there. */
bool mounts_cgroup(void);

/*
 * Whether a kernel of that release (uname(2)) writes to 9p files through its page cache and late (6.4 and later): the share's
 * server has to know (vmm/devices/p9_server.h, P9_ANAME_LATE_WRITES). Pure.
 */
bool mount_kernel_writes_late(const char *release);
/* The data of mount(2) for a share. False where it does not fit. Pure. */
bool mount_share_options(
	const struct protocol_mount *mount, bool late_writes, char *out, size_t size);
/* lower, upper, work of an overlay, with `,` and `:` and `\` in paths escaped. False where it does not fit. Pure. */
bool mount_overlay_options(
	const char *lower, const char *upper, const char *work, char *out, size_t size);

/* Mounts a share at path, made as needed. set-uid programs work only where privileged is said. */
int mount_share(
	const struct protocol_mount *mount, const char *path, bool privileged, struct err *err);
