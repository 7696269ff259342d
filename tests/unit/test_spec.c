/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/supervisor/spec.h"

static struct spec make_spec(void)
{
	struct spec spec;

	assert_int_equal(spec_init(&spec), 0);
	strcpy(spec.name, "api");
	return spec;
}

static void test_what_is_encoded_is_decoded(void **state)
{
	static char *const command[] = { "make", "-j4", "all \"quoted\"\n", NULL };
	struct spec spec = make_spec(), back;
	json_t *json;

	(void)state;
	assert_int_equal(spec_set_workspace(&spec, "/src:ro", NULL), 0);
	assert_int_equal(spec_add_share(&spec, "/data/a:b:/opt/data:ro:trust-hardlinks", NULL), 0);
	assert_int_equal(spec_add_port(&spec, "8080:80", NULL), 0);
	assert_int_equal(spec_add_environment(&spec, "A=1=2", NULL), 0);
	assert_int_equal(spec_set_command(&spec, command, NULL), 0);
	spec.timeout_ms = 60000;
	json = spec_encode(&spec);
	assert_non_null(json);
	assert_int_equal(spec_decode(json, &back, NULL), 0);
	assert_string_equal(back.name, "api");
	assert_string_equal(back.workspace.host, "/src");
	assert_true(back.workspace.readonly);
	assert_string_equal(back.shares[0].host, "/data/a:b");
	assert_string_equal(back.shares[0].guest, "/opt/data");
	assert_true(back.shares[0].readonly);
	assert_true(back.shares[0].trust_hardlinks);
	assert_false(back.workspace.trust_hardlinks);
	assert_int_equal(back.ports[0].guest_port, 80);
	assert_string_equal(back.ports[0].address, "127.0.0.1");
	assert_string_equal(back.environment[0], "A=1=2");
	assert_string_equal(back.command[2], "all \"quoted\"\n");
	assert_int_equal(back.timeout_ms, 60000);
	json_decref(json);
	spec_finish(&spec);
	spec_finish(&back);
}

/* S4: nothing of a folder's own name lifts it where a word of ours follows. */
static void test_suffixes_are_taken_once_and_in_order(void **state)
{
	static const struct {
		const char *word, *host;
		bool readonly, trust;
	} cases[] = {
		{ "/a", "/a", false, false },
		{ "/a:rw", "/a", false, false },
		{ "/a:trust-hardlinks", "/a", false, true },
		{ "/a:rw:trust-hardlinks", "/a", false, true },
		{ "/a:ro:trust-hardlinks", "/a", true, true },
		{ "/a:trust-hardlinks:rw", "/a:trust-hardlinks", false, false },
		{ "/a:ro:rw", "/a:ro", false, false },
		{ "/a:rw:ro", "/a:rw", true, false },
		{ "/atrust-hardlinks", "/atrust-hardlinks", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_set_workspace(&spec, cases[i].word, NULL), 0);
		assert_string_equal(spec.workspace.host, cases[i].host);
		assert_int_equal(spec.workspace.readonly, cases[i].readonly);
		assert_int_equal(spec.workspace.trust_hardlinks, cases[i].trust);
		spec_finish(&spec);
	}
}

static void test_unknown_keys_and_values_are_refused(void **state)
{
	static const char *const changes[][2] = {
		{ "surprise", "1" },
		{ "cpus", "0" },
		{ "cpus", "33" },
		{ "memory_mib", "1" },
		{ "name", "\"../x\"" },
		{ "name", "\"UPPER\"" },
		{ "environment", "[\"no key\"]" },
		{ "ports", "[{\"address\": \"here\", \"host\": 1, \"guest\": 1}]" },
		{ "shares", "[{}]" },
		{ "command", "[7]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct spec spec = make_spec(), back = { .cpus = 77 };
		json_t *json = spec_encode(&spec);

		json_object_set_new(
			json, changes[i][0], json_loads(changes[i][1], JSON_DECODE_ANY, NULL));
		assert_int_equal(spec_decode(json, &back, NULL), -EINVAL);
		assert_int_equal(back.cpus, 77); /* untouched */
		json_decref(json);
		spec_finish(&spec);
	}
}

static void test_port_words(void **state)
{
	static const struct {
		const char *word, *address;
		int host, guest;
	} good[] = {
		{ "3000:80", "127.0.0.1", 3000, 80 },
		{ "0.0.0.0:3000:80", "0.0.0.0", 3000, 80 },
		{ "[::1]:3000:80", "::1", 3000, 80 },
	};
	static const char *const bad[] = { "3000", ":80", "0:80", "65536:80", "a:b", "::1:3000:80",
		"[::1:3000:80", "host:3000:80", "3000:80:", "1:2:3:4" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_add_port(&spec, good[i].word, NULL), 0);
		assert_string_equal(spec.ports[0].address, good[i].address);
		assert_int_equal(spec.ports[0].host_port, good[i].host);
		assert_int_equal(spec.ports[0].guest_port, good[i].guest);
		spec_finish(&spec);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_add_port(&spec, bad[i], NULL), -EINVAL);
		assert_int_equal(spec.port_count, 0);
		spec_finish(&spec);
	}
}

