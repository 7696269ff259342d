/* SPDX-License-Identifier: Apache-2.0 */
/* The agent protocol's messages against golden bytes, written by hand from messages.h, and against hostile variants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest-agent/protocol/messages.h"
#include "vmm/base/array.h"

static uint8_t out[PROTOCOL_WELCOME_MAX + 4096];

static struct bytes_writer writer(void)
{
	memset(out, 0xa5, sizeof(out));
	return bytes_writer(out, sizeof(out));
}

#define assert_golden(w, golden)                                                                   \
	do {                                                                                       \
		assert_false((w).failed);                                                          \
		assert_int_equal((w).offset, sizeof(golden));                                      \
		assert_memory_equal((w).data, golden, sizeof(golden));                             \
	} while (0)

static void test_hello(void **state)
{
	static const uint8_t golden[] = { 1, 0, 0, 0, 0, 0, 1, 0, 4, 0, 'd', 'e', 'v', 0 };
	struct protocol_hello hello = { 1, 65536, "dev" }, got;
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_hello(&w, &hello);
	assert_golden(w, golden);
	assert_true(protocol_get_hello(golden, sizeof(golden), &got));
	assert_int_equal(got.version, 1);
	assert_int_equal(got.payload_max, 65536);
	assert_string_equal(got.build, "dev");
	for (size_t len = 0; len < sizeof(golden); len++)
		assert_false(protocol_get_hello(golden, len, &got));
}

static void test_ready_refused(void **state)
{
	static const uint8_t ready_golden[] = { 8, 7, 6, 5, 4, 3, 2, 1, 0x21, 0, 0, 0 };
	static const uint8_t refused_golden[] = { 12, 0, 0, 0, 4, 0, 0, 0 };
	static const uint8_t refused_zero[] = { 0, 0, 0, 0, 4, 0, 0, 0 };
	struct protocol_ready ready = { 0x0102030405060708, 0x21 }, ready_got;
	struct protocol_refused refused = { ENOMEM, PROTOCOL_STAGE_ROOT }, refused_got;
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_ready(&w, &ready);
	assert_golden(w, ready_golden);
	assert_true(protocol_get_ready(ready_golden, sizeof(ready_golden), &ready_got));
	assert_memory_equal(&ready_got.elapsed_ns, &ready.elapsed_ns, 8);
	assert_int_equal(ready_got.degraded, 0x21);
	w = writer();
	protocol_put_refused(&w, &refused);
	assert_golden(w, refused_golden);
	assert_true(protocol_get_refused(refused_golden, sizeof(refused_golden), &refused_got));
	assert_int_equal(refused_got.code, ENOMEM);
	assert_false(protocol_get_refused(refused_zero, sizeof(refused_zero), &refused_got));
}

static void test_health(void **state)
{
	static const uint8_t golden[] = {
		1, 0, 0, 0, 0, 0, 0, 0, /* uptime */
		2, 0, 0, 0, 0, 0, 0, 0, /* memory total */
		3, 0, 0, 0, 0, 0, 0, 0, /* memory available */
		4, 0, 0, 0, 0, 0, 0, 0, /* disk total */
		5, 0, 0, 0, 0, 0, 0, 0, /* disk free */
		6, 0, 0, 0, /* load */
		7, 0, 0, 0, /* processes */
		8, 0, 0, 0, /* operations */
		9, 0, 0, 0, /* degraded */
	};
	struct protocol_health health = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, got = {};
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_health(&w, &health);
	assert_golden(w, golden);
	assert_true(protocol_get_health(golden, sizeof(golden), &got));
	assert_memory_equal(&got, &health, sizeof(got));
	assert_false(protocol_get_health(golden, sizeof(golden) - 1, &got));
}

static void test_audit(void **state)
{
	static const uint8_t golden[] = { 1, 0, 0, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
		0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0 };
	struct protocol_audit audit = { PROTOCOL_AUDIT_OOM_KILL, { 42, 2, 3, 4, 5 } }, got = {};
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_audit(&w, &audit);
	assert_golden(w, golden);
	assert_true(protocol_get_audit(golden, sizeof(golden), &got));
	assert_int_equal(got.kind, audit.kind);
	assert_memory_equal(got.value, audit.value, sizeof(got.value));
}

