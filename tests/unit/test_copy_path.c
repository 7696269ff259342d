/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "vmm/sandboxctl/copy_path.h"

static void test_words(void **state)
{
	struct copy_path p = {};
	struct err err = {};

	(void)state;
	assert_int_equal(copy_path_parse("api:/tmp/x", &p, &err), 0);
	assert_true(p.in_guest);
	assert_string_equal(p.name, "api");
	assert_string_equal(p.path, "/tmp/x");
	assert_int_equal(copy_path_parse(":x:y", &p, &err), 0);
	assert_true(p.in_guest);
	assert_string_equal(p.name, "");
	assert_string_equal(p.path, "x:y");
	assert_int_equal(copy_path_parse("./a:b", &p, &err), 0);
	assert_false(p.in_guest);
	assert_string_equal(p.path, "./a:b");
	assert_int_equal(copy_path_parse("plain", &p, &err), 0);
	assert_false(p.in_guest);
	assert_int_equal(copy_path_parse("api:", &p, &err), -EINVAL);
	assert_int_equal(copy_path_parse("", &p, &err), -EINVAL);
	assert_int_equal(copy_path_parse("Api:/x", &p, &err), -EINVAL);
	assert_int_equal(copy_path_parse("-x:/x", &p, &err), -EINVAL);
	assert_int_equal(
		copy_path_parse(
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:/x",
			&p, &err),
		-EINVAL);
}

static void test_last_component(void **state)
{
	char name[256] = "";

	(void)state;
	assert_true(copy_path_last("a/b", name));
	assert_string_equal(name, "b");
	assert_true(copy_path_last("/a/b///", name));
	assert_string_equal(name, "b");
	assert_true(copy_path_last("..b", name));
	assert_string_equal(name, "..b");
	assert_false(copy_path_last("/", name));
	assert_false(copy_path_last("", name));
	assert_false(copy_path_last("a/.", name));
	assert_false(copy_path_last("a/..", name));
}

static void test_links(void **state)
{
	(void)state;
	assert_true(copy_link_stays_inside("a", 0));
	assert_true(copy_link_stays_inside("./a/b", 0));
	assert_true(copy_link_stays_inside("../a", 1));
	assert_true(copy_link_stays_inside("../../a", 2));
	assert_true(copy_link_stays_inside(".././/../a/", 2));
	assert_true(copy_link_stays_inside("..a/...", 0));
	assert_false(copy_link_stays_inside("", 1));
	assert_false(copy_link_stays_inside("/a", 9));
	assert_false(copy_link_stays_inside("..", 0));
	assert_false(copy_link_stays_inside("../../a", 1));
	assert_false(copy_link_stays_inside("a/..", 3)); /* a may be a link to somewhere deep */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_last_component),
		cmocka_unit_test(test_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
