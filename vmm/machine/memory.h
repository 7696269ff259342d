/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Guest RAM. guest_slice() is the only door to it: everything else in this tree sees host pointers that came from there.
 *
 * Shape: private anonymous memory, 2 MiB aligned, MADV_HUGEPAGE, not reserved up front (MAP_NORESERVE), never merged
 * (KSM off), left out of core dumps. On x86-64 it lies at guest-physical [0, 3 GiB) and, for what is larger, from 4 GiB up;
 * the hole between holds devices. The struct is plain, so a fake (one region over a malloc) serves unit tests.
 *
 * Threads: immutable after creation, so any thread may look up slices. What is *in* RAM is the guest's and changes
 * at any time: copy once, validate the copy, use the copy (house style 11).
 */
#include <stdint.h>

#include "vmm/base/err.h"

#define GUEST_MEMORY_REGIONS_MAX 4
#define GUEST_MEMORY_MIN_BYTES	 (64ull << 20)
#define GUEST_MEMORY_MAX_BYTES	 (256ull << 30)
#define GUEST_MEMORY_HOLE_GPA	 (3ull << 30) /* RAM below the hole ends here at the latest */
#define GUEST_MEMORY_HIGH_GPA	 (4ull << 30)

struct guest_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint8_t *host;
};

struct guest_memory {
	struct guest_region regions[GUEST_MEMORY_REGIONS_MAX];
	unsigned int region_count;
	uint64_t size_bytes; /* all regions together */
};

/* Maps RAM; size_bytes is a multiple of 2 MiB within the limits above. */
int guest_memory_init(struct guest_memory *memory, uint64_t size_bytes, struct err *err);
void guest_memory_finish(struct guest_memory *memory);

/*
 * The host address of [gpa, gpa + len) if all of it lies in one region, else NULL. len 0 gives NULL. (V2)
 * Valid as long as the memory is.
 */
void *guest_slice(const struct guest_memory *memory, uint64_t gpa, uint64_t len);

/*
 * Gives the pages of [gpa, gpa + len) back to the host (balloon, free-page reporting); contents become zero. -EINVAL where
 * the range is not whole pages of one region.
 */
int guest_memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t len);
