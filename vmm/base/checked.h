/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Arithmetic on foreign numbers. Each returns false, leaving *ret alone, where the result does not fit its type.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKED_OP_(op, a, b, ret)                                                                 \
	({                                                                                         \
		typeof(*(ret)) checked_r_;                                                         \
		bool checked_ok_ = !__builtin_##op##_overflow((a), (b), &checked_r_);              \
		if (checked_ok_)                                                                   \
			*(ret) = checked_r_;                                                       \
		checked_ok_;                                                                       \
	})
#define checked_add(a, b, ret) CHECKED_OP_(add, a, b, ret)
#define checked_sub(a, b, ret) CHECKED_OP_(sub, a, b, ret)
#define checked_mul(a, b, ret) CHECKED_OP_(mul, a, b, ret)

/* Whether [offset, offset + len) lies inside [0, size). */
static inline bool range_fits(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

static inline bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* align is a power of two; v + align - 1 must fit (callers pass bounded sizes). */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}
