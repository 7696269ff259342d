/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent computes from text and for text: users, environment, modules, mount options, accounts, health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/accounts.h"
#include "guest-agent/environment.h"
#include "guest-agent/health.h"
#include "guest-agent/modules.h"
#include "guest-agent/mounts.h"
#include "guest-agent/place.h"
#include "guest-agent/trust.h"
#include "guest-agent/user.h"
#include "vmm/base/array.h"
#include "vmm/base/fdio.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "broken line\n"
			     "short:x:1\n"
			     "minus:x:-5:0::/:/bin/sh\n"
			     "sandbox:x:1000:1001:s:/home/sandbox:/bin/bash\n"
			     "noshell:x:1002:1002::/:\n";

static void test_user_find(void **state)
{
	struct user user = {};

	(void)state;
	assert_true(user_find(passwd, "sandbox", &user));
	assert_int_equal(user.uid, 1000);
	assert_int_equal(user.gid, 1001);
	assert_string_equal(user.home, "/home/sandbox");
	assert_int_equal(user.group_count, 1);
	assert_true(user_find(passwd, "1000", &user));
	assert_string_equal(user.name, "sandbox");
	assert_true(user_find(passwd, "noshell", &user));
	assert_string_equal(user.shell, "/bin/sh");
	assert_true(user_find(passwd, "4321", &user));
	assert_int_equal(user.uid, 4321);
	assert_string_equal(user.home, "/");
	assert_false(user_find(passwd, "nobody", &user));
	assert_false(user_find(passwd, "short", &user));
	assert_false(user_find(passwd, "minus", &user));
	assert_false(user_find(
		passwd, "4294967295", &user)); /* (uid_t)-1 means "leave it" to setresuid */
	assert_false(user_find("", "root", &user));
}

static void test_user_groups(void **state)
{
	struct user user = {};

	(void)state;
	assert_true(user_find(passwd, "sandbox", &user));
	user_add_groups("root:x:0:\nsudo:x:27:other,sandbox\nown:x:1001:sandbox\nbad:x:q:sandbox\n"
			"almost:x:5:sandboxer,san\nusers:x:100:sandbox",
		&user);
	assert_int_equal(user.group_count, 3);
	assert_int_equal(user.groups[0], 1001);
	assert_int_equal(user.groups[1], 27);
	assert_int_equal(user.groups[2], 100);
}

static void test_environment(void **state)
{
	static struct environment env;
	static struct protocol_exec request;
	static const char *const welcome_env[] = { "A=1", "B=2", "PATH=/x", NULL };
	struct user user = { .name = "u", .home = "/h", .shell = "/s" };

	(void)state;
	request = (struct protocol_exec){ .env_count = 3, .env = { "B=3", "C=", "AB=x" } };
	environment_build(&env, &user, NULL, welcome_env, &request);
	assert_string_equal(environment_get(&env, "HOME"), "/h");
	assert_string_equal(environment_get(&env, "LOGNAME"), "u");
	assert_string_equal(environment_get(&env, "A"), "1");
	assert_string_equal(environment_get(&env, "B"), "3");
	assert_string_equal(environment_get(&env, "C"), "");
	assert_string_equal(environment_get(&env, "PATH"), "/x");
	assert_null(environment_get(&env, "TERM"));
	assert_null(env.list[env.count]);
	request.flags = PROTOCOL_EXEC_TTY;
	environment_build(&env, &user, NULL, welcome_env, &request);
	assert_string_equal(environment_get(&env, "TERM"), "xterm");
	request.flags = PROTOCOL_EXEC_CLEAN_ENV;
	environment_build(&env, &user, NULL, welcome_env, &request);
	assert_int_equal(env.count, 3);
	assert_null(environment_get(&env, "HOME"));
}

