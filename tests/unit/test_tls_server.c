/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards the guest, against a client of OpenSSL's: what is agreed on, and what is refused (E4, E16). */
#include <errno.h>
#include <fcntl.h>
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
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "vmm/base/array.h"
#include "vsock-proxy/ca.h"
#include "vsock-proxy/tls_server.h"

#define ROUNDS_MAX 64

struct fixture {
	struct ca *ca;
	struct tls_server *server;
	SSL_CTX *client_context;
	int fds[2]; /* ours, the client's */
	struct tls_session *session;
	SSL *client;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char pem[CA_PEM_MAX];
	BIO *bio;
	X509 *root;

	assert_int_equal(ca_create("one", time(NULL), &f->ca, NULL), 0);
	assert_int_equal(tls_server_create(f->ca, &f->server, NULL), 0);
	assert_int_equal(ca_certificate(f->ca, pem, NULL), 0);
	bio = BIO_new_mem_buf(pem, -1);
	root = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	f->client_context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(f->client_context, SSL_VERIFY_PEER, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(f->client_context), root);
	X509_free(root);
	BIO_free(bio);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f->fds), 0);
	f->client = SSL_new(f->client_context);
	SSL_set_fd(f->client, f->fds[1]);
	SSL_set_connect_state(f->client);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tls_session_destroy(f->session);
	SSL_free(f->client);
	SSL_CTX_free(f->client_context);
	tls_server_destroy(f->server);
	ca_destroy(f->ca);
	close(f->fds[0]);
	if (f->fds[1] >= 0)
		close(f->fds[1]);
	free(f);
	return 0;
}

static struct policy_host host_of(const char *text)
{
	struct policy_host host;

	assert_true(policy_host_parse(text, strlen(text), &host));
	return host;
}

/* stated: what the agent said; sni: what the client says, NULL for nothing. 0, or the server's error. */
static int shake(struct fixture *f, const char *stated, const char *sni, bool offers_h2)
{
	struct policy_host host = host_of(stated);
	int r = TLS_WANT_READ;

	assert_int_equal(tls_server_accept(f->server, f->fds[0], &host, offers_h2, time(NULL),
				 &f->session, NULL),
		0);
	if (sni)
		SSL_set_tlsext_host_name(f->client, sni);
	SSL_set1_host(f->client, stated);
	for (int i = 0; i < ROUNDS_MAX && (r == TLS_WANT_READ || r == TLS_WANT_WRITE); i++) {
		SSL_do_handshake(f->client);
		r = tls_session_handshake(f->session, NULL);
	}
	if (r == 0)
		assert_int_equal(SSL_do_handshake(f->client), 1);
	return r;
}

static void test_bytes_both_ways(void **state)
{
	static const unsigned char offered[] = "\x02h2\x08http/1.1";
	struct fixture *f = *state;
	char data[100];

	SSL_set_alpn_protos(f->client, offered, sizeof(offered) - 1);
	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), 0);
	assert_int_equal(tls_session_protocol(f->session), TLS_PROTOCOL_HTTP2);
	assert_int_equal(SSL_version(f->client), TLS1_3_VERSION);
	assert_int_equal(tls_session_read(f->session, data, sizeof(data)), TLS_WANT_READ);
	assert_int_equal(SSL_write(f->client, "question", 8), 8);
	assert_int_equal(tls_session_read(f->session, data, 5), 5);
	assert_true(tls_session_pending(f->session));
	assert_int_equal(tls_session_read(f->session, data + 5, 95), 3);
	assert_memory_equal(data, "question", 8);
	assert_int_equal(tls_session_write(f->session, "answer", 6), 6);
	assert_int_equal(SSL_read(f->client, data, sizeof(data)), 6);
	assert_memory_equal(data, "answer", 6);
	SSL_shutdown(f->client);
	assert_int_equal(tls_session_read(f->session, data, sizeof(data)), 0);
	assert_int_equal(tls_session_close(f->session), 0);
}

static void test_protocols(void **state)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	struct fixture *f = *state;

	SSL_set_alpn_protos(f->client, both, sizeof(both) - 1);
	assert_int_equal(shake(f, "api.example.com", "api.example.com", false), 0);
	assert_int_equal(tls_session_protocol(f->session), TLS_PROTOCOL_HTTP1);
}

