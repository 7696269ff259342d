/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How a supervisor becomes a sandbox's: its lock, then its record, in which it is found again whatever happens to us. A
 * record that was there before decides whether we may: same workspace, not quarantined.
 */
#include "vmm/supervisor/supervisor_state.h"

/* The spec is taken over on success. On failure s->is_new says whether there was a record. */
int claim_sandbox(struct supervisor *s, struct spec *spec, struct err *err);
