/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses, against a name server of the test's own on loopback. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/name_server.h"
#include "vmm/base/array.h"
#include "vsock-proxy/resolver.h"

struct fixture {
	struct loop *loop;
	struct name_server server;
	struct resolver *resolver;
	/* what was told */
	unsigned int told;
	struct resolver_answer answer;
};

static const struct name_record records[] = {
	{ "one.example", NAME_SERVER_A, "192.0.2.1", 60 },
	{ "one.example", NAME_SERVER_AAAA, "2001:db8::1", 60 },
	{ "brief.example", NAME_SERVER_A, "192.0.2.2", 0 },
	{ "mapped.example", NAME_SERVER_AAAA, "::ffff:127.0.0.1", 60 },
	{ "many.example", NAME_SERVER_A, NULL, 60 },
	{ NULL, 0, NULL, 0 },
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_create(&f->loop), 0);
	name_server_init(&f->server, f->loop, records);
	assert_int_equal(resolver_create(f->loop, f->server.servers, &f->resolver, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_destroy(f->resolver);
	name_server_finish(&f->server);
	loop_destroy(f->loop);
	free(f);
	return 0;
}

static void on_answer(void *data, const struct resolver_answer *answer)
{
	struct fixture *f = data;

	f->told++;
	f->answer = *answer;
}

static int ask(struct fixture *f, const char *text, struct resolver_query **ret)
{
	const struct resolver_answer *known = NULL;
	struct policy_host host;
	int r;

	assert_true(policy_host_parse(text, strlen(text), &host));
	r = resolver_resolve(f->resolver, &host, on_answer, f, &known, ret);
	if (r == 1)
		f->answer = *known;
	return r;
}

/* Asks and waits. */
static int resolve(struct fixture *f, const char *text)
{
	struct resolver_query *query;
	unsigned int told = f->told;
	int r = ask(f, text, &query);

	assert_in_range(r, 0, 1);
	for (int i = 0; r == 0 && f->told == told && i < 3000; i++)
		loop_run_once(f->loop, 10);
	assert_true(r == 1 || f->told == told + 1);
	return f->answer.code;
}

static bool has(const struct fixture *f, const char *text)
{
	for (size_t i = 0; i < f->answer.count; i++)
		if (strcmp(f->answer.addresses[i].text, text) == 0)
			return true;
	return false;
}

static void test_both_families(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resolve(f, "One.Example."), 0);
	assert_int_equal(f->answer.count, 2);
	assert_true(has(f, "192.0.2.1") && has(f, "2001:db8::1"));
	assert_string_equal(f->server.last_name, "one.example");
}

static void test_known_as_long_as_its_ttl(void **state)
{
	struct fixture *f = *state;
	unsigned int questions;

	assert_int_equal(resolve(f, "one.example"), 0);
	questions = f->server.questions;
	assert_int_equal(resolve(f, "one.example"), 0);
	assert_int_equal(f->server.questions, questions);
	assert_int_equal(f->answer.count, 2);
	assert_int_equal(resolve(f, "brief.example"), 0);
	questions = f->server.questions;
	assert_int_equal(resolve(f, "brief.example"), 0);
	assert_true(f->server.questions > questions);
}

static void test_no_such_name(void **state)
{
	struct fixture *f = *state;
	unsigned int questions;

	assert_int_equal(resolve(f, "nowhere.example"), -ENOENT);
	assert_int_equal(f->answer.count, 0);
	questions = f->server.questions;
	assert_int_equal(resolve(f, "nowhere.example"), -ENOENT);
	assert_int_equal(f->server.questions, questions);
}

/* A v4-mapped answer is judged as the IPv4 address it is (E6). */
static void test_a_mapped_address(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resolve(f, "mapped.example"), 0);
	assert_int_equal(f->answer.count, 1);
	assert_int_equal(f->answer.addresses[0].kind, POLICY_HOST_IPV4);
	assert_string_equal(f->answer.addresses[0].text, "127.0.0.1");
}

static void test_more_than_are_kept(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resolve(f, "many.example"), 0);
	assert_int_equal(f->answer.count, RESOLVER_ADDRESSES_MAX);
}

static void test_an_address_is_not_asked_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resolve(f, "192.0.2.77"), 0);
	assert_true(has(f, "192.0.2.77"));
	assert_int_equal(resolve(f, "2001:db8::5"), 0);
	assert_true(has(f, "2001:db8::5"));
	assert_int_equal(f->server.questions, 0);
}

/* However many wait, one question a family; one that gave up is not told. */
static void test_many_wait_for_one_answer(void **state)
{
	struct fixture *f = *state;
	struct resolver_query *queries[20];

	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		assert_int_equal(ask(f, "one.example", &queries[i]), 0);
	resolver_cancel(queries[3]);
	resolver_cancel(NULL);
	for (int i = 0; f->told < 19 && i < 3000; i++)
		loop_run_once(f->loop, 10);
	loop_run_once(f->loop, 10);
	assert_int_equal(f->told, 19);
	assert_int_equal(f->server.questions, 2);
}

static void test_waits_are_capped(void **state)
{
	struct fixture *f = *state;
	struct resolver_query *query;
	char name[32];

	f->server.silent = true;
	for (int i = 0; i < RESOLVER_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		assert_int_equal(ask(f, name, &query), 0);
	}
	assert_int_equal(ask(f, "more.example", &query), -EBUSY);
	for (int i = RESOLVER_NAMES_MAX; i < RESOLVER_WAITING_MAX; i++)
		assert_int_equal(ask(f, "n1.example", &query), 0);
	assert_int_equal(ask(f, "n1.example", &query), -EBUSY);
}

static void test_a_silent_server(void **state)
{
	struct fixture *f = *state;

	f->server.silent = true;
	assert_int_equal(resolve(f, "one.example"), -EIO);
	f->server.silent = false;
	assert_int_equal(resolve(f, "one.example"), 0); /* a failure is not remembered */
}

/* No name is this host's because somebody says so: only servers are asked, and this one knows of none. */
static void test_localhost(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resolve(f, "localhost"), -ENOENT);
}

static void test_no_servers(void **state)
{
	struct fixture *f = *state;
	struct resolver *resolver = NULL;
	struct err err = {};

	assert_int_equal(resolver_create(f->loop, "not a server", &resolver, &err), -ENOENT);
	assert_non_null(strstr(err.text, "not a server"));
	assert_null(resolver);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_families),
		TEST(test_known_as_long_as_its_ttl),
		TEST(test_no_such_name),
		TEST(test_a_mapped_address),
		TEST(test_more_than_are_kept),
		TEST(test_an_address_is_not_asked_for),
		TEST(test_many_wait_for_one_answer),
		TEST(test_waits_are_capped),
		TEST(test_a_silent_server),
		TEST(test_localhost),
		TEST(test_no_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
