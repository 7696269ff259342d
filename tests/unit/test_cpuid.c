/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables are in the form that KVM gave them in on an Intel server and on an AMD machine, with what must be hidden or
 * rewritten put in: VMX and SVM, a PMU, the host's own topology.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/machine/cpuid.h"

struct row {
	uint32_t function, index, flags;
	uint32_t r[4]; /* eax, ebx, ecx, edx */
};

static const struct row intel[] = {
	{ 0x0, 0, 0, { 0x0000001f, 0x756e6547, 0x6c65746e, 0x49656e69 } },
	{ 0x1, 0, 0,
		{ 0x000a0671, 0x07400800, 0x7ffab223,
			0x1fabfbff } }, /* VMX, PDCM, DS, HTT; APIC id 7 of 64 */
	{ 0x4, 0, 1, { 0x7c004121, 0x02c0003f, 0x0000003f, 0x00000000 } },
	{ 0x4, 1, 1, { 0x7c004122, 0x03c0003f, 0x0000003f, 0x00000000 } },
	{ 0x4, 2, 1, { 0x7c004143, 0x03c0003f, 0x000007ff, 0x00000000 } },
	{ 0x4, 3, 1, { 0x7c0fc163, 0x03c0003f, 0x00077fff, 0x00000000 } },
	{ 0x4, 4, 1, { 0x00000000, 0x00000000, 0x00000000, 0x00000000 } },
	{ 0x7, 0, 1, { 0x00000002, 0xf1bf27eb, 0x1b415f6e, 0xbc0c4410 } }, /* arch LBR */
	{ 0xa, 0, 0, { 0x07300605, 0x00000000, 0x00000007, 0x00008603 } },
	{ 0xb, 0, 1, { 0x00000001, 0x00000002, 0x00000100, 0x00000007 } },
	{ 0xb, 1, 1, { 0x00000006, 0x00000040, 0x00000201, 0x00000007 } },
	{ 0xd, 0, 1, { 0x000000e7, 0x00000a80, 0x00000a80, 0x00000000 } },
	{ 0x1f, 0, 1, { 0x00000001, 0x00000002, 0x00000100, 0x00000007 } },
	{ 0x40000000, 0, 0, { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x0000004d } },
	{ 0x40000001, 0, 0, { 0x0100fefb, 0x00000000, 0x00000000, 0x00000000 } },
	{ 0x80000000, 0, 0, { 0x80000008, 0x00000000, 0x00000000, 0x00000000 } },
	{ 0x80000001, 0, 0, { 0x00000000, 0x00000000, 0x00000121, 0x2c100800 } },
	{ 0x80000008, 0, 0, { 0x00003930, 0x00000000, 0x00000000, 0x00000000 } },
};

