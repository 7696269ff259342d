/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One sandbox's supervisor, from the moment its spec is known to its end.
 */
#include "vmm/supervisor/spec.h"

/*
 * Takes the lock, prepares, spawns, serves, ends, cleans up. progress_fd is written as progress.h says and closed; -1:
 * nobody follows. environment_fd (secrets/secret_environment.h; -1: none) is taken over too. The spec is taken over. Gives the process's exit code.
 */
int supervisor_run(struct spec *spec, int progress_fd, int environment_fd);

/* Whether it could start, as boot_plan_check() has it, beside one of that name that runs. Told and closed the same way. */
int supervisor_check(const struct spec *spec, int progress_fd, int environment_fd);
