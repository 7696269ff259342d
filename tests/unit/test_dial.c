/* SPDX-License-Identifier: Apache-2.0 */
/* From a host to a socket: what was judged is what is dialled, at each connect (E5, E6). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/name_server.h"
#include "vmm/base/array.h"
#include "vsock-proxy/dial.h"

#define LISTENERS 3 /* on 127.0.0.1, .2 and .3, one port */

struct fixture {
	struct loop *loop;
	struct name_server server;
	struct resolver *resolver;
	int listeners[LISTENERS];
	uint16_t port;
	const char *forbidden[4]; /* what the judge lets not pass; NULL ends it */
	char judged[8][64];
	unsigned int judged_count;
	unsigned int told;
	int fd;
	char why[128];
};

static struct name_record records[] = {
	{ "one.example", NAME_SERVER_A, "127.0.0.1", 0 },
	{ "two.example", NAME_SERVER_A, "127.0.0.2", 0 },
	{ "both.example", NAME_SERVER_A, "127.0.0.1", 0 },
	{ "both.example", NAME_SERVER_A, "127.0.0.2", 0 },
	{ "six.example", NAME_SERVER_A, "127.0.0.3", 0 },
	{ "six.example", NAME_SERVER_AAAA, "::1", 0 },
	{ "many.example", NAME_SERVER_A, NULL, 0 },
	{ "mapped.example", NAME_SERVER_AAAA, "::ffff:127.0.0.2", 0 },
	{ "rebound.example", NAME_SERVER_A, "127.0.0.1", 0 },
	{ NULL, 0, NULL, 0 },
};

static bool judge(void *data, const struct policy_host *address)
{
	struct fixture *f = data;

	snprintf(f->judged[f->judged_count++ % ARRAY_SIZE(f->judged)], 64, "%.63s", address->text);
	for (size_t i = 0; f->forbidden[i]; i++)
		if (strcmp(f->forbidden[i], address->text) == 0)
			return false;
	return true;
}

static void done(void *data, int fd, const char *why)
{
	struct fixture *f = data;

	f->told++;
	f->fd = fd;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static int listen_on(const char *text, uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	inet_pton(AF_INET, text, &address.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	*port = ntohs(address.sin_port);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_create(&f->loop), 0);
	name_server_init(&f->server, f->loop, records);
	assert_int_equal(resolver_create(f->loop, f->server.servers, &f->resolver, NULL), 0);
	for (int i = 0; i < LISTENERS; i++) {
		char text[16];

		snprintf(text, sizeof(text), "127.0.0.%d", i + 1);
		f->listeners[i] = listen_on(text, &f->port);
	}
	f->fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_destroy(f->resolver);
	name_server_finish(&f->server);
	loop_destroy(f->loop);
	for (int i = 0; i < LISTENERS; i++)
		if (f->listeners[i] >= 0)
			close(f->listeners[i]);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	return 0;
}

static struct dial *start(struct fixture *f, const char *text, uint16_t port)
{
	struct dial_setup dial_setup = { f->loop, f->resolver, judge, done, f };
	struct policy_host host;
	struct dial *dial;

	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->judged_count = 0;
	assert_true(policy_host_parse(text, strlen(text), &host));
	assert_int_equal(dial_start(&dial_setup, &host, port, &dial), 0);
	return dial;
}

/* The fd, or the error. */
static int dial(struct fixture *f, const char *text, uint16_t port)
{
	unsigned int told = f->told;

	start(f, text, port);
	assert_int_equal(f->told, told); /* never from inside */
	for (int i = 0; f->told == told && i < 3000; i++)
		loop_run_once(f->loop, 10);
	assert_int_equal(f->told, told + 1);
	return f->fd;
}

/* Whether a connection has come there, which is taken. */
static bool came(const struct fixture *f, int listener)
{
	int fd = accept(f->listeners[listener], NULL, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void test_a_name_and_an_address(void **state)
{
	struct fixture *f = *state;
	char byte;

	assert_true(dial(f, "two.example", f->port) >= 0);
	assert_true(came(f, 1) && !came(f, 0));
	assert_int_equal(
		recv(f->fd, &byte, 1, 0), 0); /* the listener has closed it: a connected socket */
	assert_true(dial(f, "127.0.0.3", f->port) >= 0);
	assert_true(came(f, 2));
	assert_string_equal(f->judged[0], "127.0.0.3");
}

static void test_what_the_judge_lets_not_pass(void **state)
{
	struct fixture *f = *state;

	f->forbidden[0] = "127.0.0.1";
	assert_true(dial(f, "both.example", f->port) >= 0);
	assert_true(came(f, 1));
	assert_false(came(f, 0));
	assert_int_equal(dial(f, "one.example", f->port), -EACCES);
	assert_int_equal(dial(f, "127.0.0.1", f->port), -EACCES);
	assert_non_null(strstr(f->why, "none of its addresses"));
	assert_false(came(f, 0));
	/* In whatever form it comes. */
	f->forbidden[0] = "127.0.0.2";
	assert_int_equal(dial(f, "mapped.example", f->port), -EACCES);
	assert_int_equal(dial(f, "::ffff:127.0.0.2", f->port), -EACCES);
	assert_false(came(f, 1));
}

/* A name that leads somewhere else the second time is judged anew. */
static void test_a_rebound_name(void **state)
{
	struct fixture *f = *state;

	f->forbidden[0] = "127.0.0.2";
	assert_true(dial(f, "rebound.example", f->port) >= 0);
	assert_true(came(f, 0));
	records[8].address = "127.0.0.2";
	assert_int_equal(dial(f, "rebound.example", f->port), -EACCES);
	records[8].address = "127.0.0.1";
	assert_false(came(f, 1));
}

static void test_the_next_one_when_one_fails(void **state)
{
	struct fixture *f = *state;

	close(f->listeners[0]);
	f->listeners[0] = -1;
	assert_true(dial(f, "both.example", f->port) >= 0);
	assert_true(came(f, 1));
	assert_true(dial(f, "six.example", f->port) >= 0);
	assert_true(came(f, 2));
	assert_string_equal(f->judged[0], "::1");
	assert_int_equal(dial(f, "one.example", f->port), -ECONNREFUSED);
	assert_non_null(strstr(f->why, "refuses"));
}

static void test_no_name_and_no_server(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(dial(f, "nowhere.example", f->port), -ENOENT);
	f->server.silent = true;
	assert_int_equal(dial(f, "one.example", f->port), -EIO);
	assert_int_equal(f->judged_count, 0);
}

static void test_cancelled_at_any_time(void **state)
{
	struct fixture *f = *state;

	dial_cancel(NULL);
	dial_cancel(start(f, "127.0.0.1", f->port));
	dial_cancel(start(f, "one.example", f->port));
	f->forbidden[0] = "127.0.0.1";
	dial_cancel(start(f, "127.0.0.1", f->port));
	for (int turns = 0; turns < 4; turns++) {
		struct dial *d = start(f, "both.example", f->port);

		for (int i = 0; i < turns && !f->told; i++)
			loop_run_once(f->loop, 0);
		if (!f->told)
			dial_cancel(d);
	}
	for (int i = 0; i < 20; i++)
		loop_run_once(f->loop, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_name_and_an_address),
		TEST(test_what_the_judge_lets_not_pass),
		TEST(test_a_rebound_name),
		TEST(test_the_next_one_when_one_fails),
		TEST(test_no_name_and_no_server),
		TEST(test_cancelled_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
