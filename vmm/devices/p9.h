/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * virtio-9p (virtio device 9): carries p9_server.h over one queue. The configuration space holds the mount tag: u16 length,
 * bytes without NUL.
 *
 * One loop thread per device. What the process must provide, in its jail: RLIMIT_NOFILE above the sum of all servers'
 * fds_max, umask 0 (only to save a chmod per new file), /proc/self/fd where config.proc_path says. System calls: see
 * the groups "files of shares" and "inherited streams and files" of vmm/jail/seccomp_vmm.c.
 */
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/devices/p9_server.h"
#include "vmm/virtio/device.h"

#define P9_TAG_MAX 31

struct p9;

extern const struct virtio_device_ops p9_device_ops; /* state: struct p9 */

/* tag: 1 to P9_TAG_MAX of [a-z0-9_-]. config->root_fd is taken over, also where it fails. */
int p9_create(const struct share_config *config, const char *tag, struct p9 **ret, struct err *err);
void p9_destroy(struct p9 *p9); /* NULL is allowed; after the device's last op */

/* Also from another thread only while the loop does not run, else from a callback of the loop. */
void p9_read_counters(const struct p9 *p9, struct p9_server_counters *ret);
struct share *p9_share(struct p9 *p9); /* for share_protect() before the loop runs */
