/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "vmm/base/array.h"
#include "vmm/sandboxctl/options.h"

static const struct option_def table[] = {
	{ "fresh", 0, NULL, "" },
	{ "env", 'e', "K=V", "", .repeats = true },
	{ "cpus", 0, "N", "" },
	{ "tty", 't', NULL, "" },
	{ "interactive", 'i', NULL, "" },
	{ "tier", 0, "TIER", "", .later = "the egress policy" },
	{},
};

static int parse_words(enum options_tail tail, const char *const *words, int count,
	struct options *ret, struct err *err)
{
	return options_parse(table, tail, count, (char *const *)words, ret, err);
}

#define PARSE(tail, ret, err, ...)                                                                 \
	parse_words(tail, (const char *const[]){ __VA_ARGS__, NULL },                              \
		(int)ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })), ret, err)

static void test_values_and_words(void **state)
{
	struct options o;
	struct err err = {};

	(void)state;
	assert_int_equal(PARSE(TAIL_COMMAND, &o, &err, "--fresh", "api", "-e", "A=1", "-eB=2",
				 "--env=C=3", "--cpus", "2", "--", "make", "--fresh"),
		0);
	assert_true(options_flag(&o, "fresh"));
	assert_false(options_flag(&o, "tty"));
	assert_int_equal(options_count(&o, "env"), 3);
	assert_string_equal(options_nth(&o, "env", 0), "A=1");
	assert_string_equal(options_nth(&o, "env", 1), "B=2");
	assert_string_equal(options_nth(&o, "env", 2), "C=3");
	assert_null(options_nth(&o, "env", 3));
	assert_string_equal(options_value(&o, "cpus"), "2");
	assert_null(options_value(&o, "fresh"));
	assert_int_equal(o.word_count, 1);
	assert_string_equal(o.words[0], "api");
	assert_int_equal(o.command_count, 2);
	assert_string_equal(o.command[1], "--fresh");
	assert_null(o.command[2]);
	options_finish(&o);
}

static void test_clusters(void **state)
{
	struct options o;
	struct err err = {};

	(void)state;
	assert_int_equal(PARSE(TAIL_COMMAND, &o, &err, "-ite", "A=-1"), 0);
	assert_true(options_flag(&o, "tty"));
	assert_true(options_flag(&o, "interactive"));
	assert_string_equal(options_value(&o, "env"), "A=-1");
	options_finish(&o);
}

static void test_loose_tail(void **state)
{
	struct options o;
	struct err err = {};

	(void)state;
	assert_int_equal(PARSE(TAIL_LOOSE, &o, &err, "-t", "api", "make", "-j2", "--", "x"), 0);
	assert_int_equal(o.word_count, 1);
	assert_int_equal(o.command_count, 4);
	assert_string_equal(o.command[1], "-j2");
	options_finish(&o);
	assert_int_equal(PARSE(TAIL_LOOSE, &o, &err, "--", "make"), 0);
	assert_int_equal(o.word_count, 0);
	assert_int_equal(o.command_count, 1);
	options_finish(&o);
}

static void test_errors_say_what_is_near(void **state)
{
	struct options o = {};
	struct err err = {};

	(void)state;
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--frsh"), -EINVAL);
	assert_string_equal(err.text, "unknown option --frsh");
	assert_string_equal(err.next_step, "did you mean --fresh?");
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--completely-else=4"), -EINVAL);
	assert_string_equal(err.next_step, "");
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "-z"), -EINVAL);
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--cpus"), -EINVAL);
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--fresh=1"), -EINVAL);
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--cpus", "1", "--cpus=2"), -EINVAL);
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--", "x"), -EINVAL);
	assert_int_equal(PARSE(TAIL_NONE, &o, &err, "--tier", "builder"), -EOPNOTSUPP);
	assert_string_equal(
		err.text, "--tier is not available yet: it comes with the egress policy");
	assert_null(o.hits);
}

static void test_nearest(void **state)
{
	static const char *const verbs[] = { "start", "stop", "status", "ls", "rm", NULL };

	(void)state;
	assert_string_equal(options_nearest("strat", verbs), "start");
	assert_string_equal(options_nearest("sttus", verbs), "status");
	assert_string_equal(options_nearest("sl", verbs), "ls");
	assert_null(options_nearest("frobnicate", verbs));
	assert_null(
		options_nearest("a-word-that-is-much-longer-than-any-verb-could-ever-be", verbs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_words),
		cmocka_unit_test(test_clusters),
		cmocka_unit_test(test_loose_tail),
		cmocka_unit_test(test_errors_say_what_is_near),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