static const struct row amd[] = {
	{ 0x0, 0, 0, { 0x00000010, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ 0x1, 0, 0, { 0x00a20f10, 0x05200800, 0xfefa320b, 0x178bfbff } },
	{ 0xb, 0, 1, { 0x00000001, 0x00000002, 0x00000100, 0x00000005 } },
	{ 0x40000000, 0, 0, { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x0000004d } },
	{ 0x40000001, 0, 0, { 0x01007efb, 0x00000000, 0x00000000, 0x00000000 } },
	{ 0x80000000, 0, 0, { 0x80000022, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ 0x80000001, 0, 0,
		{ 0x00a20f10, 0x20000000, 0x75c237ff, 0x2fd3fbff } }, /* SVM, PERFCTR_*, TOPOEXT */
	{ 0x80000008, 0, 0, { 0x00003030, 0x111ef657, 0x0000501f, 0x00010000 } },
	{ 0x8000000a, 0, 0, { 0x00000001, 0x00008000, 0x00000000, 0x0013bcff } },
	{ 0x8000001d, 0, 1, { 0x00004121, 0x01c0003f, 0x0000003f, 0x00000000 } },
	{ 0x8000001d, 3, 1, { 0x0003c163, 0x03c0003f, 0x00007fff, 0x00000001 } },
	{ 0x8000001d, 4, 1, { 0x00000000, 0x00000000, 0x00000000, 0x00000000 } },
	{ 0x8000001e, 0, 0, { 0x00000005, 0x00000102, 0x00000000, 0x00000000 } },
	{ 0x80000022, 0, 0, { 0x00000001, 0x00000006, 0x00000000, 0x00000000 } },
};

struct table {
	struct kvm_cpuid_entry2 entries[64];
	uint32_t count;
};

#define FILTER(rows, ...) filter(rows, ARRAY_SIZE(rows), (struct cpuid_request){ __VA_ARGS__ })

static struct table filter(const struct row *rows, uint32_t count, struct cpuid_request request)
{
	struct table t = { .count = count };

	for (uint32_t i = 0; i < count; i++)
		t.entries[i] = (struct kvm_cpuid_entry2){
			.function = rows[i].function,
			.index = rows[i].index,
			.flags = rows[i].flags,
			.eax = rows[i].r[0],
			.ebx = rows[i].r[1],
			.ecx = rows[i].r[2],
			.edx = rows[i].r[3],
		};
	assert_int_equal(
		cpuid_filter(t.entries, &t.count, ARRAY_SIZE(t.entries), &request, NULL), 0);
	return t;
}

static const struct kvm_cpuid_entry2 *get(const struct table *t, uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < t->count; i++)
		if (t->entries[i].function == function && t->entries[i].index == index) {
			assert_null(found); /* once only */
			found = &t->entries[i];
		}
	assert_non_null(found);
	return found;
}

static void assert_row(const struct table *t, const struct row *want)
{
	const struct kvm_cpuid_entry2 *e = get(t, want->function, want->index);

	assert_int_equal(e->flags, want->flags);
	assert_int_equal(e->eax, want->r[0]);
	assert_int_equal(e->ebx, want->r[1]);
	assert_int_equal(e->ecx, want->r[2]);
	assert_int_equal(e->edx, want->r[3]);
}

static void test_intel_golden(void **state)
{
	/* vCPU 2 of 4 */
	static const struct row want[] = {
		{ 0x1, 0, 0, { 0x000a0671, 0x02040800, 0xfffa3203, 0x1f8bfbff } },
		{ 0x4, 0, 1, { 0x0c000121, 0x02c0003f, 0x0000003f, 0x00000000 } },
		{ 0x4, 2, 1, { 0x0c000143, 0x03c0003f, 0x000007ff, 0x00000000 } },
		{ 0x4, 3, 1, { 0x0c00c163, 0x03c0003f, 0x00077fff, 0x00000000 } },
		{ 0x4, 4, 1, { 0, 0, 0, 0 } },
		{ 0x7, 0, 1, { 0x00000002, 0xf1bf27eb, 0x1b415f6e, 0xbc044410 } },
		{ 0xa, 0, 0, { 0, 0, 0, 0 } },
		{ 0xb, 0, 1, { 0, 1, 0x100, 2 } },
		{ 0xb, 1, 1, { 2, 4, 0x201, 2 } },
		{ 0xb, 2, 1, { 0, 0, 2, 2 } },
		{ 0xd, 0, 1, { 0x000000e7, 0x00000a80, 0x00000a80, 0x00000000 } },
		{ 0x1f, 1, 1, { 2, 4, 0x201, 2 } },
		{ 0x40000001, 0, 0, { 0x01007efb, 0, 0, 0 } },
		{ 0x80000001, 0, 0, { 0, 0, 0x00000121, 0x2c100800 } },
		{ 0x80000008, 0, 0, { 0x00003930, 0, 0, 0 } },
	};
	struct table t = FILTER(intel, .vcpu = 2, .vcpus = 4);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_row(&t, &want[i]);
}

static void test_amd_golden(void **state)
{
	static const struct row want[] = {
		{ 0x1, 0, 0, { 0x00a20f10, 0x01020800, 0xfffa320b, 0x178bfbff } },
		{ 0xb, 1, 1, { 1, 2, 0x201, 1 } },
		{ 0x80000001, 0, 0, { 0x00a20f10, 0x20000000, 0x644237fb, 0x2fd3fbff } },
		{ 0x80000008, 0, 0, { 0x00003030, 0x111ef657, 0x00001001, 0x00010000 } },
		{ 0x8000000a, 0, 0, { 0, 0, 0, 0 } },
		{ 0x8000001d, 0, 1, { 0x00000121, 0x01c0003f, 0x0000003f, 0x00000000 } },
		{ 0x8000001d, 3, 1, { 0x00004163, 0x03c0003f, 0x00007fff, 0x00000001 } },
		{ 0x8000001d, 4, 1, { 0, 0, 0, 0 } },
		{ 0x8000001e, 0, 0, { 1, 1, 0, 0 } },
		{ 0x80000022, 0, 0, { 0, 0, 0, 0 } },
	};
	struct table t = FILTER(amd, .vcpu = 1, .vcpus = 2);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_row(&t, &want[i]);
}

/* V10: on no vendor, at no size, does one of these bits get through. */
static void test_virtualisation_and_pmu_are_hidden(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 32; n++) {
		struct table i = FILTER(intel, .vcpu = n - 1, .vcpus = n);
		struct table a = FILTER(amd, .vcpu = n - 1, .vcpus = n);

		assert_false(get(&i, 1, 0)->ecx & (1u << 5 | 1u << 15));
		assert_int_equal(get(&i, 0xa, 0)->eax, 0);
		assert_false(
			get(&a, 0x80000001, 0)->ecx & (1u << 2 | 1u << 23 | 1u << 24 | 1u << 28));
		assert_int_equal(get(&a, 0x8000000a, 0)->edx, 0);
		assert_int_equal(get(&i, 1, 0)->ebx >> 24, n - 1);
		assert_int_equal(get(&i, 0xb, 0)->edx, n - 1);
		assert_int_equal(get(&i, 0xb, 1)->ebx, n);
		assert_int_equal(get(&a, 0x80000008, 0)->ecx & 0xff, n - 1);
	}
}

