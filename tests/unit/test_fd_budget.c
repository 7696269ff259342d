/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/share/fd_budget.h"
#include "vmm/share/handles.h"
#include "vmm/share/share.h"

/* workspace, usr, etc, dpkg, tools: what a host image has; then five more folders of the user's. */
static const enum idmap_kind kinds[] = { IDMAP_MAPPED, IDMAP_HOST, IDMAP_INTERNAL, IDMAP_HOST,
	IDMAP_INTERNAL, IDMAP_MAPPED, IDMAP_MAPPED, IDMAP_MAPPED, IDMAP_MAPPED, IDMAP_MAPPED };

/* 50 processes at once, each with its program and nine libraries open. */
static void test_a_low_limit_is_enough_for_50_programs(void **state)
{
	uint32_t fds[ARRAY_SIZE(kinds)];

	(void)state;
	fd_budget_divide(4096, kinds, 5, fds);
	assert_true(fds[1] >= 50 * 10 + HANDLES_FDS_MIN);
	assert_true(fds[0] >= 400);
	fd_budget_divide(4096, kinds, ARRAY_SIZE(kinds), fds);
	assert_true(fds[1] >= 50 * 10 + HANDLES_FDS_MIN);
}

static void test_no_more_than_there_are(void **state)
{
	static const uint64_t limits[] = { 4096, 10000, 65536, 1048576, UINT64_MAX };
	uint32_t fds[ARRAY_SIZE(kinds)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		for (size_t count = 1; count <= ARRAY_SIZE(kinds); count++) {
			uint64_t sum = 0;

			fd_budget_divide(limits[i], kinds, count, fds);
			for (size_t k = 0; k < count; k++) {
				assert_in_range(fds[k], SHARE_FDS_MIN, SHARE_FDS_DEFAULT);
				sum += fds[k];
			}
			assert_true(sum <= limits[i] - FD_BUDGET_RESERVED + 2 * SHARE_FDS_MIN);
		}
}

/* Something is better than nothing: the process finds out by itself. */
static void test_limits_that_are_too_low(void **state)
{
	uint32_t fds[2] = {};

	(void)state;
	fd_budget_divide(0, kinds, 2, fds);
	assert_int_equal(fds[0], SHARE_FDS_MIN);
	assert_int_equal(fds[1], SHARE_FDS_MIN);
	fd_budget_divide(1000, kinds, 0, fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_low_limit_is_enough_for_50_programs),
		cmocka_unit_test(test_no_more_than_there_are),
		cmocka_unit_test(test_limits_that_are_too_low),
	};

	return cmocka_run_group_tests_name("fd_budget", tests, NULL, NULL);
}
