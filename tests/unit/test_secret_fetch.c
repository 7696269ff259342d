/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching secrets by the real helper: all of a start's side by side, each value in its own pipe, and what is said of each that
 * cannot be had. The linker leads paths_find_program() through here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/loop.h"
#include "vmm/supervisor/secrets/secret_fetch.h"
#include "vmm/supervisor/secrets/secret_store.h"
#include "vmm/supervisor/spec.h"

static struct paths paths;
static struct spec spec;
static struct err err;

int __wrap_paths_find_program(const char *program, char ret_path[static PATH_MAX], struct err *e);
int __wrap_paths_find_program(const char *program, char ret_path[static PATH_MAX], struct err *e)
{
	(void)program;
	(void)e;
	snprintf(ret_path, PATH_MAX, "%s", getenv("SANDBOX_SECRET"));
	return 0;
}

static int fresh(void **state)
{
	(void)state;
	if (make_base() < 0 || mkdir(at("config"), 0700) < 0)
		return -1;
	snprintf(paths.config, sizeof(paths.config), "%s", at("config"));
	err = (struct err){};
	return 0;
}

static void set_command(const char *name, const char *command)
{
	struct secret_ref ref = { .kind = SECRET_COMMAND };

	snprintf(ref.text, sizeof(ref.text), "%s", command);
	if (secret_store_set(&paths, name, &ref, NULL, 0, &err) < 0)
		fail_msg("%s", err.text);
}

static int fetch(const char *const *names, size_t count, struct secret_fetch *rets)
{
	const struct secret_request request = {
		.paths = &paths, .spec = &spec, .environment_fd = -1, .wait = true
	};

	return secret_fetch_all(&request, names, count, rets, &err);
}

static void two_slow_ones_take_the_time_of_one(void **state)
{
	static const char *const names[] = { "one", "two", "three" };
	struct secret_fetch fetches[3];
	uint64_t begun_ms = clock_monotonic_ms(), took_ms;
	char value[64];

	(void)state;
	set_command("one", "sleep 2; echo first");
	set_command("two", "sleep 2; echo second");
	set_command("three", "sleep 2; echo third");
	if (fetch(names, ARRAY_SIZE(names), fetches) < 0)
		fail_msg("%s", err.text);
	took_ms = clock_monotonic_ms() - begun_ms;
	assert_true(took_ms >= 2000 && took_ms < 3900);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		static const char *const values[] = { "first", "second", "third" };
		ssize_t n = read(fetches[i].value_fd, value, sizeof(value) - 1);

		assert_true(n > 0);
		value[n] = '\0';
		value[strcspn(value, "\n")] = '\0';
		assert_string_equal(value, values[i]);
		secret_fetch_finish(&fetches[i]);
	}
}

/* Each is named with its own words, and nothing is left open. */
static void each_that_is_missing_is_named(void **state)
{
	static const char *const names[] = { "good", "bad", "nosuch", "worse" };
	struct secret_fetch fetches[4];

	(void)state;
	set_command("good", "echo value");
	set_command("bad", "exit 3");
	set_command("worse", "exit 4");
	assert_int_equal(fetch(names, ARRAY_SIZE(names), fetches), -ENOKEY);
	assert_non_null(strstr(err.text, "secret bad: "));
	assert_non_null(strstr(err.text, "nosuch"));
	assert_non_null(strstr(err.text, "secret worse: "));
	assert_null(strstr(err.text, "good"));
	assert_non_null(strstr(err.next_step, "secret set nosuch"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(fetches[i].value_fd, -1);
	assert_int_equal(fetch(names, 0, fetches), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			two_slow_ones_take_the_time_of_one, fresh, remove_base),
		cmocka_unit_test_setup_teardown(each_that_is_missing_is_named, fresh, remove_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
