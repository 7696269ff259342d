/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Single things of the kernel's that PID 1 sets. Each gives 0 or -errno, but never matters enough to stop a boot. */
#include <stddef.h>
#include <stdint.h>

int system_set_hostname(const char *name);
int system_raise_loopback(void);
/* *ret_step_ns: how far the clock was moved, negative for backwards. */
int system_set_time(uint64_t realtime_ns, int64_t *ret_step_ns);
/* Credited: the host is trusted to know randomness. At most 64 bytes. */
int system_add_entropy(const void *seed, size_t len);
/* Without this process's rights of PID 1 over the OOM killer, workers would be its first choice. */
void system_protect_from_oom(void);
