/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/lifecycle.h"

static enum lifecycle_state after(
	enum lifecycle_state state, enum lifecycle_event event, bool faulted)
{
	enum lifecycle_state next = LIFECYCLE_QUARANTINED;

	assert_int_equal(lifecycle_next(state, event, faulted, &next), 0);
	return next;
}

static void test_a_life_from_start_to_stop(void **state)
{
	enum lifecycle_state s = after(LIFECYCLE_STOPPED, LIFECYCLE_BEGIN, false);

	(void)state;
	assert_int_equal(s, LIFECYCLE_STARTING);
	s = after(s, LIFECYCLE_AGENT_READY, false);
	assert_int_equal(s, LIFECYCLE_RUNNING);
	s = after(s, LIFECYCLE_ASKED_TO_STOP, false);
	assert_int_equal(s, LIFECYCLE_STOPPING);
	s = after(s, LIFECYCLE_ASKED_TO_STOP, false); /* two may ask */
	assert_int_equal(after(s, LIFECYCLE_ALL_GONE, false), LIFECYCLE_STOPPED);
	assert_int_equal(after(s, LIFECYCLE_ALL_GONE, true), LIFECYCLE_FAILED);
	assert_int_equal(after(s, LIFECYCLE_SURVIVOR, false), LIFECYCLE_QUARANTINED);
}

static void test_nothing_starts_where_something_lives(void **state)
{
	static const enum lifecycle_state taken[] = { LIFECYCLE_STARTING, LIFECYCLE_RUNNING,
		LIFECYCLE_STOPPING, LIFECYCLE_QUARANTINED };
	enum lifecycle_state next = LIFECYCLE_FAILED;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		assert_int_equal(lifecycle_next(taken[i], LIFECYCLE_BEGIN, false, &next), -EPROTO);
	assert_int_equal(next, LIFECYCLE_FAILED); /* untouched */
}

static void test_every_state_leads_to_an_end_or_is_one(void **state)
{
	(void)state;
	for (int s = 0; s < LIFECYCLE_STATES; s++) {
		enum lifecycle_state next = after((enum lifecycle_state)s, LIFECYCLE_CLEANED, true);

		assert_false(lifecycle_is_live(next));
	}
}

static void test_foreign_numbers_are_refused(void **state)
{
	enum lifecycle_state next;

	(void)state;
	assert_int_equal(
		lifecycle_next((enum lifecycle_state)77, LIFECYCLE_BEGIN, false, &next), -EPROTO);
	assert_int_equal(
		lifecycle_next(LIFECYCLE_STOPPED, (enum lifecycle_event)77, false, &next), -EPROTO);
	assert_string_equal(lifecycle_name((enum lifecycle_state)77), "unknown");
	assert_true(lifecycle_end_is_fault((enum machine_end)99));
}

static void test_names_round_trip(void **state)
{
	(void)state;
	for (int s = 0; s < LIFECYCLE_STATES; s++) {
		enum lifecycle_state back;

		assert_true(lifecycle_from_name(lifecycle_name((enum lifecycle_state)s), &back));
		assert_int_equal(back, s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_life_from_start_to_stop),
		cmocka_unit_test(test_nothing_starts_where_something_lives),
		cmocka_unit_test(test_every_state_leads_to_an_end_or_is_one),
		cmocka_unit_test(test_foreign_numbers_are_refused),
		cmocka_unit_test(test_names_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