static void test_small_host_messages(void **state)
{
	static const uint8_t reboot[] = { 1, 0, 0, 0 }, unknown[] = { 2, 0, 0, 0 };
	static const uint8_t time_golden[] = { 0, 0, 0, 0, 0, 0, 0, 1 };
	enum protocol_shutdown_kind kind = PROTOCOL_SHUTDOWN_POWEROFF;
	struct bytes_writer w = writer();
	uint64_t time_ns = 0;

	(void)state;
	protocol_put_shutdown(&w, PROTOCOL_SHUTDOWN_REBOOT);
	assert_golden(w, reboot);
	assert_true(protocol_get_shutdown(reboot, sizeof(reboot), &kind));
	assert_int_equal(kind, PROTOCOL_SHUTDOWN_REBOOT);
	assert_false(protocol_get_shutdown(unknown, sizeof(unknown), &kind));
	w = writer();
	protocol_put_time_set(&w, 1ull << 56);
	assert_golden(w, time_golden);
	assert_true(protocol_get_time_set(time_golden, sizeof(time_golden), &time_ns));
	assert_true(time_ns == 1ull << 56);
}

static struct protocol_welcome *small_welcome(void)
{
	static struct protocol_welcome m;

	m = (struct protocol_welcome){
		.time_ns = 1,
		.uid = 1000,
		.gid = 1000,
		.flags = PROTOCOL_WELCOME_SUDO,
		.root = PROTOCOL_ROOT_HOST,
		.instance = "i1",
		.hostname = "box",
		.user = "sandbox",
		.folder = "/w",
		.seed = "\1\2",
		.seed_len = 2,
		.mount_count = 1,
		.file_count = 1,
		.env_count = 1,
		.mount = { { PROTOCOL_MOUNT_P9, PROTOCOL_ROLE_PLAIN, PROTOCOL_CACHE_MMAP,
			PROTOCOL_MOUNT_READONLY, 4096, "ws", "/w" } },
		.file = { { "/f", 0644, 0, 0, "hi", 2 } },
		.env = { "A=b" },
	};
	return &m;
}

static const uint8_t welcome_golden[] = {
	1, 0, 0, 0, 0, 0, 0, 0, /* time */
	0xe8, 3, 0, 0, 0xe8, 3, 0, 0, /* uid, gid */
	1, 0, 0, 0, /* flags */
	1, /* root */
	3, 0, 'i', '1', 0, /* instance */
	4, 0, 'b', 'o', 'x', 0, /* hostname */
	8, 0, 's', 'a', 'n', 'd', 'b', 'o', 'x', 0, /* user */
	3, 0, '/', 'w', 0, /* folder */
	2, 0, 1, 2, /* seed */
	1, 0, /* mounts */
	1, 1, 1, 1, 0, 0x10, 0, 0, 3, 0, 'w', 's', 0, 3, 0, '/', 'w', 0, /* mount */
	1, 0, /* files */
	3, 0, '/', 'f', 0, 0xa4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 'h', 'i', /* file */
	1, 0, 4, 0, 'A', '=', 'b', 0, /* env */
};

static void test_welcome(void **state)
{
	static struct protocol_welcome got;
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_welcome(&w, small_welcome());
	assert_golden(w, welcome_golden);
	assert_true(protocol_get_welcome(welcome_golden, sizeof(welcome_golden), &got));
	assert_string_equal(got.mount[0].target, "/w");
	assert_string_equal(got.file[0].path, "/f");
	assert_memory_equal(got.file[0].content, "hi", 2);
	assert_string_equal(got.env[0], "A=b");
	assert_null(got.env[1]);
	assert_int_equal(got.seed_len, 2);
	for (size_t len = 0; len < sizeof(welcome_golden); len++)
		assert_false(protocol_get_welcome(welcome_golden, len, &got));
}

static bool welcome_taken(const struct protocol_welcome *m)
{
	struct bytes_writer w = writer();

	protocol_put_welcome(&w, m);
	return !w.failed;
}

static void test_welcome_limits(void **state)
{
	struct protocol_welcome *m = small_welcome();

	(void)state;
	assert_true(welcome_taken(m));
	m->uid = 0;
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->hostname = "a:b";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->flags = PROTOCOL_WELCOME_EGRESS;
	assert_true(welcome_taken(m));
	m->flags = PROTOCOL_WELCOME_EGRESS << 1; /* nobody's yet */
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->user = "";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->mount[0].target = "/w/../etc";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->mount[0].tag = "a,trans=fd";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->mount[0].role = PROTOCOL_ROLE_USR; /* which has no target of its own */
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->file[0].path = "f";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->env[0] = "=b";
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->mount_count = PROTOCOL_MOUNTS_MAX + 1;
	assert_false(welcome_taken(m));
	m = small_welcome();
	m->seed_len = PROTOCOL_SEED_MAX + 1;
	assert_false(welcome_taken(m));
}

static const uint8_t exec_golden[] = {
	1, 0, 0, 0, /* flags: tty */
	24, 0, 80, 0, /* rows, cols */
	5, 0, 'r', 'o', 'o', 't', 0, /* user */
	2, 0, '/', 0, /* folder */
	2, 0, 3, 0, 'l', 's', 0, 1, 0, 0, /* argv: "ls", "" */
	1, 0, 3, 0, 'A', '=', 0, /* env: "A=" */
};

