/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tls_session.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "vmm/base/array.h"

/* A record's worth at a time (RFC 8446, section 5.1). */
#define RECORD_MAX 16384

static const unsigned char protocols_h2[] = "\x02h2\x08http/1.1";
static const unsigned char protocols_http1[] = "\x08http/1.1";

struct tls_protocols tls_session_protocols(const struct tls_session *session)
{
	if (session->offers_h2)
		return (struct tls_protocols){ protocols_h2, sizeof(protocols_h2) - 1 };
	return (struct tls_protocols){ protocols_http1, sizeof(protocols_http1) - 1 };
}

int tls_session_create(struct ssl_ctx_st *context, int fd, const struct policy_host *host,
	bool offers_h2, const char *peer, struct tls_session **ret, struct err *err)
{
	_cleanup_tls_session_ struct tls_session *session = calloc(1, sizeof(*session));

	if (!session || !(session->ssl = SSL_new(context)))
		return err_set(err, -ENOMEM, "TLS with %s: no memory", peer);
	session->host = *host;
	session->offers_h2 = offers_h2;
	session->peer = peer;
	SSL_set_app_data(session->ssl, session);
	if (SSL_set_fd(session->ssl, fd) != 1)
		return err_set(err, -EIO, "TLS with %s: OpenSSL takes no socket", peer);
	*ret = TAKE_PTR(session);
	return 0;
}

void tls_session_destroy(struct tls_session *session)
{
	if (!session)
		return;
	/* Else OpenSSL takes the ticket of a connection that was not closed in words for spoilt, though nothing failed. */
	if (session->ssl && SSL_is_init_finished(session->ssl))
		SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(session->ssl);
	free(session);
}

/* What a call that did not succeed means. The queue of errors is this thread's: never left for the next session. */
static int outcome(struct tls_session *session, int result)
{
	switch (SSL_get_error(session->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return -EPIPE;
	}
	return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
		       ? -EPIPE
		       : -EPROTO;
}

int tls_session_handshake(struct tls_session *session, struct err *err)
{
	int result, r;

	ERR_clear_error();
	result = SSL_do_handshake(session->ssl);
	if (result == 1)
		return 0;
	r = outcome(session, result);
	if (r == 0)
		r = -EPIPE;
	if (SSL_get_verify_result(session->ssl) != X509_V_OK && r != TLS_WANT_READ &&
		r != TLS_WANT_WRITE)
		r = err_set(err, -EKEYREJECTED, "TLS with %s, for %s: %s", session->peer,
			session->host.text,
			X509_verify_cert_error_string(SSL_get_verify_result(session->ssl)));
	/* The reason is one of OpenSSL's own words, never the peer's. */
	if (r == -EPROTO)
		err_set(err, r, "TLS with %s, for %s: %s", session->peer, session->host.text,
			ERR_reason_error_string(ERR_peek_last_error()) ?: "failed");
	ERR_clear_error();
	return r;
}

enum tls_protocol tls_session_protocol(const struct tls_session *session)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(session->ssl, &name, &len);
	return len == 2 ? TLS_PROTOCOL_HTTP2 : TLS_PROTOCOL_HTTP1;
}

ssize_t tls_session_read(struct tls_session *session, void *data, size_t size)
{
	size_t done;
	int result;

	ERR_clear_error();
	result = SSL_read_ex(session->ssl, data, size, &done);
	return result == 1 ? (ssize_t)done : outcome(session, result);
}

ssize_t tls_session_write(struct tls_session *session, const void *data, size_t size)
{
	size_t done;
	int result;

	if (size == 0)
		return 0;
	ERR_clear_error();
	result = SSL_write_ex(session->ssl, data, MIN(size, (size_t)RECORD_MAX), &done);
	if (result == 1)
		return (ssize_t)done;
	result = outcome(session, result);
	return result == 0 ? -EPIPE : result;
}

bool tls_session_pending(const struct tls_session *session)
{
	return SSL_has_pending(session->ssl) == 1;
}

int tls_session_close(struct tls_session *session)
{
	int result;

	ERR_clear_error();
	result = SSL_shutdown(session->ssl);
	if (result < 0 && outcome(session, result) == TLS_WANT_WRITE)
		return TLS_WANT_WRITE;
	ERR_clear_error();
	return 0;
}
