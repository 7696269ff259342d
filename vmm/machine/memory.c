/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine/memory.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "vmm/base/array.h"
#include "vmm/base/checked.h"

#define HUGE_PAGE (2ull << 20)
#define PAGE	  4096ull

/* Where RAM may lie on x86-64: below the hole for devices and above it. */
static const struct {
	uint64_t gpa;
	uint64_t size_bytes;
} ram_windows[] = {
	{ 0, GUEST_MEMORY_HOLE_GPA },
	{ GUEST_MEMORY_HIGH_GPA, GUEST_MEMORY_MAX_BYTES },
};

static_assert(ARRAY_SIZE(ram_windows) <= GUEST_MEMORY_REGIONS_MAX, "each window is a region");

/* Maps a little more than asked, then gives back what lies outside the aligned part. */
static int map_aligned(uint64_t size_bytes, uint8_t **ret_host, struct err *err)
{
	uint64_t span = size_bytes + HUGE_PAGE;
	uint8_t *raw = mmap(NULL, span, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (raw == MAP_FAILED)
		return err_set(err, -errno, "guest memory: cannot map %llu MiB: %m",
			(unsigned long long)(size_bytes >> 20));
	head = align_up((uintptr_t)raw, HUGE_PAGE) - (uintptr_t)raw;
	if (head)
		munmap(raw, head);
	if (HUGE_PAGE - head)
		munmap(raw + head + size_bytes, HUGE_PAGE - head);
	*ret_host = raw + head;
	return 0;
}

/*
 * V11: no page is merged. Anonymous memory is merged by KSM only after MADV_MERGEABLE (never given here) or a process-
 * wide PR_SET_MEMORY_MERGE (main turns it off); UNMERGEABLE says it once more. The advice is only that: a kernel built
 * without huge pages or KSM refuses it and nothing is lost.
 */
static void advise(uint8_t *host, uint64_t size_bytes)
{
	madvise(host, size_bytes, MADV_HUGEPAGE);
	madvise(host, size_bytes, MADV_UNMERGEABLE);
	madvise(host, size_bytes, MADV_DONTDUMP);
	madvise(host, size_bytes, MADV_DONTFORK);
}

int guest_memory_init(struct guest_memory *memory, uint64_t size_bytes, struct err *err)
{
	uint64_t left = size_bytes;

	*memory = (struct guest_memory){};
	if (size_bytes < GUEST_MEMORY_MIN_BYTES || size_bytes > GUEST_MEMORY_MAX_BYTES ||
		size_bytes % HUGE_PAGE)
		return err_set(err, -EINVAL,
			"guest memory: %llu bytes: must be %llu MiB to %llu GiB, in steps of 2 MiB",
			(unsigned long long)size_bytes, GUEST_MEMORY_MIN_BYTES >> 20,
			GUEST_MEMORY_MAX_BYTES >> 30);
	for (size_t i = 0; i < ARRAY_SIZE(ram_windows) && left; i++) {
		struct guest_region *region = &memory->regions[memory->region_count];
		int r;

		region->gpa = ram_windows[i].gpa;
		region->size_bytes = MIN(left, ram_windows[i].size_bytes);
		r = map_aligned(region->size_bytes, &region->host, err);
		if (r < 0) {
			guest_memory_finish(memory);
			return r;
		}
		advise(region->host, region->size_bytes);
		memory->region_count++;
		memory->size_bytes += region->size_bytes;
		left -= region->size_bytes;
	}
	return 0;
}

void guest_memory_finish(struct guest_memory *memory)
{
	for (unsigned int i = 0; i < memory->region_count; i++)
		munmap(memory->regions[i].host, memory->regions[i].size_bytes);
	*memory = (struct guest_memory){};
}

void *guest_slice(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
	if (!len)
		return NULL;
	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct guest_region *region = &memory->regions[i];

		if (gpa >= region->gpa && range_fits(gpa - region->gpa, len, region->size_bytes))
			return region->host + (gpa - region->gpa);
	}
	return NULL;
}

int guest_memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
	void *host = guest_slice(memory, gpa, len);

	if (!host || (uintptr_t)host % PAGE || len % PAGE)
		return -EINVAL;
	return madvise(host, len, MADV_DONTNEED) < 0 ? -errno : 0;
}
