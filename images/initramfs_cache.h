/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The initramfs for a kernel and an agent: made by images/initramfs/build, which keeps it by digest; here the digest of the
 * inputs' places, sizes and times is asked first (initramfs/by-stat/), so that a boot runs no script.
 */
#include <limits.h>
#include <stdbool.h>

#include "images/kernel_cache.h"
#include "vmm/base/err.h"

struct initramfs_inputs {
	const char *cache; /* $XDG_CACHE_HOME/sandboxctl */
	const char *script; /* images/initramfs/build */
	const char *agent; /* the sandbox-agent to be its /init */
	const struct kernel_choice *kernel;
	const char *const *environment; /* for the script: PATH, HOME, XDG_CACHE_HOME */
};

/* *ret_fd: read-only, CLOEXEC. *ret_has_p9: whether the kernel can mount shares in any form known to the script. */
int initramfs_cache_open(
	const struct initramfs_inputs *inputs, int *ret_fd, bool *ret_has_p9, struct err *err);
