/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/cpuid.h"

#include <errno.h>
#include <stddef.h>

#include "vmm/base/array.h"

#define BIT(n) (1u << (n))

/* leaf 1 */
#define L1_ECX_PDCM	    BIT(15)
#define L1_ECX_VMX	    BIT(5)
#define L1_ECX_X2APIC	    BIT(21)
#define L1_ECX_TSC_DEADLINE BIT(24)
#define L1_ECX_HYPERVISOR   BIT(31)
#define L1_EDX_DS	    BIT(21)
#define L1_EDX_HTT	    BIT(28)
/* leaf 7 */
#define L7_0_EDX_ARCH_LBR BIT(19)
/* leaf 0x80000001 */
#define X1_ECX_CMP_LEGACY   BIT(1)
#define X1_ECX_SVM	    BIT(2)
#define X1_ECX_PERFCTR_CORE BIT(23)
#define X1_ECX_PERFCTR_NB   BIT(24)
#define X1_ECX_PERFCTR_LLC  BIT(28)
/* leaf 0x40000001 */
#define KVM_EAX_MSI_EXT_DEST_ID BIT(15)

#define LEAF_KVM	  0x40000000u
#define LEAF_KVM_FEATURES 0x40000001u

struct context {
	const struct cpuid_request *request;
	bool amd; /* or Hygon, who took over AMD's leaves */
};

/* How many bits number `count` things. */
static uint32_t bits_for(uint32_t count)
{
	uint32_t bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

static void set_field(uint32_t *reg, unsigned int shift, unsigned int width, uint32_t value)
{
	uint32_t mask = ((1u << width) - 1) << shift;

	*reg = (*reg & ~mask) | (value << shift & mask);
}

static void clear(struct kvm_cpuid_entry2 *e)
{
	e->eax = e->ebx = e->ecx = e->edx = 0;
}

static void fix_leaf_1(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	e->ecx |= L1_ECX_X2APIC | L1_ECX_TSC_DEADLINE | L1_ECX_HYPERVISOR;
	e->ecx &= ~L1_ECX_PDCM;
	e->edx &= ~(L1_EDX_DS | L1_EDX_HTT);
	if (!c->request->nested)
		e->ecx &= ~L1_ECX_VMX;
	set_field(&e->ebx, 24, 8, c->request->vcpu);
	set_field(&e->ebx, 16, 8, 1u << bits_for(c->request->vcpus));
	if (c->request->vcpus > 1)
		e->edx |= L1_EDX_HTT;
}

/* Intel's caches: the last level is everybody's, the others are one core's. */
static void fix_leaf_4(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	uint32_t level = e->eax >> 5 & 7;
	uint32_t ids = 1u << bits_for(c->request->vcpus);

	if (!(e->eax & 0x1f))
		return;
	set_field(&e->eax, 14, 12, level >= 3 ? ids - 1 : 0);
	set_field(&e->eax, 26, 6, ids - 1);
}

static void fix_leaf_7(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	(void)c;
	if (e->index == 0)
		e->edx &= ~L7_0_EDX_ARCH_LBR;
}

static void hide(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	(void)c;
	clear(e);
}

static void fix_kvm_features(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	(void)c;
	e->eax &= ~KVM_EAX_MSI_EXT_DEST_ID; /* needs a userspace that routes it */
}

static void fix_extended_1(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	e->ecx &= ~(X1_ECX_PERFCTR_CORE | X1_ECX_PERFCTR_NB | X1_ECX_PERFCTR_LLC);
	if (!c->request->nested)
		e->ecx &= ~X1_ECX_SVM;
	if (c->amd) {
		e->ecx &= ~X1_ECX_CMP_LEGACY;
		if (c->request->vcpus > 1)
			e->ecx |= X1_ECX_CMP_LEGACY;
	}
}

static void fix_extended_8(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	if (!c->amd)
		return;
	set_field(&e->ecx, 0, 8, c->request->vcpus - 1);
	set_field(&e->ecx, 12, 4, bits_for(c->request->vcpus));
}

static void hide_svm(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	if (!c->request->nested)
		clear(e);
}

/* AMD's caches: as leaf 4, but for the cores-per-package field. */
static void fix_amd_cache(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	uint32_t level = e->eax >> 5 & 7;

	if (e->eax & 0x1f)
		set_field(&e->eax, 14, 12, level >= 3 ? c->request->vcpus - 1 : 0);
}

static void fix_amd_ids(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	clear(e);
	e->eax = c->request->vcpu; /* extended APIC id */
	e->ebx = c->request->vcpu; /* core id; one thread per core */
}

/* In ascending order of leaves, as KVM gives them. */
static const struct {
	uint32_t function;
	void (*fix)(struct kvm_cpuid_entry2 *e, const struct context *c);
} rules[] = {
	{ 0x1, fix_leaf_1 }, { 0x4, fix_leaf_4 }, { 0x7, fix_leaf_7 },
	{ 0xa, hide }, /* architectural performance monitoring */
	{ 0x14, hide }, /* processor trace */
	{ 0x1c, hide }, /* architectural last branch records */
	{ 0x23, hide }, /* performance monitoring, extended */
	{ LEAF_KVM_FEATURES, fix_kvm_features }, { 0x80000001, fix_extended_1 },
	{ 0x80000008, fix_extended_8 }, { 0x8000000a, hide_svm }, { 0x8000001d, fix_amd_cache },
	{ 0x8000001e, fix_amd_ids },
	{ 0x80000022, hide }, /* AMD performance monitoring, version 2 */
};

static bool is_topology_leaf(uint32_t function)
{
	return function == 0xb || function == 0x1f || function == 0x80000026;
}

static const struct kvm_cpuid_entry2 *find(
	const struct kvm_cpuid_entry2 *entries, uint32_t count, uint32_t function)
{
	for (uint32_t i = 0; i < count; i++)
		if (entries[i].function == function)
			return &entries[i];
	return NULL;
}

static bool is_amd(const struct kvm_cpuid_entry2 *leaf_0)
{
	/* "Auth" of AuthenticAMD, "Hygo" of HygonGenuine */
	return leaf_0->ebx == 0x68747541 || leaf_0->ebx == 0x6f677948;
}

static uint32_t drop_topology(struct kvm_cpuid_entry2 *entries, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!is_topology_leaf(entries[i].function))
			entries[kept++] = entries[i];
	return kept;
}