/* Where the host offers no egress nothing of it is there; where it does, WELCOME's and the request's own words still win. */
static void test_egress_environment(void **state)
{
	static struct environment env;
	static struct protocol_exec request;
	static struct protocol_welcome welcome;
	static const char *const welcome_env[] = { "http_proxy=mine", NULL };
	struct user user = { .name = "u", .home = "/h", .shell = "/s" };

	(void)state;
	assert_null(environment_egress(&welcome));
	welcome.flags = PROTOCOL_WELCOME_EGRESS;
	environment_build(&env, &user, environment_egress(&welcome), NULL, &request);
	assert_string_equal(environment_get(&env, "https_proxy"), "http://127.0.0.1:3128");
	assert_string_equal(environment_get(&env, "NO_PROXY"), "localhost,127.0.0.1,::1");
	assert_null(environment_get(&env, "SSL_CERT_FILE"));
	assert_null(environment_get(&env, "npm_config_cafile"));
	assert_null(environment_get(&env, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"));
	welcome.file_count = 1;
	welcome.file[0] = (struct protocol_file){ .path = PROTOCOL_CA_PATH };
	environment_build(&env, &user, environment_egress(&welcome), welcome_env, &request);
	assert_string_equal(environment_get(&env, "NODE_EXTRA_CA_CERTS"), PROTOCOL_CA_PATH);
	assert_string_equal(environment_get(&env, "SSL_CERT_FILE"), TRUST_BUNDLE_PATH);
	assert_string_equal(environment_get(&env, "npm_config_cafile"), TRUST_BUNDLE_PATH);
	assert_string_equal(
		environment_get(&env, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), TRUST_BUNDLE_PATH);
	assert_string_equal(environment_get(&env, "http_proxy"), "mine");
	request.flags = PROTOCOL_EXEC_CLEAN_ENV;
	environment_build(&env, &user, environment_egress(&welcome), NULL, &request);
	assert_int_equal(env.count, 0);
}

static void write_text(const char *root, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", root, name);
	assert_int_equal(place_file(path, text, strlen(text), 0644, getuid(), getgid()), 0);
}

static void expect_text(const char *root, const char *name, const char *text)
{
	char path[256];
	char *got = NULL;
	size_t len;

	snprintf(path, sizeof(path), "%s%s", root, name);
	assert_int_equal(fdio_read_file(AT_FDCWD, path, 4096, &got, &len), 0);
	assert_string_equal(got, text);
	free(got);
}

static void expect_missing(const char *root, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", root, name);
	assert_int_equal(access(path, F_OK), -1);
}

static void make_executable(const char *root, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", root, name);
	assert_int_equal(chmod(path, 0755), 0);
}

static void test_trust(void **state)
{
	static struct protocol_welcome welcome;
	static const char pem[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	char root[] = "/tmp/test-trust-XXXXXX", command[64], out[8];

	(void)state;
	assert_int_equal(trust_join("a", 1, "b\n", 2, out, sizeof(out)), 4);
	assert_memory_equal(out, "a\nb\n", 4);
	assert_int_equal(trust_join("", 0, "b", 1, out, sizeof(out)), 2);
	assert_int_equal(trust_join("aaaa", 4, "bbbb", 4, out, sizeof(out)), 0);
	assert_non_null(mkdtemp(root));
	assert_int_equal(trust_place(root, &welcome), 0); /* no CA: nothing */
	welcome.file_count = 1;
	welcome.file[0] = (struct protocol_file){
		.path = PROTOCOL_CA_PATH, .content = "CA\n", .content_len = 3
	};
	write_text(root, "/etc/ssl/certs/ca-certificates.crt", "ROOTS");
	write_text(root, "/usr/lib/jvm/a/lib/security/cacerts", "old");
	if (getuid() == 0) {
		assert_int_equal(trust_place(root, &welcome), 0);
		expect_text(root, "/usr/lib/jvm/a/lib/security/cacerts",
			"old"); /* no certificate to put there */
		welcome.file[0].content = pem;
		welcome.file[0].content_len = (uint32_t)strlen(pem);
		assert_int_equal(trust_place(root, &welcome), 0);
		expect_text(root, "/usr/lib/jvm/a/lib/security/cacerts",
			"\xfe\xed\xfe\xed"); /* then a NUL */
		expect_missing(root, "/etc/chromium/policies/managed/sandbox.json");
		write_text(root, "/usr/bin/chromium", "");
		make_executable(root, "/usr/bin/chromium");
		assert_int_equal(trust_place(root, &welcome), 0);
		expect_text(root, "/etc/chromium/policies/managed/sandbox.json",
			"{\"CACertificates\":[\"AAAA\"]}\n");
		write_text(root, "/etc/ssl/certs/ca-certificates.crt", "ROOTS");
		welcome.file[0].content = "CA\n";
		welcome.file[0].content_len = 3;
		assert_int_equal(trust_place(root, &welcome), 0);
		expect_text(root, TRUST_BUNDLE_PATH, "ROOTS\nCA\n");
		expect_text(root, "/etc/ssl/certs/ca-certificates.crt", "ROOTS\nCA\n");
		expect_text(root, "/usr/local/share/ca-certificates/sandbox.crt", "CA\n");
	}
	snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

static void test_browser_policy(void **state)
{
	static const char ca[] =
		"x\n-----BEGIN CERTIFICATE-----\nAAAA\nBB==\n-----END CERTIFICATE-----\n";
	static const char odd[] = "-----BEGIN CERTIFICATE-----\nAA\"A\n-----END CERTIFICATE-----\n";
	static const char golden[] = "{\"CACertificates\":[\"AAAABB==\"]}\n";
	char out[64];

	(void)state;
	assert_int_equal(trust_browser_policy(ca, strlen(ca), out, sizeof(out)), strlen(golden));
	assert_memory_equal(out, golden, strlen(golden));
	for (size_t size = 0; size < strlen(golden); size++)
		assert_int_equal(trust_browser_policy(ca, strlen(ca), out, size), 0);
	assert_int_equal(trust_browser_policy(odd, strlen(odd), out, sizeof(out)), 0);
	assert_int_equal(trust_browser_policy(ca, 35, out, sizeof(out)), 0); /* cut short */
	assert_int_equal(trust_browser_policy("", 0, out, sizeof(out)), 0);
}

static void test_resolv_conf(void **state)
{
	static struct protocol_welcome welcome;
	char text[64] = {};
	struct bytes_writer w = bytes_writer(text, sizeof(text) - 1);

	(void)state;
	accounts_resolv_conf(&w, &welcome);
	assert_int_equal(w.offset, 0);
	welcome.flags = PROTOCOL_WELCOME_EGRESS;
	accounts_resolv_conf(&w, &welcome);
	assert_string_equal(text, "nameserver 127.0.0.1\nnameserver ::1\n");
}

static void test_modules(void **state)
{
	const char *cursor = "a.ko\n\n# b.ko\n../evil.ko\n.hidden\nc.ko.xz";
	char name[MODULE_NAME_MAX];
	unsigned int bad = 0;

	(void)state;
	assert_true(modules_next(&cursor, name, &bad));
	assert_string_equal(name, "a.ko");
	assert_true(modules_next(&cursor, name, &bad));
	assert_string_equal(name, "c.ko.xz");
	assert_false(modules_next(&cursor, name, &bad));
	assert_int_equal(bad, 2);
	assert_true(module_compressed("c.ko.xz"));
	assert_true(module_compressed("c.ko.zst"));
	assert_false(module_compressed("c.ko"));
	assert_false(module_compressed(".xz"));
}

static void test_share_options(void **state)
{
	struct protocol_mount share = { .kind = PROTOCOL_MOUNT_P9, .cache = PROTOCOL_CACHE_MMAP };
	char text[MOUNT_OPTIONS_MAX], small[8];

	(void)state;
	assert_true(mount_share_options(&share, false, text, sizeof(text)));
	assert_string_equal(
		text, "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=user");
	share.msize = 8192;
	share.cache = PROTOCOL_CACHE_LOOSE;
	assert_true(mount_share_options(&share, true, text, sizeof(text)));
	assert_string_equal(text,
		"trans=virtio,version=9p2000.L,msize=8192,cache=loose,access=user,aname=late-writes");
	assert_false(mount_share_options(&share, false, small, sizeof(small)));
	assert_true(mount_kernel_writes_late("6.12.117"));
	assert_true(mount_kernel_writes_late("6.4.0-rc1"));
	assert_true(mount_kernel_writes_late("10.1"));
	assert_false(mount_kernel_writes_late("6.1.0-30-amd64"));
	assert_false(mount_kernel_writes_late("5.15.0"));
	assert_false(mount_kernel_writes_late(""));
	share.kind = PROTOCOL_MOUNT_VIRTIOFS;
	assert_true(mount_share_options(&share, false, small, sizeof(small)));
	assert_string_equal(small, "");
}

static void test_overlay_options(void **state)
{
	char text[128];

	(void)state;
	assert_true(mount_overlay_options("/l", "/u", "/w", text, sizeof(text)));
	assert_string_equal(text, "lowerdir=/l,upperdir=/u,workdir=/w");
	assert_true(mount_overlay_options("/a,b", "/c:d", "/e\\", text, sizeof(text)));
	assert_string_equal(text, "lowerdir=/a\\,b,upperdir=/c\\:d,workdir=/e\\\\");
	assert_false(mount_overlay_options("/l", "/u", "/w", text, 20));
}

static const char *text_of(struct bytes_writer *w)
{
	assert_false(w->failed);
	assert_true(w->offset < w->size);
	w->data[w->offset] = '\0';
	return (const char *)w->data;
}

/* What the agent writes, the agent reads. */
/* Of dpkg's overrides those that the guest's dpkg can read: one unknown group, and it would refuse to start. */
static void test_overrides(void **state)
{
	static const char text[] = "root ssl-cert 710 /etc/ssl/private\n"
				   "root messagebus 4754 /usr/lib/x\n"
				   "root adm 2755 /var/log/x\n"
				   "man root 644 /usr/x\n"
				   "#9 #9 644 /usr/y z\n"
				   "nobody-else root 644 /usr/z\n"
				   "roo root 644 /x\n"
				   "broken\n"
				   "u u 600 /home/u/x";
	struct protocol_welcome welcome = { .user = "u" };
	uint8_t out[sizeof(text)];
	struct bytes_writer w = bytes_writer(out, sizeof(out));

	(void)state;
	accounts_overrides(&w, &welcome, text, sizeof(text) - 1);
	bytes_put(&w, "", 1);
	assert_false(w.failed);
	assert_string_equal(out, "root adm 2755 /var/log/x\nman root 644 /usr/x\n"
				 "#9 #9 644 /usr/y z\nu u 600 /home/u/x");
}

static void test_accounts(void **state)
{
	static uint8_t buffer[ACCOUNTS_TEXT_MAX];
	static struct protocol_welcome welcome;
	struct bytes_writer w = bytes_writer(buffer, sizeof(buffer));
	struct user user = {};

	(void)state;
	welcome = (struct protocol_welcome){
		.uid = 1000,
		.gid = 1000,
		.user = "sandbox",
		.hostname = "box",
		.flags = PROTOCOL_WELCOME_SUDO,
	};
	accounts_passwd(&w, &welcome, "/bin/bash");
	assert_true(user_find(text_of(&w), "sandbox", &user));
	assert_string_equal(user.home, "/home/sandbox");
	assert_true(user_find(text_of(&w), "nobody", &user));
	assert_true(user_find(text_of(&w), "sandbox", &user));
	w = bytes_writer(buffer, sizeof(buffer));
	accounts_group(&w, &welcome);
	user_add_groups(text_of(&w), &user);
	assert_int_equal(user.group_count, 4); /* own, sudo, users, kvm */
	assert_int_equal(user.groups[1], 27);
	w = bytes_writer(buffer, sizeof(buffer));
	accounts_sudoers(&w, &welcome);
	assert_non_null(strstr(text_of(&w), "sandbox\tALL=(ALL:ALL) NOPASSWD: ALL\n"));
	welcome.flags = 0;
	w = bytes_writer(buffer, sizeof(buffer));
	accounts_sudoers(&w, &welcome);
	assert_null(strstr(text_of(&w), "NOPASSWD"));
	w = bytes_writer(buffer, sizeof(buffer));
	accounts_hosts(&w, &welcome);
	assert_non_null(strstr(text_of(&w), "127.0.1.1\tbox\n"));
	w = bytes_writer(buffer, sizeof(buffer));
	accounts_shadow(&w, &welcome);
	assert_non_null(strstr(text_of(&w), "\nsandbox:*:"));
}

static void test_health(void **state)
{
	static const char meminfo[] =
		"MemTotal:        2048 kB\nMemFree:  5 kB\nMemAvailable:    1024 kB";
	uint64_t value = 0;

	(void)state;
	assert_true(health_meminfo(meminfo, "MemTotal", &value));
	assert_int_equal(value, 2048);
	assert_true(health_meminfo(meminfo, "MemAvailable", &value));
	assert_int_equal(value, 1024);
	assert_false(health_meminfo(meminfo, "Mem", &value));
	assert_false(health_meminfo("", "MemTotal", &value));
	assert_true(health_oom_kill(
		"3,884,5000,-;Out of memory: Killed process 77 (cc) total-vm:1kB", &value));
	assert_int_equal(value, 77);
	assert_true(health_oom_kill(
		"3,884,5000,-;Memory cgroup out of memory: Killed process 8 (x)", &value));
	assert_int_equal(value, 8);
	/* 14: facility user, level info: somebody who may write to the log says so. */
	assert_false(
		health_oom_kill("14,884,5000,-;Out of memory: Killed process 77 (cc)", &value));
	assert_false(health_oom_kill("3,884,5000,-;Killed process 77", &value));
	assert_false(health_oom_kill("", &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_find),
		cmocka_unit_test(test_user_groups),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_egress_environment),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_browser_policy),
		cmocka_unit_test(test_resolv_conf),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_share_options),
		cmocka_unit_test(test_overlay_options),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_health),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
