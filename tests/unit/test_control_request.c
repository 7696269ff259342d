/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/base/array.h"
#include "vmm/base/fdio.h"
#include "vmm/supervisor/control.h"

static int parse(const char *text, struct control_request *ret)
{
	return control_request_parse(text, strlen(text), ret, NULL);
}

static void test_requests(void **state)
{
	struct control_request r;

	(void)state;
	assert_int_equal(parse("{\"op\": \"status\"}", &r), 0);
	assert_int_equal(r.op, CONTROL_STATUS);
	control_request_finish(&r);
	assert_int_equal(
		parse("{\"op\": \"exec\", \"argv\": [\"ls\", \"-l\"], \"env\": [\"A=b\"], \"tty\": true, "
		      "\"rows\": 24, \"cols\": 80, \"user\": \"root\", \"cwd\": \"/\"}",
			&r),
		0);
	assert_string_equal(r.argv[1], "-l");
	assert_string_equal(r.environment[0], "A=b");
	assert_true(r.tty);
	assert_int_equal(r.cols, 80);
	control_request_finish(&r);
	assert_int_equal(parse("{\"op\": \"stop\", \"grace_ms\": 5, \"reason\": \"why\"}", &r), 0);
	assert_int_equal(r.grace_ms, 5);
	control_request_finish(&r);
}

static void test_what_does_not_belong_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"null",
		"{}",
		"{\"op\": 1}",
		"{\"op\": \"destroy\"}",
		"{\"op\": \"status\", \"x\": 1}",
		"{\"op\": \"exec\"}",
		"{\"op\": \"exec\", \"argv\": []}",
		"{\"op\": \"exec\", \"argv\": [\"a\\u0000b\"]}",
		"{\"op\": \"exec\", \"argv\": [\"a\"], \"rows\": 70000}",
		"{\"op\": \"forward\"}",
		"{\"op\": \"forward\", \"port\": 0}",
		"{\"op\": \"copy_out\"}",
		"{\"op\": \"stop\", \"reason\": \"\\u001b[2J\"}",
		"{\"op\": \"wait\", \"grace_ms\": 1}",
	};
	struct control_request r = { .port = 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &r), -EINVAL);
	assert_int_equal(r.port, 77);
}

static void test_an_error_crosses_whole(void **state)
{
	struct err err = {}, back = {};
	json_t *json;

	(void)state;
	err_set(&err, -EADDRINUSE, "port 80: pid 1 (init) has it");
	err_next_step(&err, "take another");
	json = control_error_json(&err, "ports");
	assert_string_equal(json_string_value(json_object_get(json, "error")), "in-use");
	assert_int_equal(control_error_from_json(json, &back), -EADDRINUSE);
	assert_string_equal(back.text, err.text);
	assert_string_equal(back.next_step, err.next_step);
	json_decref(json);
}

static void test_a_call_takes_answer_and_fd(void **state)
{
	json_t *request = json_pack("{s:s}", "op", "status"), *data = NULL;
	uint8_t head[4] = { 27, 0, 0, 0 };
	int pair[2], passed = -1;
	struct err err = {};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fdio_send_fds(pair[1], head, sizeof(head), (int[]){ STDIN_FILENO }, 1), 4);
	assert_int_equal(fdio_write_full(pair[1], "{\"ok\":true,\"data\":{\"a\":1}} ", 27), 0);
	assert_int_equal(control_call(pair[0], request, 1000, &data, &passed, &err), 0);
	assert_true(passed >= 0);
	assert_int_equal(json_integer_value(json_object_get(data, "a")), 1);
	json_decref(data);
	close(passed);
	assert_int_equal(control_call(pair[0], request, 20, &data, &passed, &err), -ETIME);
	close(pair[1]);
	assert_int_equal(control_call(pair[0], request, 1000, &data, &passed, &err), -EPIPE);
	close(pair[0]);
	json_decref(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_what_does_not_belong_is_refused),
		cmocka_unit_test(test_an_error_crosses_whole),
		cmocka_unit_test(test_a_call_takes_answer_and_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
