/* SPDX-License-Identifier: Apache-2.0 */
/* The way through the host's own proxy: what is asked, which answers open it, and that nothing behind the answer is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vsock-proxy/via.h"

static struct via via;

static int ends[2];

static void begin(const char *host)
{
	struct policy_host parsed;

	assert_true(policy_host_parse(host, strlen(host), &parsed));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	via_begin(&via, &parsed, 443);
	assert_int_equal(via_events(&via), EPOLLOUT);
	assert_int_equal(via_step(&via, ends[0]), 0);
	assert_int_equal(via_events(&via), EPOLLIN);
}

static void finish(void)
{
	close(ends[0]);
	close(ends[1]);
}

static void expect_asked(const char *text)
{
	char asked[1024];
	ssize_t n = read(ends[1], asked, sizeof(asked) - 1);

	asked[n > 0 ? n : 0] = '\0';
	assert_string_equal(asked, text);
}

static int answer(const char *text)
{
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	return via_step(&via, ends[0]);
}

static void test_asks(void **state)
{
	(void)state;
	begin("api.test");
	expect_asked("CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n");
	finish();
	begin("2001:db8::1");
	expect_asked("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
	finish();
}

static void test_answers(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{ "HTTP/1.1 200 Connection established\r\n\r\n", 1 },
		{ "HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n", 1 },
		{ "HTTP/1.1 204 \r\n\r\n", 1 },
		{ "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", -EPERM },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nbody", -EPERM },
		{ "HTTP/2 200\r\n\r\n", -EPROTO },
		{ "SSH-2.0-x\r\n\r\n", -EPROTO },
		{ "HTTP/1.1 200", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin("api.test");
		assert_int_equal(answer(cases[i].text), cases[i].code);
		finish();
	}
}

/* In whatever pieces it comes: what the other end says first stays in the socket. */
static void test_pieces(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nSSH-2.0-server";
	char rest[64];

	(void)state;
	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		int r = 0;
		ssize_t n;

		begin("api.test");
		assert_int_equal(write(ends[1], text, cut), cut);
		r = via_step(&via, ends[0]);
		assert_int_equal(
			write(ends[1], text + cut, sizeof(text) - 1 - cut), sizeof(text) - 1 - cut);
		if (r == 0)
			r = via_step(&via, ends[0]);
		assert_int_equal(r, 1);
		n = read(ends[0], rest, sizeof(rest));
		assert_int_equal(n, strlen("SSH-2.0-server"));
		assert_memory_equal(rest, "SSH-2.0-server", (size_t)n);
		finish();
	}
}

static void test_ends(void **state)
{
	char *much = calloc(1, VIA_HEAD_MAX);

	(void)state;
	begin("api.test");
	close(ends[1]);
	assert_true(via_step(&via, ends[0]) < 0);
	close(ends[0]);
	begin("api.test");
	memset(much, 'a', VIA_HEAD_MAX - 1);
	assert_int_equal(answer(much), 0);
	assert_int_equal(answer("a"), -EPROTO);
	finish();
	free(much);
}

static void test_parse(void **state)
{
	struct via_target target;

	(void)state;
	assert_true(via_parse("proxy.test:3128", &target));
	assert_int_equal(target.port, 3128);
	assert_string_equal(target.host.text, "proxy.test");
	assert_true(via_parse("[::1]:8080", &target));
	assert_int_equal(target.host.kind, POLICY_HOST_IPV6);
	assert_true(via_parse("127.0.0.1:1", &target));
	assert_false(via_parse("proxy.test", &target));
	assert_false(via_parse(":1", &target));
	assert_false(via_parse("proxy.test:0", &target));
	assert_false(via_parse("http://proxy.test:1", &target));
	assert_false(via_parse("", &target));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
