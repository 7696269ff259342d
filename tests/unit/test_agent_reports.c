/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/egress/reports.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct reports *reports;
static int host = -1, opened, told;
static char last[EGRESS_TEXT_MAX + 1];

static int connect_pair(void *data)
{
	int pair[2];

	(void)data;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	host = pair[1];
	opened++;
	return pair[0];
}

static void denied(void *data, const struct egress_answer *answer)
{
	(void)data;
	told++;
	strcpy(last, answer->reason);
}

static const struct reports_ops ops = { connect_pair, denied };

static void rounds(void)
{
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, 5);
}

static int begin(void **state)
{
	(void)state;
	opened = told = 0;
	if (loop_create(&loop) < 0 || reports_create(loop, &ops, NULL, &reports) < 0)
		return -1;
	rounds();
	return opened == 1 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	reports_destroy(reports);
	loop_destroy(loop);
	close(host);
	return 0;
}

static void say(enum egress_verdict verdict, const char *reason)
{
	struct egress_answer answer = { .verdict = (uint8_t)verdict };
	uint8_t wire[EGRESS_ANSWER_MAX];
	size_t len;

	strcpy(answer.reason, reason);
	len = egress_answer_encode(&answer, wire);
	assert_int_not_equal(len, 0);
	for (size_t i = 0; i < len; i++) { /* in the smallest pieces */
		assert_int_equal(write(host, wire + i, 1), 1);
		loop_run_once(loop, 5);
	}
}

static void hears_what_was_denied(void **state)
{
	struct egress_request request;
	uint8_t wire[EGRESS_REQUEST_MAX];
	ssize_t n = read(host, wire, sizeof(wire));

	(void)state;
	assert_int_equal(egress_request_decode(wire, (size_t)n, &request), n);
	assert_int_equal(request.kind, EGRESS_REPORTS);
	say(EGRESS_ACCEPTED, "");
	say(EGRESS_DENIED, "GET https://x.test/: no rule");
	say(EGRESS_LIMITED, "two");
	assert_int_equal(told, 2);
	assert_string_equal(last, "two");
	assert_int_equal(opened, 1);
}

static void begins_anew_where_the_host_ends_it(void **state)
{
	(void)state;
	say(EGRESS_ACCEPTED, "");
	close(host);
	for (int i = 0; i < 100 && opened == 1; i++)
		loop_run_once(loop, REPORTS_AGAIN_MS);
	assert_int_equal(opened, 2);
	rounds();
	say(EGRESS_ACCEPTED, "");
	say(EGRESS_DENIED, "again");
	assert_string_equal(last, "again");
}

static void takes_nothing_before_it_was_accepted(void **state)
{
	char byte;

	(void)state;
	say(EGRESS_DENIED, "no");
	rounds();
	assert_int_equal(told, 0);
	while (read(host, &byte, 1) == 1)
		;
	assert_int_equal(read(host, &byte, 1), 0); /* it hung up */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hears_what_was_denied, begin, end),
		cmocka_unit_test_setup_teardown(begins_anew_where_the_host_ends_it, begin, end),
		cmocka_unit_test_setup_teardown(takes_nothing_before_it_was_accepted, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
