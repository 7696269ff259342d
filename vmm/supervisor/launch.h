/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From a claimed record to running processes. What fails before a process was made leaves none. */
#include "vmm/supervisor/supervisor_state.h"

/* Everything the processes are given (boot_plan.h), and the group they go into. Nothing runs yet. */
int launch_prepare(struct supervisor *s, const char **ret_stage, struct err *err);
/* Needs the loop. On failure whatever was started is watched all the same, for the caller to end (s->spawned). */
int launch_spawn(struct supervisor *s, const char **ret_stage, struct err *err);
