/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock-proxy/tls_server.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "vmm/base/array.h"
#include "vmm/base/cleanup.h"
#include "vsock-proxy/ca.h"

/* Forward secrecy and AEAD only (RFC 9325, section 4.2); TLS 1.3 has nothing else. */
#define TLS12_CIPHERS                                                                              \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256"
/* A record's worth at a time (RFC 8446, section 5.1). */
#define RECORD_MAX 16384

static const unsigned char protocols_h2[] = "\x02h2\x08http/1.1";
static const unsigned char protocols_http1[] = "\x08http/1.1";

struct tls_server {
	SSL_CTX *context;
	struct ca *ca;
};

struct tls_session {
	SSL *ssl;
	struct policy_host host;
	bool offers_h2;
};

DEFINE_CLEANUP(tls_server, tls_server_destroy)
DEFINE_CLEANUP(tls_session, tls_session_destroy)

/* E4: the name in the handshake, as OpenSSL reads it, is the stated one; an address has none (RFC 6066, section 3). */
static int on_name(SSL *ssl, int *alert, void *data)
{
	const struct tls_session *session = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct policy_host host;

	(void)data;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	if (!name)
		return session->host.kind == POLICY_HOST_NAME ? SSL_TLSEXT_ERR_ALERT_FATAL
							      : SSL_TLSEXT_ERR_NOACK;
	if (!policy_host_parse(name, strlen(name), &host) ||
		!policy_host_equal(&host, &session->host))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Ours first; without a common protocol the handshake fails (RFC 7301, section 3.2). */
static int on_protocols(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
	const unsigned char *offered, unsigned int offered_len, void *data)
{
	const struct tls_session *session = SSL_get_app_data(ssl);
	const unsigned char *ours = session->offers_h2 ? protocols_h2 : protocols_http1;
	unsigned int len =
		session->offers_h2 ? sizeof(protocols_h2) - 1 : sizeof(protocols_http1) - 1;

	(void)data;
	return SSL_select_next_proto((unsigned char **)ret, ret_len, ours, len, offered,
		       offered_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int tls_server_create(struct ca *ca, struct tls_server **ret, struct err *err)
{
	_cleanup_(cleanup_tls_server_) struct tls_server *server = calloc(1, sizeof(*server));

	if (!server || !(server->context = SSL_CTX_new(TLS_server_method())))
		return err_set(err, -ENOMEM, "TLS server: no memory");
	server->ca = ca;
	SSL_CTX_set_options(server->context,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(server->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(server->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(server->context, 0);
	SSL_CTX_set_tlsext_servername_callback(server->context, on_name);
	SSL_CTX_set_alpn_select_cb(server->context, on_protocols, NULL);
	if (SSL_CTX_set_min_proto_version(server->context, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(server->context, TLS12_CIPHERS) != 1 ||
		SSL_CTX_set1_groups_list(server->context, GROUPS) != 1 ||
		SSL_CTX_set_session_id_context(
			server->context, (const unsigned char *)"sandboxctl", 10) != 1)
		return err_set(err, -EIO, "TLS server: OpenSSL takes no settings");
	*ret = TAKE_PTR(server);
	return 0;
}

void tls_server_destroy(struct tls_server *server)
{
	if (!server)
		return;
	SSL_CTX_free(server->context);
	free(server);
}

int tls_session_create(struct tls_server *server, int fd, const struct policy_host *host,
	bool offers_h2, time_t now, struct tls_session **ret, struct err *err)
{
	_cleanup_(cleanup_tls_session_) struct tls_session *session = calloc(1, sizeof(*session));
	const struct ca_leaf *leaf;
	int r;

	if (!session || !(session->ssl = SSL_new(server->context)))
		return err_set(err, -ENOMEM, "TLS session: no memory");
	session->host = *host;
	session->offers_h2 = offers_h2;
	r = ca_leaf(server->ca, host, now, &leaf, err);
	if (r < 0)
		return r;
	SSL_set_app_data(session->ssl, session);
	SSL_set_accept_state(session->ssl);
	if (SSL_set_fd(session->ssl, fd) != 1 ||
		SSL_use_certificate(session->ssl, leaf->certificate) != 1 ||
		SSL_use_PrivateKey(session->ssl, leaf->key) != 1)
		return err_set(err, -EIO, "TLS session: OpenSSL takes no certificate");
	*ret = TAKE_PTR(session);
	return 0;
}

void tls_session_destroy(struct tls_session *session)
{
	if (!session)
		return;
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
	/* The reason is one of OpenSSL's own words, never the guest's. */
	if (r == -EPROTO)
		err_set(err, r, "TLS with the guest, as %s: %s", session->host.text,
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