static void test_nesting_by_request(void **state)
{
	struct table i = FILTER(intel, .vcpu = 0, .vcpus = 1, .nested = true);
	struct table a = FILTER(amd, .vcpu = 0, .vcpus = 1, .nested = true);

	(void)state;
	assert_true(get(&i, 1, 0)->ecx & 1u << 5);
	assert_false(get(&i, 1, 0)->ecx & 1u << 15);
	assert_true(get(&a, 0x80000001, 0)->ecx & 1u << 2);
	assert_int_equal(get(&a, 0x8000000a, 0)->edx, 0x0013bcff);
}

static void test_what_guests_stand_on(void **state)
{
	struct table t = FILTER(amd, .vcpu = 0, .vcpus = 1);
	const uint32_t needed =
		1u << 21 | 1u << 24 | 1u << 31; /* x2APIC, TSC deadline, hypervisor */

	(void)state;
	assert_int_equal(get(&t, 1, 0)->ecx & needed, needed);
	assert_false(get(&t, 1, 0)->edx & 1u << 28); /* no HTT with one CPU */
	assert_int_equal(get(&t, 0x40000000, 0)->ebx, 0x4b4d564b);
}

static void test_what_cannot_be_served(void **state)
{
	struct kvm_cpuid_entry2 e[] = {
		{ .function = 0, .eax = 0x1f },
		{ .function = 1 },
		{ .function = 0x40000000 },
	};
	const struct cpuid_request request = { .vcpu = 0, .vcpus = 1 };
	uint32_t count = 2;

	(void)state;
	assert_int_equal(cpuid_filter(e, &count, 2, &request, NULL), -ENOTSUP);
	count = 1;
	assert_int_equal(cpuid_filter(e, &count, 1, &request, NULL), -ENOTSUP);
	count = 3;
	assert_int_equal(cpuid_filter(e, &count, 3, &request, NULL), -ENOSPC);
	assert_int_equal(count, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel_golden),
		cmocka_unit_test(test_amd_golden),
		cmocka_unit_test(test_virtualisation_and_pmu_are_hidden),
		cmocka_unit_test(test_nesting_by_request),
		cmocka_unit_test(test_what_guests_stand_on),
		cmocka_unit_test(test_what_cannot_be_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
