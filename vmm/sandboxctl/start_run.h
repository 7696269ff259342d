/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A planned start, carried out: what start, run and restart share. Failures are reported here; 0 or the exit code. */
#include "vmm/sandboxctl/start_plan.h"

/* KVM must be fit (exit 4 else, with doctor's words). */
int start_check_kvm(const struct invocation *in, const struct paths *paths);
/* Starts plan->spec and waits until the sandbox runs. *ret_status (NULL allowed) is the caller's. */
int start_launch(
	const struct invocation *in, struct start_plan *plan, struct document **ret_status);
/* What keeps plan->spec from starting, found while the sandbox of that name may still run. */
int start_check(const struct invocation *in, const struct start_plan *plan);
/* start_check(), then ends what runs under this name, and verifies it (--fresh). */
int start_replace(const struct invocation *in, const struct start_plan *plan);
/* "sandbox NAME runs; http://...", on stderr. */
void start_announce(const struct invocation *in, const struct document *status);
/* Names the folders of PATH that the guest will not have, with the flag that brings them (stderr). */
void start_note_path(const struct invocation *in, const struct spec *spec);
/* Says where this user's limit of open files is low for a guest (stderr). */
void start_note_open_files(const struct invocation *in);
