/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The mount half of a jail: an empty root with the plan's binds. Only jail.c calls these, in a fresh mount namespace. */
#include "vmm/jail/jail.h"

int root_build(const struct jail_plan *plan, struct err *err);
