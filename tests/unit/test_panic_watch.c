/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/machine/panic_watch.h"

static const char panic[] =
	"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";

static void test_any_split(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < sizeof(panic); cut++) {
		struct panic_watch watch = {};
		bool first = panic_watch_feed(&watch, panic, cut);
		bool second = panic_watch_feed(&watch, panic + cut, sizeof(panic) - 1 - cut);

		assert_true(watch.seen);
		assert_true(first != second); /* told once */
	}
}

static void test_false_starts(void **state)
{
	struct panic_watch watch = {};

	(void)state;
	assert_false(panic_watch_feed(&watch, "KKernel panKernel panic", 23));
	assert_false(panic_watch_feed(&watch, " - syncing: ", 12));
	assert_true(panic_watch_feed(&watch, "KKernel panic - not syncing: x", 30));
	assert_false(panic_watch_feed(&watch, "Kernel panic - not syncing: x", 29));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_split),
		cmocka_unit_test(test_false_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
