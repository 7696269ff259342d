/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards an upstream: no answer is read from one whose certificate, name or time does not verify. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "vsock-proxy/ca.h"
#include "vsock-proxy/tls_client.h"
#include "vsock-proxy/tls_server.h"

#define ROUNDS_MAX 64

struct fixture {
	struct ca *ca;
	struct tls_server *server;
	struct tls_client *client;
	char trust_file[64];
	int fds[2]; /* the client's, the upstream's */
	struct tls_session *ours, *theirs;
};

static void write_trust(struct fixture *f, const struct ca *ca)
{
	char pem[CA_PEM_MAX];
	int fd;

	strcpy(f->trust_file, "/tmp/test_tls_client.XXXXXX");
	fd = mkstemp(f->trust_file);
	assert_true(fd >= 0);
	assert_int_equal(ca_certificate(ca, pem, NULL), 0);
	assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(ca_create("upstream", time(NULL), &f->ca, NULL), 0);
	assert_int_equal(tls_server_create(f->ca, &f->server, NULL), 0);
	write_trust(f, f->ca);
	assert_int_equal(tls_client_create(f->trust_file, &f->client, NULL), 0);
	*state = f;
	return 0;
}

static void hang_up(struct fixture *f)
{
	if (!f->ours)
		return;
	tls_session_destroy(f->ours);
	tls_session_destroy(f->theirs);
	f->ours = f->theirs = NULL;
	close(f->fds[0]);
	close(f->fds[1]);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hang_up(f);
	unlink(f->trust_file);
	tls_client_destroy(f->client);
	tls_server_destroy(f->server);
	ca_destroy(f->ca);
	free(f);
	return 0;
}

static struct policy_host host_of(const char *text)
{
	struct policy_host host;

	assert_true(policy_host_parse(text, strlen(text), &host));
	return host;
}

/* wanted: whom we dial; is: whose certificate is shown; issued: when that was made. What our handshake came to. */
static int shake(
	struct fixture *f, const char *wanted, const char *is, time_t issued, struct err *err)
{
	struct policy_host host = host_of(wanted), shown = host_of(is);
	int r = TLS_WANT_READ;

	hang_up(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0);
	assert_int_equal(
		tls_client_connect(f->client, f->fds[0], &host, 443, true, &f->ours, NULL), 0);
	assert_int_equal(
		tls_server_accept(f->server, f->fds[1], &shown, true, issued, &f->theirs, NULL), 0);
	/* The upstream serves whatever name it is asked for: only its certificate tells. */
	f->theirs->host = host;
	for (int i = 0; i < ROUNDS_MAX && (r == TLS_WANT_READ || r == TLS_WANT_WRITE); i++) {
		r = tls_session_handshake(f->ours, err);
		tls_session_handshake(f->theirs, NULL);
	}
	return r;
}

static void test_an_upstream_that_verifies(void **state)
{
	struct fixture *f = *state;
	char data[16];

	assert_int_equal(shake(f, "api.example.com", "api.example.com", time(NULL), NULL), 0);
	assert_int_equal(tls_session_protocol(f->ours), TLS_PROTOCOL_HTTP2);
	assert_int_equal(tls_session_write(f->ours, "question", 8), 8);
	assert_int_equal(tls_session_read(f->theirs, data, sizeof(data)), 8);
	assert_int_equal(shake(f, "192.0.2.1", "192.0.2.1", time(NULL), NULL), 0);
	assert_int_equal(shake(f, "2001:db8::1", "2001:db8::1", time(NULL), NULL), 0);
}

static void test_another_name(void **state)
{
	struct err err = {};

	assert_int_equal(shake(*state, "api.example.com", "www.example.com", time(NULL), &err),
		-EKEYREJECTED);
	assert_non_null(strstr(err.text, "api.example.com"));
	assert_non_null(strstr(err.text, "mismatch"));
	assert_int_equal(shake(*state, "192.0.2.1", "192.0.2.2", time(NULL), NULL), -EKEYREJECTED);
	assert_int_equal(
		shake(*state, "192.0.2.1", "api.example.com", time(NULL), NULL), -EKEYREJECTED);
}

static void test_another_time(void **state)
{
	struct err err = {};

	assert_int_equal(
		shake(*state, "api.example.com", "api.example.com", time(NULL) - 30 * 86400, &err),
		-EKEYREJECTED);
	assert_non_null(strstr(err.text, "expired"));
	assert_int_equal(
		shake(*state, "www.example.com", "www.example.com", time(NULL) + 30 * 86400, NULL),
		-EKEYREJECTED);
}

static void test_an_issuer_that_nobody_trusts(void **state)
{
	struct fixture *f = *state;
	struct ca *other = NULL;

	assert_int_equal(ca_create("upstream", time(NULL), &other, NULL), 0);
	tls_client_destroy(f->client);
	unlink(f->trust_file);
	write_trust(f, other);
	assert_int_equal(tls_client_create(f->trust_file, &f->client, NULL), 0);
	assert_int_equal(
		shake(f, "api.example.com", "api.example.com", time(NULL), NULL), -EKEYREJECTED);
	ca_destroy(other);
}

static void test_the_systems_store_does_not_know_it(void **state)
{
	struct fixture *f = *state;

	tls_client_destroy(f->client);
	assert_int_equal(tls_client_create(NULL, &f->client, NULL), 0);
	assert_int_equal(
		shake(f, "api.example.com", "api.example.com", time(NULL), NULL), -EKEYREJECTED);
}

static void test_no_trust_file(void **state)
{
	struct tls_client *client = NULL;
	struct err err = {};

	(void)state;
	assert_int_equal(tls_client_create("/nowhere/at/all", &client, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/at/all"));
	assert_null(client);
}

static void test_sessions_are_resumed_for_the_same_host(void **state)
{
	struct fixture *f = *state;
	char data[16];

	assert_int_equal(shake(f, "api.example.com", "api.example.com", time(NULL), NULL), 0);
	assert_int_equal(tls_session_read(f->ours, data, sizeof(data)),
		TLS_WANT_READ); /* the tickets come */
	assert_false(SSL_session_reused(f->ours->ssl));
	assert_int_equal(shake(f, "www.example.com", "www.example.com", time(NULL), NULL), 0);
	assert_false(SSL_session_reused(f->ours->ssl));
	assert_int_equal(shake(f, "api.example.com", "api.example.com", time(NULL), NULL), 0);
	assert_true(SSL_session_reused(f->ours->ssl));
}

static void test_no_tls_at_all(void **state)
{
	struct fixture *f = *state;
	struct policy_host host = host_of("api.example.com");
	struct err err = {};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0);
	assert_int_equal(
		tls_client_connect(f->client, f->fds[0], &host, 443, true, &f->ours, NULL), 0);
	assert_int_equal(tls_session_handshake(f->ours, NULL), TLS_WANT_READ);
	assert_int_equal(write(f->fds[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
	assert_int_equal(tls_session_handshake(f->ours, &err), -EPROTO);
	assert_true(err.text[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_upstream_that_verifies),
		TEST(test_another_name),
		TEST(test_another_time),
		TEST(test_an_issuer_that_nobody_trusts),
		TEST(test_the_systems_store_does_not_know_it),
		TEST(test_no_trust_file),
		TEST(test_sessions_are_resumed_for_the_same_host),
		TEST(test_no_tls_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
