/* SPDX-License-Identifier: Apache-2.0 */
/* E20: what is handed on of the environment for fetching secrets, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/test_folder.h"
#include "vmm/supervisor/secrets/secret_environment.h"
#include "vmm/supervisor/secrets/secret_store.h"

static struct paths paths;
static char text[SECRET_ENVIRONMENT_MAX + 1];
static char *list[SECRET_ENVIRONMENT_COUNT + 1];

static int fresh(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	snprintf(paths.config, sizeof(paths.config), "%s", at("config"));
	clearenv();
	setenv("PATH", "/evil", 1);
	setenv("HOME", "/home/u", 1);
	setenv("XDG_CONFIG_HOME", "/home/u/c", 1);
	setenv("TOKEN", "value", 1);
	setenv("TOKEN_2", "other", 1);
	setenv("LD_PRELOAD", "/evil.so", 1);
	return 0;
}

static int clear(void **state)
{
	setenv("PATH", "/usr/bin:/bin", 1);
	return remove_base(state);
}

static void hand_on(void)
{
	struct err err = {};
	int fd = -1;

	assert_int_equal(secret_environment_write(&paths, &fd, &err), 0);
	assert_int_equal(secret_environment_read(fd, text, list), 0);
	close(fd);
}

static void test_chosen(void **state)
{
	const struct secret_ref ref = { .kind = SECRET_ENV, .text = "TOKEN" };
	struct err err = {};

	(void)state;
	hand_on();
	assert_null(secret_environment_get(list, "TOKEN"));
	assert_int_equal(secret_store_set(&paths, "t", &ref, NULL, 0, &err), 0);
	hand_on();
	assert_string_equal(secret_environment_get(list, "TOKEN"), "value");
	assert_string_equal(secret_environment_get(list, "HOME"), "/home/u");
	assert_string_equal(secret_environment_get(list, "XDG_CONFIG_HOME"), "/home/u/c");
	assert_null(secret_environment_get(list, "TOKEN_2"));
	assert_null(secret_environment_get(list, "PATH"));
	assert_null(secret_environment_get(list, "LD_PRELOAD"));
	/* A command never gets what a reference of kind env names. */
	assert_false(secret_environment_is_for_commands("TOKEN=value"));
	assert_true(secret_environment_is_for_commands("XDG_CONFIG_HOME=/x"));
}

/* A store that cannot be read is no start's business, until a policy binds a secret. */
static void test_a_bad_store(void **state)
{
	const struct secret_ref ref = { .kind = SECRET_ENV, .text = "TOKEN" };
	struct err err = {};

	(void)state;
	assert_int_equal(secret_store_set(&paths, "t", &ref, NULL, 0, &err), 0);
	assert_int_equal(chmod(at("config/secrets.json"), 0644), 0);
	hand_on();
	assert_null(secret_environment_get(list, "TOKEN"));
	assert_string_equal(secret_environment_get(list, "HOME"), "/home/u");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chosen, fresh, clear),
		cmocka_unit_test_setup_teardown(test_a_bad_store, fresh, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
