/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: the system's, the user's over it, and what either may not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "vmm/supervisor/config.h"

static char folder[] = "/tmp/test_config_XXXXXX";
static char system_file[64];
static struct paths paths;

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
}

static const char *user_file(void)
{
	static char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/config.json", paths.config);
	return path;
}

static int load(struct config *config, struct err *err)
{
	*err = (struct err){};
	return config_load(&paths, system_file, config, err);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(system_file, sizeof(system_file), "%s/system.json", folder);
	snprintf(paths.config, sizeof(paths.config), "%s", folder);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void test_layers(void **state)
{
	struct config c;
	struct err err;

	(void)state;
	assert_int_equal(load(&c, &err), 0);
	assert_int_equal(c.forward, FORWARD_NONE);
	assert_string_equal(c.dns, "");
	put(system_file,
		"{\"version\":1,\"audit\":{\"forward\":\"syslog\"},\"egress\":{\"dns\":[\"192.0.2.1\",\"[2001:db8::1]:53\"]}}");
	put(user_file(),
		"{\"version\":1,\"egress\":{\"trust_file\":\"/etc/roots.pem\",\"proxy\":\"proxy.test:3128\"}}");
	assert_int_equal(load(&c, &err), 0);
	assert_int_equal(c.forward, FORWARD_SYSLOG);
	assert_string_equal(c.dns, "192.0.2.1,[2001:db8::1]:53");
	assert_string_equal(c.trust_file, "/etc/roots.pem");
	assert_string_equal(c.proxy, "proxy.test:3128");
	put(user_file(),
		"{\"version\":1,\"audit\":{\"forward\":\"none\"},\"egress\":{\"dns\":[]}}");
	assert_int_equal(load(&c, &err), 0);
	assert_int_equal(c.forward, FORWARD_NONE);
	assert_string_equal(c.dns, "");
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{}", "version" },
		{ "{\"version\":2}", "version" },
		{ "{\"version\":1,\"more\":1}", "not known" },
		{ "{\"version\":1,\"audit\":{\"forward\":\"mail\"}}", "journald, syslog or none" },
		{ "{\"version\":1,\"audit\":{\"more\":1}}", "not known" },
		{ "{\"version\":1,\"egress\":{\"dns\":[\"localhost\"]}}",
			"localhost is no address" },
		{ "{\"version\":1,\"egress\":{\"dns\":[\"192.0.2.1:0\"]}}", "no address" },
		{ "{\"version\":1,\"egress\":{\"dns\":[\"192.0.2.1,1\"]}}", "no address" },
		{ "{\"version\":1,\"egress\":{\"trust_file\":\"roots.pem\"}}", "absolute" },
		{ "{\"version\":1,\"egress\":{\"proxy\":\"http://proxy:1\"}}", "not HOST:PORT" },
		{ "{\"version\":1,\"egress\":{\"proxy\":\"u:p@proxy:1\"}}", "no credentials" },
		{ "{\"version\":1,\"egress\":{\"proxy\":\"proxy\"}}", "not HOST:PORT" },
		{ "[]", "config.json" },
		{ "{\"version\":1,\"version\":1}", "config.json" },
	};
	struct config c;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put(user_file(), cases[i].text);
		assert_int_equal(load(&c, &err), -EINVAL);
		if (!strstr(err.text, cases[i].says) || !strstr(err.text, folder))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
	put(user_file(), "{\"version\":1}");
	assert_int_equal(chmod(user_file(), 0620), 0);
	assert_int_equal(load(&c, &err), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
