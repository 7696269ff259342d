/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Giving up every capability for good, by libcap-ng: effective, permitted, inheritable, ambient and the bounding set. */
#include "vmm/base/err.h"

int caps_drop_all(const char *process, struct err *err);
