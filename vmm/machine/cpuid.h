/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a vCPU says about itself. Pure: takes the entries KVM supports on this host and gives those of one vCPU.
 *
 * V10: VMX and SVM (unless nesting was asked for) and the PMU are hidden. The topology is one socket of `vcpus` cores with
 * one thread each, APIC ids counted from 0; no host APIC id or topology shows. Sources: Intel SDM vol. 2A, CPUID; AMD APM
 * vol. 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

struct cpuid_request {
	unsigned int vcpu; /* this one; its APIC id */
	unsigned int vcpus; /* how many there are */
	bool nested;
};

/*
 * Rewrites entries[*count] in place; *count grows by the topology's subleaves. -ENOSPC where capacity does not hold them
 * (CPUID_ENTRIES_SPARE more than KVM gave always suffice).
 */
#define CPUID_ENTRIES_SPARE 8
int cpuid_filter(struct kvm_cpuid_entry2 *entries, uint32_t *count, uint32_t capacity,
	const struct cpuid_request *request, struct err *err);