static void test_no_protocol_stated_is_http1(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), 0);
	assert_int_equal(tls_session_protocol(f->session), TLS_PROTOCOL_HTTP1);
}

static void test_no_common_protocol_is_refused(void **state)
{
	static const unsigned char other[] = "\x06spdy/3";
	struct fixture *f = *state;

	SSL_set_alpn_protos(f->client, other, sizeof(other) - 1);
	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), -EPROTO);
}

static void test_a_name_in_another_case_is_the_same(void **state)
{
	assert_int_equal(shake(*state, "api.example.com", "API.Example.com", true), 0);
}

/* E4 */
static void test_another_name_is_refused(void **state)
{
	assert_int_equal(shake(*state, "api.example.com", "www.example.com", true), -EPROTO);
}

static void test_no_name_is_refused(void **state)
{
	assert_int_equal(shake(*state, "api.example.com", NULL, true), -EPROTO);
}

static void test_an_address_has_no_name(void **state)
{
	struct fixture *f = *state;
	struct policy_host host = host_of("192.0.2.1");
	int r = TLS_WANT_READ;

	assert_int_equal(
		tls_server_accept(f->server, f->fds[0], &host, true, time(NULL), &f->session, NULL),
		0);
	X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(f->client), "192.0.2.1");
	for (int i = 0; i < ROUNDS_MAX && r == TLS_WANT_READ; i++) {
		SSL_do_handshake(f->client);
		r = tls_session_handshake(f->session, NULL);
	}
	assert_int_equal(r, 0);
	assert_int_equal(SSL_do_handshake(f->client), 1);
}

static void test_old_versions_are_refused(void **state)
{
	struct fixture *f = *state;

	SSL_set_security_level(f->client, 0);
	SSL_set_min_proto_version(f->client, TLS1_VERSION);
	SSL_set_max_proto_version(f->client, TLS1_1_VERSION);
	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), -EPROTO);
}

static void test_garbage_is_refused(void **state)
{
	struct fixture *f = *state;
	struct policy_host host = host_of("api.example.com");
	struct err err = {};

	assert_int_equal(
		tls_server_accept(f->server, f->fds[0], &host, true, time(NULL), &f->session, NULL),
		0);
	assert_int_equal(write(f->fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	assert_int_equal(tls_session_handshake(f->session, &err), -EPROTO);
	assert_non_null(strstr(err.text, "api.example.com"));
}

static void test_a_guest_that_left(void **state)
{
	struct fixture *f = *state;
	char data[10];

	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), 0);
	close(f->fds[1]);
	f->fds[1] = -1;
	assert_int_equal(tls_session_read(f->session, data, sizeof(data)), -EPIPE);
}

/* A guest that reads nothing costs what its socket holds; what was not taken is written again. */
static void test_back_pressure(void **state)
{
	struct fixture *f = *state;
	static char sent[4 << 20], got[4 << 20];
	size_t written = 0, read = 0;
	ssize_t n = 0;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7 + i / 251);
	assert_int_equal(shake(f, "api.example.com", "api.example.com", true), 0);
	while ((n = tls_session_write(f->session, sent + written, sizeof(sent) - written)) > 0)
		written += (size_t)n;
	assert_int_equal(n, TLS_WANT_WRITE);
	assert_in_range(written, 1, sizeof(sent) - 1);
	while (read < sizeof(got)) {
		int took = SSL_read(f->client, got + read, (int)(sizeof(got) - read));

		if (took > 0)
			read += (size_t)took;
		n = written < sizeof(sent)
			    ? tls_session_write(f->session, sent + written, sizeof(sent) - written)
			    : 0;
		if (n > 0)
			written += (size_t)n;
		assert_true(took > 0 || n > 0 || read == sizeof(got));
	}
	assert_memory_equal(sent, got, sizeof(sent));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_both_ways),
		TEST(test_protocols),
		TEST(test_no_protocol_stated_is_http1),
		TEST(test_no_common_protocol_is_refused),
		TEST(test_a_name_in_another_case_is_the_same),
		TEST(test_another_name_is_refused),
		TEST(test_no_name_is_refused),
		TEST(test_an_address_has_no_name),
		TEST(test_old_versions_are_refused),
		TEST(test_garbage_is_refused),
		TEST(test_a_guest_that_left),
		TEST(test_back_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
