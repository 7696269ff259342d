/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The guest's root, built as WELCOME says and then moved into.
 *
 * Theory of operation, image `host`. One tmpfs at /layers of the initramfs holds all that is written: its folder `root` is
 * bound to /newroot, the upper layers of the overlays stand beside it. The shares below the overlays are mounted at
 * /lower. Once /newroot has been moved to `/`, neither can be named any more; the overlays keep them. What is
 * written goes with the machine. /dev, /proc and /sys are moved along. Plain shares are mounted last, so that they can
 * stand anywhere, in WELCOME's order, so that one can stand in another.
 */
#include "guest-agent/protocol/messages.h"
#include "vmm/base/err.h"

/* *ret_degraded gains bits; *ret_stage says where it failed. Done once; afterwards `/` is the guest's root. */
int root_build(const struct protocol_welcome *welcome, uint32_t *ret_degraded,
	enum protocol_stage *ret_stage, struct err *err);
