/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "images/host_etc.h"
#include "tests/lib/test_folder.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"

static char *get(const char *name)
{
	char *text = NULL;

	return fdio_read_file(AT_FDCWD, at(name), 65536, &text, NULL) == 0 ? text : NULL;
}

static void assert_text(const char *name, const char *expected)
{
	char *text = get(name);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void assert_absent(const char *name)
{
	assert_int_equal(access(at(name), F_OK), -1);
}

static void fill_source(void)
{
	put("etc/services", "ssh 22/tcp\n", 0644);
	put("etc/hosts.canary", "canary", 0644); /* not in the list */
	put("etc/npmrc", "canary", 0644);
	put("etc/pip.conf", "canary", 0644);
	put("etc/gitconfig", "canary", 0644);
	put("etc/environment", "canary", 0644);
	put("etc/machine-id", "canary", 0444);
	put("etc/profile.d/x.sh", "canary", 0644);
	put("etc/shadow", "canary", 0640);
	put("etc/rpc", "canary", 0640); /* listed, but closed */
	put("etc/ssl/certs/ca.crt", "certificate", 0644);
	put("etc/ssl/certs/server.key", "canary", 0644);
	put("etc/ssl/private/x.pem", "canary", 0644);
	put("etc/python3/pip.conf", "canary", 0644);
	put("etc/python3/rc", "fine", 0644);
	put("etc/apt/auth.conf", "canary", 0644);
	put("etc/apt/apt.conf.d/proxy", "canary", 0644);
	put("etc/chromium.d/apikeys", "canary", 0644);
	put("etc/chromium.d/default-flags", "flags", 0644);
	put("etc/apt/sources.list",
		"deb http://a/ x\ndeb https://me:canary@b/ y\ndeb http://c/@d z\n", 0644);
	put("etc/apt/sources.list.d/x.sources", "URIs: https://token@b/\n", 0644);
	put("etc/apt/sources.list.d/auth.conf", "canary", 0644);
	put("etc/perl/closed/x", "canary", 0644);
	chmod(at("etc/perl/closed"), 0750);
	assert_int_equal(mkdir(at("etc/alternatives"), 0755), 0);
	assert_int_equal(symlink("/usr/bin/gcc", at("etc/alternatives/cc")), 0);
	assert_int_equal(symlink("/root/canary", at("etc/magic")), 0);
}

static void test_only_the_list_and_only_what_strangers_read(void **state)
{
	static const char *const absent[] = { "hosts.canary", "npmrc", "pip.conf", "gitconfig",
		"environment", "machine-id", "profile.d", "shadow", "rpc", "ssl/certs/server.key",
		"ssl/private", "python3/pip.conf", "apt/auth.conf", "apt/apt.conf.d",
		"apt/sources.list.d/x.sources", "apt/sources.list.d/auth.conf", "perl/closed",
		"chromium.d/apikeys" };
	char target[PATH_MAX], name[64];
	ssize_t n;

	(void)state;
	assert_int_equal(host_etc_build(at("etc"), at("snap"), NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		snprintf(name, sizeof(name), "snap/%s", absent[i]);
		assert_absent(name);
	}
	assert_text("snap/services", "ssh 22/tcp\n");
	assert_text("snap/ssl/certs/ca.crt", "certificate");
	assert_text("snap/python3/rc", "fine");
	assert_text("snap/chromium.d/default-flags", "flags");
	assert_text("snap/apt/sources.list", "deb http://a/ x\ndeb http://c/@d z\n");
	n = readlink(at("snap/alternatives/cc"), target, sizeof(target));
	assert_int_equal(n, 12);
	n = readlink(at("snap/magic"), target,
		sizeof(target)); /* a link stays a link: nothing behind it is copied */
	assert_int_equal(n, 12);
}

static void test_an_unchanged_source_is_not_copied_again(void **state)
{
	struct stat first, second;

	(void)state;
	assert_int_equal(stat(at("snap/services"), &first), 0);
	assert_int_equal(host_etc_build(at("etc"), at("snap"), NULL), 0);
	assert_int_equal(stat(at("snap/services"), &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	put("etc/services", "changed\n", 0644);
	assert_int_equal(host_etc_build(at("etc"), at("snap"), NULL), 0);
	assert_text("snap/services", "changed\n");
}

static void test_credentials(void **state)
{
	static const struct {
		const char *text;
		bool has;
	} cases[] = {
		{ "http://host/path", false },
		{ "http://user@host/", true },
		{ "deb https://u:p@host/ x", true },
		{ "http://host/a@b", false },
		{ "mail me@host", false },
		{ "a://b c@d", false },
		{ "://@", true },
		{ "://", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(host_etc_has_credentials(cases[i].text, strlen(cases[i].text)),
			cases[i].has);
}

static int set_up(void **state)
{
	(void)state;
	if (make_base() < 0)
		return -1;
	umask(022);
	fill_source();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_list_and_only_what_strangers_read),
		cmocka_unit_test(test_an_unchanged_source_is_not_copied_again),
		cmocka_unit_test(test_credentials),
	};

	return cmocka_run_group_tests(tests, set_up, remove_base);
}
