/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/sandboxctl/detach_keys.h"

static bool type(struct detach_keys *keys, const char *text, const char *wanted)
{
	uint8_t out[64];
	size_t len;
	bool detached = detach_keys_run(keys, (const uint8_t *)text, strlen(text), out, &len);

	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(out, wanted, len);
	return detached;
}

static void test_sequence(void **state)
{
	struct detach_keys keys = {};

	(void)state;
	assert_false(type(&keys, "abc", "abc"));
	assert_false(type(&keys, "a\020", "a")); /* held until the next key */
	assert_false(type(&keys, "b", "\020b"));
	assert_false(type(&keys, "\021", "\021"));
	assert_false(type(&keys, "\020\020", "\020"));
	assert_true(type(&keys, "\021rest", ""));
	assert_true(type(&keys, "x\020\021y", "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
