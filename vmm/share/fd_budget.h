/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many fds each share of a machine may hold, out of what its process may open at all. Pure.
 *
 * Each process of a guest holds its program and the libraries of it open, nearly all of them in the host's /usr: that share
 * gets the largest part, folders the guest works in less, and what we made ourselves (read once, closed) little.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/share/idmap.h"

#define FD_BUDGET_RESERVED                                                                         \
	1400u /* not for shares: the machine's own, and what vsock streams may hold */
#define FD_BUDGET_LOW                                                                              \
	8192u /* a hard limit below this is told to the user: guests of many processes may hit it */

/* Between SHARE_FDS_MIN (taken out of the reserve if need be) and SHARE_FDS_DEFAULT each; limit is RLIMIT_NOFILE's hard one. */
void fd_budget_divide(uint64_t limit, const enum idmap_kind *kinds, size_t count, uint32_t *ret);