static void apply_rules(struct kvm_cpuid_entry2 *e, const struct context *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].function == e->function)
			rules[i].fix(e, c);
}

/* x2APIC topology: level 1, threads of a core: one; level 2, cores of the package: all; then the end. */
static void put_topology(
	struct kvm_cpuid_entry2 *out, uint32_t function, const struct cpuid_request *request)
{
	const struct {
		uint32_t shift, count, type;
	} levels[] = {
		{ 0, 1, 1 },
		{ bits_for(request->vcpus), request->vcpus, 2 },
		{ 0, 0, 0 },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++)
		out[i] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = levels[i].shift,
			.ebx = levels[i].count,
			.ecx = levels[i].type << 8 | i,
			.edx = request->vcpu,
		};
}

int cpuid_filter(struct kvm_cpuid_entry2 *entries, uint32_t *count, uint32_t capacity,
	const struct cpuid_request *request, struct err *err)
{
	const struct kvm_cpuid_entry2 *leaf_0 = find(entries, *count, 0);
	struct context context = { .request = request };
	uint32_t max_leaf, kept;

	if (!leaf_0 || !find(entries, *count, 1))
		return err_set(err, -ENOTSUP, "CPUID: KVM supports no leaf 1");
	if (!find(entries, *count, LEAF_KVM))
		return err_set(err, -ENOTSUP,
			"CPUID: KVM gives no signature, so guests would find no kvm-clock");
	context.amd = is_amd(leaf_0);
	max_leaf = leaf_0->eax;
	kept = drop_topology(entries, *count);
	for (uint32_t i = 0; i < kept; i++)
		apply_rules(&entries[i], &context);
	if (capacity < kept + 6)
		return err_set(err, -ENOSPC, "CPUID: more than %u entries", capacity);
	if (max_leaf >= 0xb) {
		put_topology(&entries[kept], 0xb, request);
		kept += 3;
	}
	if (max_leaf >= 0x1f) {
		put_topology(&entries[kept], 0x1f, request);
		kept += 3;
	}
	*count = kept;
	return 0;
}