static void test_share_words(void **state)
{
	static const char *const bad[] = { "", "/a", "/a:", ":/b", "/a:b", "/a:/b/../c",
		"/a:/b:xx" };
	static const char *const reserved[] = { "/a:/", "/a:/etc", "/a:/usr/bin", "/a:/proc/x",
		"/a:/home/sandbox", "/a:/workspace" };
	static const char *const good[] = { "/a:/opt", "/a:/opt/x", "/a:/usr/local/go",
		"/a:/home/sandbox/.cargo:ro", "/a:/var/data", "a:/x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_add_share(&spec, bad[i], NULL), -EINVAL);
		spec_finish(&spec);
	}
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_set_workspace(&spec, "/src", NULL), 0);
		assert_int_equal(spec_add_share(&spec, reserved[i], NULL), 0);
		assert_int_equal(spec_check(&spec, NULL), -EINVAL);
		spec_finish(&spec);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct spec spec = make_spec();

		assert_int_equal(spec_add_share(&spec, good[i], NULL), 0);
		assert_int_equal(spec_check(&spec, NULL), 0);
		spec_finish(&spec);
	}
}

static void test_environment_file(void **state)
{
	static const char text[] = "# comment\n\nA=1\n  B=two words # kept\r\nA=3\nEMPTY=\n";
	struct spec spec = make_spec();
	struct err err = {};

	(void)state;
	assert_int_equal(spec_add_environment_file(&spec, text, sizeof(text) - 1, ".env", &err), 0);
	assert_string_equal(spec.environment[0], "A=3");
	assert_string_equal(spec.environment[1], "B=two words # kept");
	assert_string_equal(spec.environment[2], "EMPTY=");
	assert_null(spec.environment[3]);
	assert_int_equal(
		spec_add_environment_file(&spec, "X=1\n1BAD=secret\n", 16, ".env", &err), -EINVAL);
	assert_non_null(strstr(err.text, ".env line 2"));
	assert_null(strstr(err.text, "secret"));
	assert_int_equal(spec_add_environment_file(&spec, "X=\0", 3, ".env", &err), -EINVAL);
	spec_finish(&spec);
}

static void test_limits(void **state)
{
	struct spec spec = make_spec();
	char word[32];
	int r = 0;

	(void)state;
	for (int i = 0; r == 0; i++) {
		snprintf(word, sizeof(word), "/a:/opt/%d", i);
		r = spec_add_share(&spec, word, NULL);
	}
	assert_int_equal(r, -E2BIG);
	assert_int_equal(spec.share_count, SPEC_SHARES_MAX);
	r = 0;
	for (int i = 0; r == 0; i++) {
		snprintf(word, sizeof(word), "V%d=x", i);
		r = spec_add_environment(&spec, word, NULL);
	}
	assert_int_equal(r, -E2BIG);
	spec_finish(&spec);
}

static void test_resolve_wants_folders(void **state)
{
	struct spec spec = make_spec();

	(void)state;
	assert_int_equal(spec_set_workspace(&spec, "/proc/self/..", NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), 0);
	assert_string_equal(spec.workspace.host, "/proc");
	assert_int_not_equal(spec.workspace.inode, 0);
	assert_int_equal(spec_set_workspace(&spec, "/etc/passwd", NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), -ENOTDIR);
	assert_int_equal(spec_set_workspace(&spec, "/does/not/exist", NULL), 0);
	assert_int_equal(spec_resolve(&spec, NULL), -ENOENT);
	spec_finish(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_encoded_is_decoded),
		cmocka_unit_test(test_suffixes_are_taken_once_and_in_order),
		cmocka_unit_test(test_unknown_keys_and_values_are_refused),
		cmocka_unit_test(test_port_words),
		cmocka_unit_test(test_share_words),
		cmocka_unit_test(test_environment_file),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_resolve_wants_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
