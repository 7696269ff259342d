/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Landlock: paths below the plan's binds and nothing else, no TCP, no signal and no abstract socket out of the domain, as
 * far as the kernel's ABI goes. ABI 2 (Linux 5.19) is the least that is accepted: before it, no file could be renamed from
 * one folder to another. Source: the kernel's userspace-api/landlock.rst.
 */
#include "vmm/jail/jail.h"

#define LANDLOCK_ABI_MIN 2

int landlock_abi(void); /* 0 where there is none */
int landlock_restrict(const struct jail_plan *plan, struct err *err);
