/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records of sandbox-vmm (base/event.h). Its numbers are those of a process that a guest may have taken: bounded here. */
#include "vmm/supervisor/supervisor_state.h"

void vmm_event_take(struct supervisor *s, const struct event *e);
