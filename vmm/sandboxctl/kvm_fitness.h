/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What this host's KVM is worth, by measurement: `sandbox-vmm --measure-kvm` runs a few instructions in a throw-away VM
 * (about 20 ms) and prints fixed fields. A fit result is kept per boot in the runtime folder, so that a start does
 * not pay for it again; it counts only for the same boot, the same program and the same /dev/kvm.
 */
#include <stdbool.h>

#include "vmm/base/err.h"

#define KVM_FITNESS_TEXT_MAX   256
#define KVM_FITNESS_TIMEOUT_MS 15000

enum kvm_fitness { KVM_FIT, KVM_EMULATED, KVM_ABSENT, KVM_NO_PERMISSION, KVM_UNKNOWN };

struct kvm_measurement {
	enum kvm_fitness fitness;
	char fields
		[KVM_FITNESS_TEXT_MAX]; /* the line, printable: "kvm=fit ring0=... ring3=... cmpxchg16b=yes" */
};

/* The line of --measure-kvm. Pure; false where it has no known kvm= field. */
bool kvm_measurement_parse(const char *line, struct kvm_measurement *ret);

/* Runs vmm_path --measure-kvm. -ETIME where it hangs, -EPROTO where it says nothing that is understood. */
int kvm_measure(const char *vmm_path, struct kvm_measurement *ret, struct err *err);
/* The same, from `folder`/kvm.measured where that is still true (folder may be NULL: no cache). */
int kvm_measure_cached(
	const char *vmm_path, const char *folder, struct kvm_measurement *ret, struct err *err);

/* One line on what was found, and one with the fix: the same words in doctor and in start's refusal. */
void kvm_fitness_explain(const struct kvm_measurement *m, struct err *err);
const char *kvm_fitness_name(enum kvm_fitness fitness);
