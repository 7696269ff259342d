/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records of sandbox-link (base/event.h): of itself, and what it heard from the guest. */
#include "vmm/supervisor/supervisor_state.h"

void link_event_take(struct supervisor *s, const struct event *e);
