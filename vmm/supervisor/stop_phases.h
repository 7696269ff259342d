/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a sandbox ends. Phases, each with its time: ASK the guest, TERM the VMM, KILL all. When the VMM is gone the link gets a
 * moment to hand out what it still holds, then TERM. When both are reaped the group is looked through; what is left in it
 * is killed, and if it does not go, the sandbox is quarantined. Then stop and wait are answered and the loop ends.
 */
#include "vmm/supervisor/supervisor_state.h"

#define STOP_GRACE_MS 10000 /* an orderly stop that nobody gave a time */

int stop_add_timers(struct supervisor *s);
/* The reason is the caller's to set before. The orderly end: the guest is asked first, if there is anybody to ask. */
void stop_begin(struct supervisor *s, enum lifecycle_event event, uint64_t grace_ms);
/* Something died or could not be set up. */
void stop_begin_fault(struct supervisor *s);
/* The VMM was reaped; in UP that is the sandbox's end, its reason set. The link is what is left. */
void stop_after_vmm(struct supervisor *s, bool fault);
/* Ends the loop once both children are reaped, or given up. */
void stop_finish_if_gone(struct supervisor *s);
