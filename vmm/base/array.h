/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Element counts. sizeof(array) is never used as a count in this tree. */
#define ARRAY_SIZE(a)                                                                              \
	(sizeof(a) / sizeof((a)[0]) +                                                              \
		0 * sizeof(char[1 -                                                                \
				2 * __builtin_types_compatible_p(typeof(a), typeof(&(a)[0]))]))
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) min_a_ = (a);                                                            \
		typeof(b) min_b_ = (b);                                                            \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) max_a_ = (a);                                                            \
		typeof(b) max_b_ = (b);                                                            \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