static void test_exec(void **state)
{
	static struct protocol_exec exec, got;
	struct bytes_writer w = writer();

	(void)state;
	exec = (struct protocol_exec){
		.flags = PROTOCOL_EXEC_TTY,
		.rows = 24,
		.cols = 80,
		.user = "root",
		.folder = "/",
		.argc = 2,
		.env_count = 1,
		.argv = { "ls", "" },
		.env = { "A=" },
	};
	protocol_put_exec(&w, &exec);
	assert_golden(w, exec_golden);
	assert_true(protocol_get_exec(exec_golden, sizeof(exec_golden), &got));
	assert_int_equal(got.argc, 2);
	assert_string_equal(got.argv[0], "ls");
	assert_string_equal(got.argv[1], "");
	assert_null(got.argv[2]);
	assert_string_equal(got.user, "root");
	for (size_t len = 0; len < sizeof(exec_golden); len++)
		assert_false(protocol_get_exec(exec_golden, len, &got));
}

static bool exec_taken(const struct protocol_exec *m)
{
	struct bytes_writer w = writer();

	protocol_put_exec(&w, m);
	return !w.failed;
}

static void test_exec_limits(void **state)
{
	static struct protocol_exec m;
	static char word[PROTOCOL_WORD_MAX + 2];

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	m = (struct protocol_exec){ .user = "", .folder = "" };
	assert_false(exec_taken(&m)); /* no argv, no SHELL */
	m.flags = PROTOCOL_EXEC_SHELL;
	assert_true(exec_taken(&m));
	m.flags = 1u << 31;
	assert_false(exec_taken(&m));
	m = (struct protocol_exec){ .user = "", .folder = "", .argc = 1, .argv = { word } };
	assert_false(exec_taken(&m));
	word[PROTOCOL_WORD_MAX] = '\0';
	assert_true(exec_taken(&m));
	m.folder = "here";
	assert_false(exec_taken(&m));
	m.folder = "";
	m.user = "a:b";
	assert_false(exec_taken(&m));
	m.user = "";
	m.argc = 7; /* 7 words of 32 KiB pass the request's own limit */
	for (int i = 0; i < 7; i++)
		m.argv[i] = word;
	assert_false(exec_taken(&m));
}

static void test_copy_forward(void **state)
{
	static const uint8_t copy_golden[] = { 1, 0, 0, 0, 3, 0, '/', 'a', 0, 1, 0, 0 };
	static const uint8_t forward_golden[] = { 0x90, 0x1f }, forward_zero[] = { 0, 0 };
	struct protocol_copy copy = { PROTOCOL_COPY_FOLDER, "/a", "" }, copy_got;
	struct protocol_forward forward = { 8080 }, forward_got;
	struct bytes_writer w = writer();

	(void)state;
	protocol_put_copy(&w, &copy);
	assert_golden(w, copy_golden);
	assert_true(protocol_get_copy(copy_golden, sizeof(copy_golden), &copy_got));
	assert_string_equal(copy_got.path, "/a");
	w = writer();
	protocol_put_forward(&w, &forward);
	assert_golden(w, forward_golden);
	assert_true(protocol_get_forward(forward_golden, sizeof(forward_golden), &forward_got));
	assert_int_equal(forward_got.port, 8080);
	assert_false(protocol_get_forward(forward_zero, sizeof(forward_zero), &forward_got));
}

/* NUL inside, NUL missing, length 0: no text has two forms. */
static void test_text_forms(void **state)
{
	static const uint8_t inside[] = { 1, 0, 0, 0, 0, 0, 1, 0, 3, 0, 'd', 0, 0 };
	static const uint8_t missing[] = { 1, 0, 0, 0, 0, 0, 1, 0, 3, 0, 'd', 'e', 'v' };
	static const uint8_t none[] = { 1, 0, 0, 0, 0, 0, 1, 0, 0, 0 };
	struct protocol_hello got;

	(void)state;
	assert_false(protocol_get_hello(inside, sizeof(inside), &got));
	assert_false(protocol_get_hello(missing, sizeof(missing), &got));
	assert_false(protocol_get_hello(none, sizeof(none), &got));
}

static void test_paths(void **state)
{
	static const char *const good[] = { "/a", "/a/b.c", "/...", "/a/..b" };
	static const char *const bad[] = { "", "/", "a", "/a/", "//a", "/a//b", "/.", "/a/.",
		"/a/..", "/../a" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(protocol_path_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(protocol_path_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_ready_refused),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_small_host_messages),
		cmocka_unit_test(test_welcome),
		cmocka_unit_test(test_welcome_limits),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_exec_limits),
		cmocka_unit_test(test_copy_forward),
		cmocka_unit_test(test_text_forms),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
