/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What changed between two texts, by lines: `-` those of the old one alone, `+` those of the new one alone, a few of both around
 * them, and `...` where some are left out. By longest common subsequence; where that would be more than LINE_DIFF_CELLS_MAX
 * comparisons, what differs is shown as taken out and put in as a whole. Pure.
 */
#include <stddef.h>

#define LINE_DIFF_CELLS_MAX (4u << 20)
#define LINE_DIFF_CONTEXT   2

/* Called for each line of the result, without its end: mark is '-', '+', ' ', or '.' for lines left out. */
typedef void line_diff_fn(void *data, char mark, const char *line, size_t len);

/* -ENOMEM. Nothing is said where the texts are the same. */
int line_diff(const char *old_text, const char *new_text, line_diff_fn *say, void *data);
