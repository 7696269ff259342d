/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The command that a sandbox may be started for: with it the sandbox ends, once who follows it has had a moment. */
#include "vmm/supervisor/supervisor_state.h"

int main_command_add_timer(struct supervisor *s);
/* Starts it, where there is one. False: it could not be, and the sandbox's end has begun. */
bool main_command_start(struct supervisor *s);
void main_command_attached(struct supervisor *s);
/* EVENT_SESSION_ENDED */
void main_command_ended(struct supervisor *s, const struct event *e);
